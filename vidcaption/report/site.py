"""The index of all pages of a folder, and the data that a page stores about itself."""

import json
import os
import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from vidcaption.report.page import render, script
from vidcaption.report.video import address, counted

INDEX = "index.html"
_HEAD = 20  # lines of a page that include its card
_CARD = re.compile(r'<script type="application/json" id="vidcaption">(.*?)</script>')

Card = dict[str, Any]


def read_card(page: Path) -> Card | None:
    """What ``video_page`` stored in the page at this path: its key, and the data for the index.

    None if there is no such page, or another kind of page.
    """
    try:
        with page.open(encoding="utf-8") as file:
            found = _CARD.search("".join(islice(file, _HEAD)))
        card = json.loads(found[1]) if found else None
    except (OSError, ValueError, RecursionError):
        return None
    return card if isinstance(card, dict) and "key" in card else None


def listed_pages(index: Path) -> list[Path]:
    """The pages that an index lists, some of which may be gone; none without an index."""
    listed = (read_card(index) or {}).get("pages")
    return [index.parent / str(page) for page in listed] if isinstance(listed, list) else []


def index_page(title: str, pages: Sequence[tuple[Path, Card]], index: Path) -> str:
    """HTML of the page at ``index``, with a card for each of ``pages``."""
    cards = [card | {"href": address(page, index)} for page, card in pages]
    count = sum(len(card["captions"]) for card in cards)
    return render(
        "index.html",
        title=title,
        facts=f"{counted(len(cards), 'video')}, {counted(count, 'caption')}",
        cards=cards,
        card={"key": INDEX, "pages": [os.path.relpath(page, index.parent) for page, _ in pages]},
        **script("player.js"),
    )
