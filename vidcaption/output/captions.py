"""The captions of one video: what the library returns and the formats write."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, overload

from vidcaption.addresses import Address, location_of
from vidcaption.output.formats import document, format_named, stream_named
from vidcaption.output.write import write_atomic
from vidcaption.types import CaptionData, Segment


@dataclass(frozen=True, slots=True)
class Captions(CaptionData, Sequence[Segment]):
    """The captions of one video: a sequence of its segments.

    >>> for segment in captions:
    ...     print(segment.start_s, segment.text)
    """

    def __len__(self) -> int:
        return len(self.segments)

    @overload
    def __getitem__(self, index: int) -> Segment: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Segment, ...]: ...

    def __getitem__(self, index: int | slice) -> Segment | tuple[Segment, ...]:
        return self.segments[index]

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` writes, see ``schema.json``: dictionaries, lists, texts and numbers."""
        return document(self)

    def to_srt(self) -> str:
        """The text of a SubRip file."""
        return self.render("srt")

    def render(self, format: str) -> str:
        """The text of a file in ``format``, such as ``"srt"``. Raises UsageError if unknown."""
        return format_named(format)(self)

    def piece(self, format: str) -> str:
        """Their part of an output for several videos. Raises UsageError if the format has none."""
        return stream_named(format).piece(self)

    def save(self, path: str | PathLike[str] | Address, format: str | None = None) -> None:
        """Write to a path or an address atomically, in ``format`` or the format of its suffix.

        Raises UsageError for an unknown format or suffix, OutputError if it cannot be written.
        """
        place = location_of(path)
        name = format or place.suffix.removeprefix(".").lower() or place.name
        write_atomic(place, self.render(name))
