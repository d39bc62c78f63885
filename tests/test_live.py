"""Streams captioned while they are filmed, by a tiny random model."""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest
from streams import send, served
from tiny import write_tiny

from vidcaption import Captioner, InputError, Segment
from vidcaption.errors import OutputError, UsageError
from vidcaption.live import Hook, Subtitles, Watching, live_json, live_line
from vidcaption.options.captioning import WindowOptions
from vidcaption.options.live import LiveOptions
from vidcaption.output.subtitles import read_cues
from vidcaption.video.source import Source

WINDOWS = WindowOptions(window_s=10, frames=1, beam=1, max_words=4)
ONE = Segment(1e9, 1e9 + 4, "A person walks", -0.5, confidence=0.25)


@pytest.fixture(scope="module")
def captioner(tmp_path_factory: pytest.TempPathFactory) -> Captioner:
    folder = write_tiny(tmp_path_factory.mktemp("tiny"))
    return Captioner.from_pretrained(folder, device="cpu", precision="fp32", isolate=False)


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """40 seconds: so long windows are not dropped, however busy the machine."""
    path = tmp_path_factory.mktemp("stream") / "a.ts"
    send(str(path), 40, paced=False)
    return path.read_bytes()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidcaption.live.FIRST_WAIT_S", 0.01)


def watching(captioner: Captioner, address: str, **options: int | float) -> Watching:
    return Watching(captioner, Source.of(address), WINDOWS, LiveOptions.flat(**options))


def test_windows_have_the_frames_of_the_model(tmp_path: Path) -> None:
    captioner = Captioner.from_pretrained(write_tiny(tmp_path, frames=3), device="cpu")
    watch = Watching(captioner, Source.of("rtsp://127.0.0.1:9/"), WindowOptions(), LiveOptions())
    assert watch._options.frames == 3


def test_times_are_those_of_day(captioner: Captioner, stream: bytes) -> None:
    before_s = time.time()
    with served(stream) as address:
        watch = watching(captioner, address, retries=0)
        came = [(segment, time.time()) for segment in watch]
    found = [segment for segment, _ in came]
    assert len(found) == watch.captions == 4 and not watch.dropped
    for segment, now_s in came:
        assert segment.end_s - segment.start_s == pytest.approx(10, abs=0.2)
        assert before_s - 40 <= segment.start_s and segment.end_s <= now_s + 0.2
        assert segment.text and segment.words
    assert all(a.start_s < b.start_s for a, b in pairwise(found))


@pytest.mark.usefixtures("hasty")
def test_it_is_connected_again(
    captioner: Captioner, stream: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """And again, until nobody listens any more."""
    watch = None
    with (
        served(stream, stream[: len(stream) // 2], stream) as address,
        pytest.raises(InputError, match=r"refuses the connection|reset by peer"),
    ):
        watch = watching(captioner, address, retries=2)
        for _ in watch:
            pass
    assert watch is not None and 9 <= watch.captions <= 11
    told = caplog.messages
    waits = [line.rpartition("; ")[2] for line in told if "connecting again" in line]
    first = "connecting again in 0.01 s"
    assert waits == [first, first, first, "connecting again in 0.02 s"]


def test_what_is_not_there_at_first_is_an_error(captioner: Captioner) -> None:
    with (
        served(b"no video" * 1000) as address,
        pytest.raises(InputError, match="gives no video"),
    ):
        list(watching(captioner, address))


def test_memory_does_not_grow(captioner: Captioner, stream: bytes) -> None:
    """Nothing is kept of the segments that were given."""
    from vidcaption.options.captioning import CaptionOptions
    from vidcaption.video.live import LiveWindows

    options = CaptionOptions(window_s=1, frames=1, segment="fixed")
    with served(stream) as address:
        reader = LiveWindows(Source.of(address), captioner.frame_size, options, 5.0)
        with captioner.open_live(reader, options, captioner.batcher(options)) as captioning:
            assert len(list(captioning)) >= 1
            assert captioning.captions().segments == ()
            assert captioning.queued == 0


def test_who_is_slow_loses_windows_and_is_told_once(
    captioner: Captioner, stream: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    windows = replace(WINDOWS, window_s=0.1)
    with served(stream) as address:
        watch = Watching(captioner, Source.of(address), windows, LiveOptions(retries=0))
        for _ in watch:
            time.sleep(0.3)
    assert watch.dropped["windows"] + watch.captions == 400
    assert watch.dropped["windows"] >= 200
    assert sum("captioning is slower than the stream" in line for line in caplog.messages) == 1


def test_subtitles_of_the_latest_captions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "sub/latest.vtt"
    monkeypatch.setattr("vidcaption.live.LATEST", 3)
    subtitles = Subtitles(path)
    assert path.read_text() == "WEBVTT\n"
    for i in range(5):
        start_s = ONE.start_s + 4 * i
        subtitles.add(replace(ONE, start_s=start_s, end_s=start_s + 4, text=f"Caption {i}"))
    cues = [(cue.start_ms, cue.end_ms, *cue.lines) for cue in read_cues(path)]
    assert cues == [(4000 * i, 4000 * i + 4000, f"Caption {i}") for i in (2, 3, 4)]
    assert "\n\nNOTE 00:00:00.000 is 2001-09-09T01:46:40.000+00:00\n\n" in path.read_text()
    path.unlink()
    path.mkdir()
    (path / "file").touch()
    subtitles.add(ONE)
    assert "cannot be written" in caplog.messages[-1]
    with pytest.raises(OutputError):
        Subtitles(path)


def command(code: str) -> list[str]:
    return [sys.executable, "-c", code]


SAY = """
import os, sys
with open(sys.argv[1], "a") as file:
    print(*sys.argv[2:], *(os.environ[name] for name in sys.argv[2:]), sep=";", file=file)
"""
VARIABLES = [f"CAPTION{rest}" for rest in ("", "_START", "_END", "_CONFIDENCE", "_SOURCE")]


def test_a_command_for_captions_that_are_like_a_pattern(tmp_path: Path) -> None:
    target = tmp_path / "said; rm -rf"  # no shell reads it
    hook = Hook(["A PERSON*", "*dog"], [*command(SAY), str(target), *VARIABLES], "camera 0")
    for text in ("A person walks", "There is a person", "a dogged man"):
        hook.add(replace(ONE, text=text))
    hook.close()
    said = [*VARIABLES, "A person walks", "2001-09-09T01:46:40.000+00:00"]
    said += ["2001-09-09T01:46:44.000+00:00", "0.2500", "camera 0"]
    assert target.read_text() == ";".join(said) + "\n"


def test_a_model_without_confidence_and_a_word_with_a_zero(tmp_path: Path) -> None:
    hook = Hook(["*"], [*command(SAY), str(tmp_path / "a"), "CAPTION", "CAPTION_CONFIDENCE"], "-")
    hook.add(replace(ONE, text="A\0b", confidence=None))
    hook.close()
    assert (tmp_path / "a").read_text().endswith(r";A\u0000b;" + "\n")


def test_a_command_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    hook = Hook(["*"], command("exit(3)"), "camera 0")
    hook.add(ONE)
    hook.close()
    assert caplog.messages == [f"{sys.executable} failed with exit code 3"]


def test_a_command_that_is_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    hook = Hook(["*"], [str(program)], "camera 0")
    program.unlink()
    hook.add(ONE)
    hook.close()
    assert caplog.messages == [f"{program} cannot be run: No such file or directory"]


def test_commands_that_do_not_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vidcaption.live.ENDING_S", 0.1)
    hook = Hook(["*"], ["sleep", "60"], "camera 0")
    for _ in range(5):
        hook.add(ONE)
    assert caplog.messages == ["sleep still runs for 4 earlier captions, so not for this one"]
    hook.close()
    assert caplog.messages[1:] == ["sleep failed with exit code -9"] * 4


@pytest.mark.parametrize(
    ("patterns", "given", "message"),
    [
        (["*"], [], "--on is given without a command; write --on 'a person"),
        ([], ["true"], "a command is given without --on"),
        (["*"], ["no-such-program", "-x"], "--on is to run 'no-such-program', and there is no"),
        (["*"], [""], "--on is to run '', and there is no"),
    ],
)
def test_no_command(patterns: Sequence[str], given: Sequence[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Hook(patterns, given, "camera 0")


def test_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        line = live_line(replace(ONE, text="A\x1b[2J dog"))
        assert line == r"[2001-09-09 01:46:40 --> 01:46:44] A\u001b[2J dog"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_json() -> None:
    row = json.loads(live_json(ONE, "camera 0"))
    start, end = map(datetime.fromisoformat, (row["start"], row["end"]))
    assert (start.timestamp(), end.timestamp()) == (ONE.start_s, ONE.end_s)
    keys = "source start end text score confidence below_min_confidence words concepts"
    assert list(row) == keys.split()
    assert (row["source"], row["text"], row["confidence"]) == ("camera 0", "A person walks", 0.25)
