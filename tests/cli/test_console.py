"""What commands say, and where: results, words, logs."""

import io
import json
import logging
import sys
from pathlib import Path

import pytest

from vidcaption.cli.console import logging_as, make_bar, put_json
from vidcaption.events import VERBOSE, event
from vidcaption.options.output import LogOptions, VoiceOptions


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


Capture = pytest.CaptureFixture[str]
logger = logging.getLogger("vidcaption.some.module")
LEVELS = {"why": logging.DEBUG, "more": VERBOSE, "news": logging.INFO, "failure": logging.ERROR}


def log_all() -> None:
    for message, level in LEVELS.items():
        logger.log(level, message)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (VoiceOptions(quiet=True), 1),
        (VoiceOptions(), 2),
        (VoiceOptions(verbose=True), 3),
        (LogOptions(debug=True), 4),
        (LogOptions(debug=True, verbose=True), 4),
    ],
)
def test_loudness(options: VoiceOptions, count: int, capsys: Capture) -> None:
    with logging_as(options):
        log_all()
    expected = "".join(f"vidcaption: {message}\n" for message in list(LEVELS)[-count:])
    assert capsys.readouterr() == ("", expected)


def test_the_file_has_what_verbose_says(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "new" / "x.log"
    for options in (LogOptions(quiet=True, log_file=path), LogOptions(debug=True, log_file=path)):
        with logging_as(options):
            log_all()
    lines = [line.split(" ", 1)[1] for line in path.read_text().splitlines()]
    verbose = ["verbose: more", "info: news", "error: failure"]
    assert lines == [*verbose, "debug: why", *verbose]


def test_json_has_events_and_facts(capsys: Capture) -> None:
    with logging_as(LogOptions(log_json=True)):
        logger.info("it is \x1b[31m 1 %", extra=event("seen", path=Path("a"), seconds=1.5))
        logger.error("no")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first.pop("time") <= second.pop("time")
    assert first == {
        "level": "info", "event": "seen", "text": "it is \x1b[31m 1 %", "path": "a", "seconds": 1.5,
    }  # fmt: skip
    assert second == {"level": "error", "event": "note", "text": "no"}


def test_handlers_are_there_while_a_command_runs(
    capsys: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever uses the package from Python has handlers of their own."""
    package = logging.getLogger("vidcaption")
    before = package.handlers, package.level, package.propagate
    with pytest.raises(ZeroDivisionError), logging_as(VoiceOptions()):
        logger.info("inside")
        raise ZeroDivisionError
    assert (package.handlers, package.level, package.propagate) == before
    with caplog.at_level(logging.INFO):
        logger.info("outside")
    assert caplog.messages == ["outside"]
    assert capsys.readouterr().err == "vidcaption: inside\n"


def test_a_file_that_cannot_be_written_any_more(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "x.log"
    with logging_as(LogOptions(log_file=path)):
        path.unlink()
        path.mkdir()
        log_all()
    said = capsys.readouterr().err.splitlines()
    once = f"vidcaption: --log-file {path} can no longer be written: Is a directory"
    assert said == [once, "vidcaption: news", "vidcaption: failure"]
