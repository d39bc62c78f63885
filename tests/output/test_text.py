import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidcaption.output.text import milliseconds, one_line, printable

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a dog ä ein Hund 犬 👩‍🚀", "a dog ä ein Hund 犬 👩‍🚀"),
        ("\x1b[31mred\x07", r"\u001b[31mred\u0007"),
        ("\x9b2J", r"\u009b2J"),
        ("a\r\nb\tc", r"a\u000d\u000ab\u0009c"),
        ("txt\u202egpj.mp4", r"txt\u202egpj.mp4"),
        ("\udcff.mp4", r"\udcff.mp4"),
        ("\ud800\udfff", r"\ud800\udfff"),
        ("\ufeffstart", r"\ufeffstart"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(ANY_TEXT)
def test_printable_leaves_nothing_that_acts(text: str) -> None:
    shown = printable(text)
    shown.encode("utf-8")
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert not {unicodedata.bidirectional(c) for c in shown} & {"RLO", "LRO", "RLE", "LRE", "RLI"}
    assert printable(shown) == shown


@given(ANY_TEXT)
def test_one_line_has_single_spaces_between_words(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert line == line.strip()
    assert not re.search(r"\s\s", line)


def test_one_line_joins_what_white_space_parts() -> None:
    assert one_line(" a  man\n\nwalks\u2028by \t") == "a man walks by"


def test_milliseconds_rounds_to_the_nearest() -> None:
    assert [milliseconds(s) for s in (0.0, 0.0004, 0.0006, 4.1, 3600.9996)] == [
        0,
        0,
        1,
        4100,
        3601000,
    ]
