import io
import json
import sys
from pathlib import Path

import pytest

from vidcaption.cli.voice import make_bar, put_json
from vidcaption.options import LogOptions, VoiceOptions


def terminal(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Make these standard streams terminals, and the others none."""
    for name in ("stdout", "stderr"):
        stream = io.StringIO()
        monkeypatch.setattr(stream, "isatty", lambda there=name in names: there)
        monkeypatch.setattr(sys, name, stream)


@pytest.mark.parametrize(
    ("options", "lines", "terminals", "drawn"),
    [
        (VoiceOptions(), False, ["stderr"], True),
        (VoiceOptions(), False, ["stdout", "stderr"], True),
        (VoiceOptions(), False, ["stdout"], False),
        (VoiceOptions(), True, ["stderr"], True),
        (VoiceOptions(), True, ["stdout", "stderr"], False),
        (VoiceOptions(quiet=True), False, ["stderr"], False),
        (VoiceOptions(progress="off"), False, ["stderr"], False),
        (VoiceOptions(progress="on"), False, [], True),
        (VoiceOptions(progress="on", quiet=True), True, ["stdout", "stderr"], True),
        (LogOptions(log_json=True), False, ["stderr"], False),
    ],
)
def test_when_a_bar_is_drawn(
    options: VoiceOptions,
    lines: bool,
    terminals: list[str],
    drawn: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal(monkeypatch, *terminals)
    assert (make_bar(options, lines_on_stdout=lines) is not None) == drawn


def test_json_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    put_json({"ä\u202e": [Path("\x9b2J\udcff")]})
    out = capsys.readouterr().out
    assert "ä" in out and not {"\u202e", "\x9b", "\udcff"} & {*out}
    assert json.loads(out) == {"ä\u202e": ["\x9b2J\udcff"]}
