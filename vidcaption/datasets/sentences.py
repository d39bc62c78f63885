"""Sentences without pictures, for training a decoder."""

from pathlib import Path

from vidcaption.datasets.items import holds_times, read_text
from vidcaption.errors import UsageError


def read_sentences(path: Path) -> list[str]:
    """The non-blank lines of a text file, which may be compressed (``.gz``).

    Raises UsageError if it cannot be read, is not UTF-8, contains times or has no sentence.
    """
    sentences = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if timed := next(filter(holds_times, sentences), None):
        raise UsageError(f"{path} contains times, {timed[:60]!r}; remove them")
    if not sentences:
        raise UsageError(f"{path} has no sentences; write one on each line")
    return sentences
