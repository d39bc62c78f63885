from pathlib import Path
from typing import Any

import pytest

from vidcaption.errors import UsageError
from vidcaption.options.output import OutputOptions, VoiceOptions
from vidcaption.output.formats import FORMATS


def test_each_format_has_a_flag() -> None:
    assert OutputOptions.known_formats() == tuple(FORMATS)


@pytest.mark.parametrize(
    ("values", "formats"),
    [
        ({}, ()),
        ({"srt": True}, ("srt",)),
        ({"json": True, "srt": True}, ("srt", "json")),
        ({"output": "-"}, ()),
        ({"output": "-", "csv": True}, ("csv",)),
        ({"output": "/dev/stdout"}, ()),
        ({"output": "a/b.VTT"}, ("vtt",)),
        ({"output": "b.txt", "json": True}, ("json",)),
        ({"output": "b.log", "json": True}, ("json",)),
        ({"output": "b.Json", "json": True}, ("json",)),
        ({"output": "/dev/null", "json": True}, ("json",)),
        ({"out_dir": Path("x"), "srt": True}, ("srt",)),
    ],
)
def test_formats(values: dict[str, Any], formats: tuple[str, ...]) -> None:
    assert OutputOptions(**values).formats == formats


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"output": "x.srt", "out_dir": Path("y")}, "contradict"),
        ({"output": "x.srt", "srt": True, "vtt": True}, "one format, and 2"),
        ({"output": "-", "srt": True, "vtt": True}, "one format, and 2"),
        ({"output": "x.vtt", "srt": True}, "'x.vtt', a name for vtt, and --srt is given"),
        ({"output": "x.JSON", "jsonl": True}, "a name for json, and --jsonl is given"),
        ({"output": "out/", "srt": True}, "'out/', which is a folder; .* use --out-dir"),
        ({"output": "/", "srt": True}, "'/', which is a folder"),
        ({"output": "."}, "'.', which is a folder"),
        ({"output": "x"}, "is not that of a format"),
        ({"output": "x.mp4"}, "is not that of a format"),
        ({"output": ""}, "is not that of a format"),
        ({"out_dir": Path("y")}, "without a format"),
    ],
)
def test_contradictions(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        OutputOptions(**values)


def test_quiet_and_verbose() -> None:
    with pytest.raises(UsageError, match="contradict"):
        VoiceOptions(quiet=True, verbose=True)
