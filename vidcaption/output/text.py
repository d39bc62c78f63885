"""Makes external text (vocabularies, file names) safe to show, and rounds seconds."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

# Characters that act instead of being shown: C0 and C1 controls (escape sequences), direction marks
# and overrides, line separators, a byte order mark; and lone surrogates, which UTF-8 cannot encode.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def printable(text: str) -> str:
    r"""``text`` with every character that could control a terminal written as ``\uXXXX``.

    The result is one line and can be encoded as UTF-8.
    """
    return _UNSAFE.sub(lambda unsafe: f"\\u{ord(unsafe[0]):04x}", text)


def one_line(text: str) -> str:
    """``printable`` text with each run of white space, line breaks included, as one space."""
    return printable(" ".join(text.split()))


def json_text(value: Any, **options: Any) -> str:
    """JSON that keeps letters of all scripts readable but escapes what ``printable`` does.

    ``options``: of ``json.dumps``. Line breaks come only from indentation: JSON escapes those
    inside strings.
    """
    text = json.dumps(value, ensure_ascii=False, **options)
    return "\n".join(map(printable, text.split("\n")))


def counted(number: int, noun: str) -> str:
    """``1 frame``, ``2 frames``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def aligned(rows: Sequence[Sequence[str]], flush: str = "<") -> list[str]:
    """Rows as lines, safe to print. ``flush`` ``>`` right-aligns all but the first column."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    forms = [f"{flush if i else '<'}{width}" for i, width in enumerate(widths)]
    return ["  ".join(map(format, row, forms)).rstrip() for row in cells]


def milliseconds(seconds: float) -> int:
    """The nearest whole millisecond: the rounding that all formats share."""
    return round(seconds * 1000)


def timestamp(time_s: float) -> str:
    """ISO 8601 in UTC, to the millisecond; ``time_s``: seconds since 1970."""
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds")


def clock(ms: int) -> str:
    """``HH:MM:SS.mmm``."""
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{ms:03}"
