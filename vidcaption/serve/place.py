"""The folder of a server: its jobs, their uploads and results, and its index."""

import logging
import os
import shutil
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from vidcaption.errors import OutputError
from vidcaption.find.index import Index
from vidcaption.output.captions import Captions
from vidcaption.output.read import read_captions
from vidcaption.reasons import of_system
from vidcaption.serve.jobs import Job

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """``root`` holds ``jobs.sqlite`` and a folder for each job; ``index``: a file anywhere."""

    root: Path
    index: Path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Inside, no other server uses it. Raises OutputError where one does already."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)  # it holds people's videos
            self.uploads.mkdir(exist_ok=True)
            with FileLock(self.root / "lock", timeout=0):
                yield
        except Timeout as error:
            raise OutputError(
                f"{self.root} is in use by another vidcaption serve; stop that one, or name "
                "another folder with --data"
            ) from error
        except OSError as error:
            raise OutputError(
                f"{self.root} cannot be written: {of_system(error)}; name another folder with "
                "--data"
            ) from error

    @property
    def jobs(self) -> Path:
        return self.root / "jobs.sqlite"

    @property
    def uploads(self) -> Path:
        """Holds a folder for each job, by its id."""
        return self.root / "jobs"

    def folder(self, id: str) -> Path:
        return self.uploads / id

    def upload(self, id: str) -> Path:
        """The video, whatever its name is."""
        return self.folder(id) / "video"

    def result(self, id: str) -> Path:
        """The captions as JSON."""
        return self.folder(id) / "captions.json"

    def page(self, id: str) -> Path:
        """The player."""
        return self.folder(id) / "page.html"

    def captions(self, job: Job) -> Captions:
        """The result of a job, under the name of its video. Raises InputError."""
        captions = read_captions(self.result(job.id))
        return replace(captions, video=replace(captions.video, path=job.name))

    def discard(self, job: Job) -> None:
        """Remove all files of a job, and what the index knows of an upload. Raises OutputError."""
        if job.uploaded and self.index.exists():
            with Index(self.index) as index:
                path = Path(os.path.realpath(job.path))
                index.remove(filter(None, [index.video(path)]))
        self.drop(job.id)

    def drop(self, id: str) -> None:
        """Remove the folder of a job, or of an upload that did not become one."""
        shutil.rmtree(self.folder(id), ignore_errors=True)

    def sweep(self, known: Container[str]) -> None:
        """Remove what uploads have left that ended before there was a job."""
        for folder in self.uploads.iterdir():
            if folder.name not in known:
                self.drop(folder.name)
