"""Indexes with made-up captions."""

from collections.abc import Iterable
from pathlib import Path

from vidcaption.find.index import Entry, Hit, Index, Recipe, State
from vidcaption.options.captioning import CaptionOptions

RECIPE = Recipe(None, "0" * 64, CaptionOptions())


def put(index: Index, path: Path, *texts: str) -> None:
    """Keep a video with a window of four seconds for each text."""
    entries = [Entry(4.0 * i, 4.0 * i + 4, text, -1.0) for i, text in enumerate(texts)]
    duration_s = 4.0 * len(texts)
    state = State(len(texts), 0, ascii(str(path)))
    index.put(path, state, index.recipe_id(RECIPE), entries, duration_s=duration_s)


def entries(index: Index, hits: Iterable[Hit]) -> list[Entry]:
    """What is known of each."""
    found = [index.entry(hit.number) for hit in hits]
    assert None not in found
    return [entry for entry in found if entry]
