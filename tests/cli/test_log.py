import json
import logging
from pathlib import Path

import pytest

from vidcaption.cli.log import VERBOSE, event, logging_as
from vidcaption.options import LogOptions, VoiceOptions

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
    once = f"vidcaption: --log-file {path} cannot be written any more: Is a directory"
    assert said == [once, "vidcaption: news", "vidcaption: failure"]
