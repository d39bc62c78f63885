"""``vidcaption live``: what it prints, and streams that PyAV sends in a process of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
import streams
from clips import Clips
from tiny import write_tiny

from vidcaption.cli import main
from vidcaption.output.subtitles import read_cues

QUICK = ["--frames", "1", "--beam", "1", "--max-words", "4"]
LONG = [*QUICK, "--window", "10"]  # not dropped, however busy the machine
SHORT = [*QUICK, "--window", "1"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """40 seconds."""
    path = tmp_path_factory.mktemp("stream") / "a.ts"
    streams.send(str(path), 40, paced=False)
    return path.read_bytes()


def test_lines(model: str, stream: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    with streams.served(stream) as address:
        assert main(["live", address, "--retries", "0", "--model", model, *LONG]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == 4
    for line in lines:
        start, _, end = line[1:].partition("]")[0].partition(" --> ")
        assert abs(datetime.fromisoformat(start).timestamp() - time.time()) < 3600
        assert len(end) == 8
    assert err == f"vidcaption: watching {address} (h264)\nvidcaption: ended: 4 captions\n"


def test_json_subtitles_and_a_command(
    model: str, stream: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "import os, sys; open(sys.argv[1], 'a').write(os.environ['CAPTION'] + '\\n')"
    said, vtt = tmp_path / "said", tmp_path / "a.vtt"
    with streams.served(stream) as address:
        assert main([
            "live", address, "--retries", "0", "--jsonl", "--vtt", str(vtt), "--model", model,
            *LONG, "--on", "*word*", "--", sys.executable, "-c", code, str(said),
        ]) == 0  # fmt: skip
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    texts = [row["text"] for row in rows]
    assert len(rows) == 4
    assert sorted(said.read_text().splitlines()) == sorted(texts)
    assert [" ".join(cue.lines) for cue in read_cues(vtt)] == texts


def test_captions_below_the_minimum_are_only_in_json(
    stream: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the built-in model, which is never certain of such pictures."""
    options = [*LONG, "--retries", "0", "--min-confidence", "1"]
    with streams.served(stream, stream) as address:
        assert main(["live", address, *options]) == 0
        assert capsys.readouterr().out == ""
        assert main(["live", address, "--jsonl", *options]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows and all(row["below_min_confidence"] for row in rows)


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["nothing.ts"], 2, "nothing.ts cannot be opened (no such file or directory); SOURCE is"),
        (["987"], 2, "there is no camera 987: /dev/video987 does not exist"),
        (["srt://camera:5"], 2, "SOURCE is an address of srt://, which is not supported"),
        (["0", "--window", "whole"], 2, "--window is 'whole'; it must be seconds"),
        (["0", "--timeout", "0"], 2, "--timeout is 0; it must be at least 0.1"),
        (["-", "--on", "a"], 2, "--on is given without a command"),
        (["-", "--on", ""], 2, "--on is empty"),
        (["-", "ls"], 2, "a command is given without --on"),
        (["-", "--on", "a", "--", "no-such-program"], 2, "there is no such program"),
        (["-", "--vtt", "/dev/null/a.vtt"], 3, "/dev/null/a.vtt cannot be written"),
        (["-", "--model", "nowhere"], 3, "nowhere"),
        (["-", "--model", "a", "--model", "b"], 2, "models after the first need a weight"),
    ],
)
@pytest.mark.skipif(os.name != "posix", reason="other names of devices")
def test_bad_input(
    args: list[str],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert main(["live", *args]) == code
    out, err = capsys.readouterr()
    assert out == "" and message in err and len(err.splitlines()) == 1
    caplog.clear()


def test_what_cannot_be_watched(
    model: str, clips: Clips, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    address = f"rtsp://me:secret@127.0.0.1:{streams.free_port()}/a"
    assert main(["live", address, "--model", model]) == 1
    hidden = address.replace("secret", "***")
    refused = f"{hidden} refuses the connection (is it on, and the port right?)"
    assert capsys.readouterr() == ("", f"vidcaption: {refused}\n")
    with streams.served(clips["sound.mp4"].read_bytes()) as address:
        assert main(["live", address, "--model", model]) == 1
    assert capsys.readouterr().err == f"vidcaption: {address} holds sound but no video\n"
    caplog.clear()


def started(*args: str) -> "subprocess.Popen[str]":
    """The command in a process of its own, to be interrupted."""
    command = [sys.executable, "-m", "vidcaption", "live", *args, "--jsonl"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def interrupted(process: "subprocess.Popen[str]") -> tuple[list[str], list[str]]:
    """The lines that it prints when it ends, to standard output and error."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    return out.splitlines(), err.splitlines()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_a_stream_that_is_cut_and_comes_back(model: str) -> None:
    address = f"tcp://127.0.0.1:{streams.free_port()}"
    began_s = time.time()
    with (
        streams.sent(f"{address}?listen=1", 6, times=2),
        started(address, *SHORT, "--model", model) as process,
    ):
        assert process.stdout is not None
        rows, came_s = [], []
        while len(rows) < 11:
            rows.append(json.loads(process.stdout.readline()))
            came_s.append(time.time())
        _, told = interrupted(process)
    bounds = [
        tuple(datetime.fromisoformat(row[key]).timestamp() for key in ("start", "end"))
        for row in rows
    ]
    for (start_s, end_s), at_s in zip(bounds, came_s, strict=True):
        assert began_s < start_s < end_s <= at_s + 0.1
    assert f"vidcaption: {address} has ended; connecting again in 0.5 s" in told
    assert sum("watching" in line for line in told) == 2
    assert told[-1].startswith("vidcaption: interrupted: ")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_udp(model: str) -> None:
    """Who sends does not know whether anybody watches, so it may begin amid the stream."""
    address = f"udp://127.0.0.1:{streams.free_port(socket.SOCK_DGRAM)}"
    with (
        streams.sent(f"{address}?pkt_size=1316", 60),
        started(address, *SHORT, "--model", model) as process,
    ):
        assert process.stdout is not None
        rows = [json.loads(process.stdout.readline()) for _ in range(3)]
        _, told = interrupted(process)
    assert {row["source"] for row in rows} == {address}
    assert not any("again" in line for line in told)
