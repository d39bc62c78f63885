"""The captions of one video: what the library returns and what the formats write."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from vidcaption.output.formats import format_named, stream_named
from vidcaption.output.write import write_atomic
from vidcaption.types import CaptionData


@dataclass(frozen=True, slots=True)
class Captions(CaptionData):
    """Everything said about one video, to be read, shown and saved."""

    def render(self, format: str) -> str:
        """The text of a file in ``format``, such as ``"srt"``. Raises UsageError if unknown."""
        return format_named(format)(self)

    def piece(self, format: str) -> str:
        """What they are in an output of several videos. Raises UsageError if there is none such."""
        return stream_named(format).piece(self)

    def save(self, path: str | PathLike[str], format: str | None = None) -> None:
        """Write to ``path`` at one stroke, in ``format`` or the one its suffix names.

        Raises UsageError for an unknown format or suffix, OutputError if it cannot be written.
        """
        path = Path(path)
        name = format or path.suffix.removeprefix(".").lower() or path.name
        write_atomic(path, self.render(name))
