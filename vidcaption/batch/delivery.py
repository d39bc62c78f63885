"""The output of ``run``: files next to the inputs, one file, or standard output."""

import os
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

from vidcaption.addresses import Address, Location, location_of
from vidcaption.batch.inputs import Selection
from vidcaption.batch.objects import of_others
from vidcaption.batch.plan import Books, Job
from vidcaption.batch.runner import POLL_S, Outcome
from vidcaption.errors import UsageError
from vidcaption.options.output import LANCE, TABLES, OutputOptions
from vidcaption.output.captions import Captions
from vidcaption.output.formats import render_many, stream_named
from vidcaption.output.naming import output_paths
from vidcaption.output.table import require
from vidcaption.output.write import check_some_writable, encoded, write_atomic
from vidcaption.remote import PAGES


class Delivery:
    """Decided and checked before any work: raises UsageError or OutputError if impossible.

    ``targets``: for each input, the file to write in each format, or nothing if they are written to
    standard output or a device as they come. If the command may have several videos, one output has
    the form for several, whatever their number. ``shared``: it is a file of which each input is a
    part. ``lines``: readable lines go to standard output. ``beside_inputs``: each file goes next to
    its input, by default.
    """

    def __init__(self, output: OutputOptions, selection: Selection) -> None:
        formats = output.formats or ("txt",)
        place = output.place or (None if output.formats else "-")
        if place is None and selection.piped and output.out_dir is None:
            if len(formats) > 1:
                raise UsageError(
                    f"a video on standard input gives one format on standard output, and "
                    f"{len(formats)} are given; remove the others, or add --out-dir"
                )
            place = "-"
        goes_to = selection.found if place is None and output.out_dir is None else ()
        for each in (*goes_to, location_of(place or "-"), output.folder):
            if isinstance(each, Address) and each.scheme in PAGES:
                raise UsageError(
                    f"captions of {each} cannot be written beside it, as {each.scheme}:// can only "
                    "be read; add --out-dir or -o"
                    if each in goes_to
                    else f"nothing can be written to {each}, as {each.scheme}:// can only be read"
                )
        self._format = formats[0]
        self.several = selection.several
        self.lines = place == "-" and not output.formats
        self.on_stdout = place == "-"
        self.beside_inputs = place is None and output.out_dir is None
        self.shared: Location | None = None
        self._device: Path | None = None
        self._found = selection.found
        self.targets: Mapping[Location, Mapping[str, Location]] = {}
        if place is None:
            found = selection.found
            self.targets = output_paths(found, formats, output.folder, found, of_others(found))
        else:
            if self._format in TABLES:
                require(self._format)
            elif self.several:
                stream_named(self._format)  # refuses a format that holds only one video
            if place != "-":
                self._into_one(location_of(place), selection)
        # Existing ones may be done, whether writable or not. If only some of many cannot be
        # written, the run continues, and those fail.
        if not any(map(_is_file, self._files())):
            check_some_writable(self._files())

    def job(self, path: Location, source: Path | None = None) -> Job:
        """The job of an input; ``source``: the file to read, if another one."""
        part = None if self.shared is None else self._part_of(path)
        return Job(path, self._found[path], self.targets.get(path, {}), source, part)

    def check(self, books: Books, manifest: Path | None) -> None:
        """Raise OutputError if the one file for all has to be kept, UsageError if an output is the
        manifest.
        """
        if self.shared is not None:
            books.check(self.shared)
        if manifest is not None:
            place = _real(manifest)
            if any(_real(path) == place for path in self._files()):
                raise UsageError(f"--manifest is {manifest}, which is also an output")

    def deliver(
        self, outcomes: Iterable[Outcome], books: Books, put: Callable[[str], None]
    ) -> None:
        """Consume ``outcomes`` and write their common output, to standard output with ``put``.

        Raises OutputError.
        """
        if self.shared is not None:
            self._put_together(self.shared, outcomes, books)
        elif self._device is not None:
            pieces = self._pieces(each.captions for each in outcomes)
            write_atomic(self._device, map(encoded, pieces))
        elif self.on_stdout and not self.lines:
            for piece in self._pieces(each.captions for each in outcomes):
                put(piece)
        else:
            deque(outcomes, maxlen=0)

    def _into_one(self, target: Location, selection: Selection) -> None:
        if any(_real(target) == _real(path) for path in selection.found):
            raise UsageError(f"--output is {target}, which is an input")
        if isinstance(target, Address) and self._format == LANCE:
            raise UsageError(
                f"--output is {target}, and a Lance dataset is a folder of this machine; write it "
                "there and upload it, or write a .parquet file"
            )
        if isinstance(target, Path) and _is_device(target):
            self._device = target
            return
        self.shared = target if self.several or self._format in TABLES else None
        self.targets = {path: {self._format: target} for path in selection.found}

    def _files(self) -> Iterator[Location]:
        if self._device is not None:
            yield self._device
        for by_format in self.targets.values():
            yield from by_format.values()

    def _put_together(self, target: Location, outcomes: Iterable[Outcome], books: Books) -> None:
        done: set[Location] = set()
        try:
            for outcome in outcomes:
                if outcome.error is None:
                    done.add(outcome.job.path)
        finally:  # also when interrupted
            while not self._is_written(target, done, books):
                time.sleep(POLL_S)  # another run is writing

    def _is_written(self, target: Location, done: Collection[Location], books: Books) -> bool:
        """Write all parts, unless already written. False if another run is writing."""
        names = self._known(target, done, books)
        if not names or books.holds(target, self._joined(target, names, books)):
            return True
        with books.lease([target]) as ours:
            if ours:
                names = self._known(target, done, books)  # another run may have added some
                books.put_together(target, self._joined(target, names, books))
            return ours

    def _known(self, target: Location, done: Collection[Location], books: Books) -> list[str]:
        """The parts done by this run, and by earlier and parallel ones, in order."""
        parts, names = books.parts(target), []
        for path in self._found:
            name = self._part_of(path)
            made_from = parts.fingerprint(name)
            if made_from and (path in done or made_from == books.fingerprint(path)):
                names.append(name)
        return names

    def _joined(
        self, target: Location, names: list[str], books: Books
    ) -> Callable[[], Iterable[str | bytes]]:
        stream, parts = stream_named(self._format), books.parts(target)
        return lambda: stream.joined(map(parts.text, names))

    def _part_of(self, path: Location) -> str:
        """The name of an input's part of the one file for all."""
        return f"{self._format} {path}"

    def _pieces(self, captions: Iterable[Captions | None]) -> Iterator[str]:
        given = (each for each in captions if each is not None)
        if self.several:
            return render_many(self._format, given)
        return (each.render(self._format) for each in given)


def beside(found: Mapping[Path, Path], formats: tuple[str, ...]) -> dict[Path, dict[str, Path]]:
    """The paths where ``run`` writes captions of inputs, next to each."""
    return output_paths(found, formats, is_of_another=of_others(found))


def _real(location: Location) -> Location:
    return Path(os.path.realpath(location)) if isinstance(location, Path) else location


def _is_file(location: Location) -> bool:
    return isinstance(location, Path) and os.path.isfile(location)


def _is_device(path: Path) -> bool:
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)
