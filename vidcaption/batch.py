"""Many inputs: find them, caption each, and go on when one fails."""

import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from vidcaption.errors import InputError, OutputError, UsageError
from vidcaption.options import CaptionOptions
from vidcaption.output.captions import Captions
from vidcaption.output.naming import natural_key
from vidcaption.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from vidcaption.types import Segment

if TYPE_CHECKING:
    from vidcaption.pipeline import Captioner, Captioning


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one input: its captions, or why there are none, or why they are not written.

    ``elapsed_s``: seconds of work, waiting for the receiver of the segments included.
    """

    path: Path
    captions: Captions | None
    error: InputError | OutputError | None
    elapsed_s: float


class Watcher(Protocol):
    """Is told of each step while inputs are captioned."""

    def opened(self, path: Path, captioning: "Captioning") -> None:
        """The work on ``path`` begins; ``captioning`` says what it is and how far it got."""

    def captioned(self, segment: Segment) -> None:
        """The next segment of the input that was opened last is ready."""


def discover(inputs: Iterable[str | Path], *, recursive: bool = False) -> dict[Path, Path]:
    """Every file to caption, in order and once, with the folder that it is found under.

    Files in a folder come in natural order; hidden ones and those without the suffix of a video or
    an image are passed over. Raises UsageError for an input that does not exist, and for a folder
    without videos or images.
    """
    found: dict[Path, Path] = {}
    seen: set[Path] = set()
    paths = [Path(name) for name in inputs]
    if missing := [path for path in paths if not os.path.exists(path)]:
        raise UsageError(f"no such file or folder: {', '.join(map(str, missing))}")
    for path in paths:
        files = _files_in(path, recursive) if path.is_dir() else [path]
        for file in files:
            identity = file.parent.resolve() / file.name
            if identity not in seen:
                seen.add(identity)
                found[file] = path if path.is_dir() else path.parent
    return found


def check_writable(targets: Iterable[Path]) -> None:
    """Raise OutputError if a file cannot be written at one of ``targets``. Leaves no trace."""
    folders: set[Path] = set()
    for target in targets:
        try:
            if target.is_dir():
                raise OutputError(f"{target} cannot be written: it is a folder")
            if target.exists() and not os.access(target, os.W_OK):
                raise OutputError(f"{target} cannot be written: it is write-protected")
            if target.exists() and not target.is_file():
                continue  # a device, such as /dev/null
            folder = Path(os.path.realpath(target)).parent
            while not folder.exists() and folder != folder.parent:
                folder = folder.parent
            if folder not in folders:
                tempfile.TemporaryFile(dir=folder).close()
                folders.add(folder)
        except OSError as error:
            raise OutputError(
                f"{target} cannot be written: {error.strerror}; choose another place"
            ) from error


def caption_all(
    captioner: "Captioner",
    paths: Iterable[Path],
    options: CaptionOptions,
    targets: Mapping[Path, Mapping[str, Path]],
    watcher: Watcher,
) -> Iterator[Outcome]:
    """Caption ``paths`` one after the other, and write each to its ``targets`` by format.

    An input that cannot be captioned or written yields an Outcome with that error, and the next
    one follows. Other errors are raised: they would meet every input.
    """
    for path in paths:
        began_s = time.monotonic()
        captions: Captions | None = None
        error: InputError | OutputError | None = None
        try:
            captions = _caption(captioner, path, options, watcher)
        except InputError as failure:
            error = failure
        else:
            error = _write(captions, targets.get(path, {}))
        yield Outcome(path, captions, error, time.monotonic() - began_s)


def _caption(
    captioner: "Captioner", path: Path, options: CaptionOptions, watcher: Watcher
) -> Captions:
    with captioner.open(path, options) as captioning:
        watcher.opened(path, captioning)
        for segment in captioning:
            watcher.captioned(segment)
        return captioning.captions()


def _write(captions: Captions, targets: Mapping[str, Path]) -> OutputError | None:
    try:
        for format, target in targets.items():
            captions.save(target, format)
    except OutputError as error:
        return error
    return None


def _files_in(folder: Path, recursive: bool) -> list[Path]:
    suffixes = VIDEO_SUFFIXES | IMAGE_SUFFIXES
    files: list[Path] = []
    try:
        for place, subfolders, names in os.walk(folder, onerror=_raise):
            # Pruned in place, so that os.walk does not go there.
            subfolders[:] = [name for name in subfolders if recursive and not name.startswith(".")]
            files += [
                Path(place, name)
                for name in names
                if not name.startswith(".") and Path(name).suffix.lower() in suffixes
            ]
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be listed: {error.strerror}") from error
    if not files:
        hint = "" if recursive else "; -r looks into the folders within it"
        raise UsageError(f"{folder} holds no video or image{hint}")
    return sorted(files, key=natural_key)


def _raise(error: OSError) -> None:
    raise error
