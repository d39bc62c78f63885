"""Where the results of ``run`` go: files next to the inputs, one file, or standard output."""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from vidcaption.batch import Books, Job, Outcome
from vidcaption.batch.loop import POLL_S
from vidcaption.cli.selection import Selection
from vidcaption.cli.voice import put
from vidcaption.errors import UsageError
from vidcaption.options import OutputOptions
from vidcaption.output.captions import Captions
from vidcaption.output.formats import render_many
from vidcaption.output.naming import output_paths
from vidcaption.output.write import check_writable, write_atomic


class Delivery:
    """Decided and checked before any work: raises UsageError or OutputError if it cannot be met.

    ``targets``: for each input, the file to write in each format, or nothing where all share one
    output; that has the form for several videos where the command can mean several, however many
    there are. ``shared``: the one file for all. ``lines``: readable lines go to standard output as
    they come.
    """

    def __init__(self, output: OutputOptions, selection: Selection) -> None:
        formats = output.formats or ("txt",)
        place = output.output or (None if output.formats else "-")
        if place is None and selection.piped and output.out_dir is None:
            if len(formats) > 1:
                raise UsageError(
                    f"a video on standard input gives one format on standard output, and "
                    f"{len(formats)} are asked for; leave the others out, or add --out-dir"
                )
            place = "-"
        self._format = formats[0]
        self.several = selection.several
        self.lines = place == "-" and self._format == "txt"
        self.on_stdout = place == "-"
        self.shared: Path | None = None
        self.targets: Mapping[Path, Mapping[str, Path]] = {}
        if place is None:
            self.targets = output_paths(selection.found, formats, output.out_dir, selection.found)
        else:
            if self.several:
                render_many(self._format, ())  # refuses a format that holds one video only
            if place != "-":
                self._into_one(Path(place), selection)
        # Those that exist may be done, whether they can be written or not.
        check_writable(path for path in self._files() if not os.path.isfile(path))

    def done(self, books: Books, jobs: Sequence[Job]) -> bool:
        """Whether the one file for all is what it would be. Raises OutputError if it is kept."""
        if self.shared is None or _is_device(self.shared):
            return False
        return books.done(self.shared, _sources(jobs))

    def deliver(self, outcomes: Iterable[Outcome], books: Books) -> None:
        """Run through ``outcomes`` and write what they share. Raises OutputError."""
        if self.shared is None and (not self.on_stdout or self.lines):
            deque(outcomes, maxlen=0)
            return
        if self.shared is None:
            for piece in self._pieces(each.captions for each in outcomes):
                put(piece)
            return
        finished: list[Outcome] = []
        try:
            for outcome in outcomes:
                if outcome.captions is not None:
                    finished.append(outcome)
        finally:  # also when interrupted
            if finished:
                self._write(self.shared, finished, books)

    def _into_one(self, target: Path, selection: Selection) -> None:
        if any(os.path.realpath(target) == os.path.realpath(path) for path in selection.found):
            raise UsageError(f"--output is {target}, which is an input")
        if self.several or _is_device(target):
            self.shared = target
        else:
            self.targets = {path: {self._format: target} for path in selection.found}

    def _files(self) -> Iterator[Path]:
        if self.shared is not None:
            yield self.shared
        for by_format in self.targets.values():
            yield from by_format.values()

    def _write(self, target: Path, outcomes: Sequence[Outcome], books: Books) -> None:
        text = "".join(self._pieces(each.captions for each in outcomes))
        if _is_device(target):
            write_atomic(target, text)
            return
        fingerprint = books.fingerprint(_sources(each.job for each in outcomes))
        while True:
            with books.lease([target]) as ours:
                if ours:
                    books.write(target, text, fingerprint)
                    return
            time.sleep(POLL_S)  # another run is writing

    def _pieces(self, captions: Iterable[Captions | None]) -> Iterator[str]:
        given = (each for each in captions if each is not None)
        if self.several:
            return render_many(self._format, given)
        return (each.render(self._format) for each in given)


def _is_device(path: Path) -> bool:
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _sources(jobs: Iterable[Job]) -> list[Path]:
    return [job.source or job.path for job in jobs]
