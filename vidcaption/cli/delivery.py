"""Where the results of ``run`` go: files next to the inputs, one file, or standard output."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from vidcaption.batch import Outcome, check_writable
from vidcaption.cli.voice import put
from vidcaption.errors import UsageError
from vidcaption.options import OutputOptions
from vidcaption.output.captions import Captions
from vidcaption.output.formats import render_many
from vidcaption.output.naming import output_paths
from vidcaption.output.write import write_atomic


class Delivery:
    """Decided and checked before any work: raises UsageError or OutputError if it cannot be met.

    ``found``: the inputs and the folders they are found under. ``several``: whether the command
    can mean more than one video; one shared output then has the form for several, however many
    there are. ``targets``: for each input, the file to write in each format, or nothing where all
    share one output. ``lines``: readable lines go to standard output as they come.
    """

    def __init__(self, output: OutputOptions, found: Mapping[Path, Path], *, several: bool) -> None:
        formats = output.formats or ("txt",)
        self._format = formats[0]
        self._shared = output.output or (None if output.formats else "-")
        self.several = several
        self.lines = self._shared == "-" and self._format == "txt"
        self.targets: Mapping[Path, Mapping[str, Path]] = {}
        if self._shared is None:
            self.targets = output_paths(found, formats, output.out_dir, found)
            check_writable(
                path for by_format in self.targets.values() for path in by_format.values()
            )
            return
        if several:
            render_many(self._format, ())  # refuses a format that holds one video only
        if self._shared != "-":
            target = Path(self._shared)
            if any(os.path.realpath(target) == os.path.realpath(path) for path in found):
                raise UsageError(f"--output is {self._shared}, which is an input")
            check_writable([target])

    def deliver(self, outcomes: Iterable[Outcome]) -> None:
        """Run through ``outcomes`` and write what they share. Raises OutputError."""
        if self._shared is None or self.lines:
            deque(outcomes, maxlen=0)
            return
        captioned = (each.captions for each in outcomes if each.captions is not None)
        if self._shared == "-":
            for piece in self._pieces(captioned):
                put(piece)
            return
        finished: list[Captions] = []
        try:
            for captions in captioned:
                finished.append(captions)
        finally:  # also when interrupted
            if finished:
                write_atomic(Path(self._shared), "".join(self._pieces(finished)))

    def _pieces(self, captions: Iterable[Captions]) -> Iterator[str]:
        if self.several:
            return render_many(self._format, captions)
        return (each.render(self._format) for each in captions)
