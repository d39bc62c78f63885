import io
import json
import sys
from pathlib import Path

import pytest

from vidcaption.cli.voice import Bar, Voice, put, put_json, say
from vidcaption.options import VoiceOptions


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
    assert (Voice(options).make_bar(lines_on_stdout=lines) is not None) == drawn


def test_results_stay_on_standard_output_while_a_bar_is_drawn(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bar = Bar(force_terminal=True)
    with bar:
        bar.begin("clip", 10.0, lambda: 5.0)
        put("result\n")
        say("message")
    out, err = capsys.readouterr()
    assert out == "result\n"
    assert "vidcaption: message" in err and "clip" in err and "50%" in err


def test_a_bar_asks_for_its_position_and_shows_one_thing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = {"position": 0.0}
    bar = Bar(force_terminal=True)
    bar.begin("first", None, lambda: now["position"])
    bar.begin("sec\x1b[31mond [b]", 8.0, lambda: now["position"])
    for now["position"], shown in ((2.0, "25%"), (6.0, "75%")):
        bar.console.print(bar)
        err = capsys.readouterr().err
        assert shown in err and "first" not in err
        assert "sec\\u001b[31mond [b]" in err


def test_json_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    put_json({"ä\u202e": [Path("\x9b2J\udcff")]})
    out = capsys.readouterr().out
    assert "ä" in out and not {"\u202e", "\x9b", "\udcff"} & {*out}
    assert json.loads(out) == {"ä\u202e": ["\x9b2J\udcff"]}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (VoiceOptions(), "vidcaption: told\n"),
        (VoiceOptions(quiet=True), ""),
        (VoiceOptions(verbose=True), "vidcaption: told\nvidcaption: detailed\n"),
    ],
)
def test_loudness(options: VoiceOptions, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    voice = Voice(options)
    voice.tell("told")
    voice.detail("detailed")
    assert capsys.readouterr() == ("", said)
