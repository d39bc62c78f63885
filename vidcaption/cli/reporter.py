"""What ``run`` tells a person while it works."""

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from vidcaption.batch import Outcome
from vidcaption.cli.delivery import Delivery
from vidcaption.cli.voice import Voice, put, say
from vidcaption.options import VoiceOptions
from vidcaption.output.formats import txt_line
from vidcaption.output.text import printable
from vidcaption.types import Segment

if TYPE_CHECKING:
    from vidcaption.pipeline import Captioning

MISSING_S = 1.0  # containers are often wrong by less


class Reporter(Voice):
    """A ``batch.Watcher``: the progress bar, the readable lines, one sentence on each input.

    ``count``: how many inputs there are. ``failed``: how many of them were not captioned or not
    written so far.
    """

    def __init__(self, options: VoiceOptions, delivery: Delivery, *, count: int) -> None:
        super().__init__(options)
        self._delivery = delivery
        self._count = count
        self._bar = self.make_bar(lines_on_stdout=delivery.lines)
        self._opened = 0
        self._captioning: Captioning
        self._began_s = time.monotonic()
        self.failed = 0

    def bar(self) -> AbstractContextManager[object]:
        """The progress bar, if one is wanted, is on the screen inside this context."""
        return self._bar or nullcontext()

    def opened(self, path: Path, captioning: "Captioning") -> None:
        info = captioning.info
        self._captioning = captioning
        self._opened += 1
        if self._bar is not None:
            place = f" ({self._opened} of {self._count})" if self._count > 1 else ""
            start_s, end_s = captioning.options.start_s, captioning.options.end_s
            ends_s = [each for each in (end_s, info.duration_s) if each is not None]
            self._bar.begin(
                path.name + place,
                max(0, min(ends_s) - start_s) if ends_s else None,
                lambda: captioning.progress_s - start_s,
            )
        facts = [info.codec, f"{info.width}x{info.height}"]
        facts += [f"{info.fps:.2f} frames/s"] if info.fps is not None else []
        facts += [f"{info.duration_s:.1f} s"] if info.duration_s is not None else []
        self.detail(f"{path}: {', '.join(facts)}")
        if self._delivery.lines and self._delivery.several:
            put(("\n" if self._opened > 1 else "") + printable(info.path) + ":\n")

    def captioned(self, segment: Segment) -> None:
        if self._delivery.lines:
            put(txt_line(segment) + "\n")

    def followed(self, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
        """The same outcomes, each told of when it comes."""
        for outcome in outcomes:
            self._tell_of(outcome)
            yield outcome

    def sum_up(self) -> None:
        if self._count > 1:
            elapsed_s = time.monotonic() - self._began_s
            failed = f", {self.failed} failed" if self.failed else ""
            self.tell(f"{self._count - self.failed} captioned{failed}, in {elapsed_s:.1f} s")

    def _tell_of(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self.failed += 1
            say(str(outcome.error))
        if outcome.captions is None:
            return
        if outcome.captions.corrupt:
            self.tell(f"{outcome.path}: {outcome.captions.corrupt} broken packets were left out")
        if (missing_s := self._captioning.missing_s) > MISSING_S:
            self.tell(f"{outcome.path}: the last {missing_s:.1f} s are missing; it may be cut off")
        if outcome.error is None and (targets := self._delivery.targets.get(outcome.path)):
            written = ", ".join(map(str, targets.values()))
            self.tell(f"{outcome.path} -> {written} ({outcome.elapsed_s:.1f} s)")
