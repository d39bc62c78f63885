"""The contracts of ``vidcaption run`` that only a process of its own can show."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import forks
import numpy as np
import pytest
from clips import write_image
from runs import Apart

CLIP = Path(__file__).parent.parent.parent / "examples/clip.mp4"
RUN = [sys.executable, "-m", "vidcaption", "run"]

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and pipes")


def test_results_and_messages_are_kept_apart(tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.touch()
    command = [*RUN, str(bad), str(CLIP), "--jsonl", "-o", "-", "--beam", "1", "--end", "4"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    result = subprocess.run(command, capture_output=True, env=environment)
    assert result.returncode == 1
    rows = [json.loads(line) for line in result.stdout.decode("utf-8").splitlines()]
    assert [row["video"] for row in rows] == [str(CLIP)]
    failure, summary = result.stderr.decode("utf-8").splitlines()
    assert failure.startswith(f"vidcaption: {bad} ")
    assert summary.startswith("vidcaption: 1 captioned, 1 failed, in ")


def test_wrong_commands_are_told_before_the_model_is_loaded(tmp_path: Path) -> None:
    missing = Apart("run", "gone.mp4", cwd=tmp_path)
    assert missing.code == 2 and "torch" not in missing.loaded
    (tmp_path / "file").touch()
    unwritable = Apart("run", str(CLIP), "--srt", "--out-dir", "file", cwd=tmp_path)
    assert unwritable.code == 3 and "torch" not in unwritable.loaded


@posix
@pytest.mark.parametrize("to_all", [False, True], ids=["kill", "Ctrl-C"])
@pytest.mark.parametrize("device", ["cpu", "cpu,cpu"])
def test_an_interrupted_run_leaves_only_finished_files(
    tmp_path: Path, device: str, to_all: bool
) -> None:
    """A terminal sends Ctrl-C to all processes of a command at once, those that read included."""
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((32, 32, 3), np.uint8))
    shutil.copy(CLIP, tmp_path / "b.mp4")
    pipe = tmp_path.with_suffix(".stderr")
    os.mkfifo(pipe)
    command = ["run", "a.png", "b.mp4", "--srt", "-v", "--beam", "50", "--stride", "0.1"]
    process = forks.start(*command, "--device", device, cwd=tmp_path, stderr=str(pipe))
    with pipe.open() as stderr:
        for line in stderr:
            if line.startswith("vidcaption: a.png ->"):
                assert process.pid is not None
                kill = os.killpg if to_all else os.kill
                kill(process.pid, signal.SIGINT)
                break
        rest = stderr.read()
    process.join()
    assert process.exitcode == 130
    assert re.fullmatch(
        r"(vidcaption: b.mp4: h264, .*\n)?"
        r"vidcaption: interrupted: 1 captioned, 1 left, in \S+ s; "
        r"the same command goes on from here\n",
        rest,
    )
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [".vidcaption.jsonl", "a.png", "a.srt", "b.mp4"]


@posix
def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    command = [*RUN, str(CLIP), "--beam", "1", "--frames", "1", "--no-merge"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@posix
@pytest.mark.parametrize("args", ["--help", "run --help", "models list"])
def test_help_and_lists_end_quietly_too(args: str) -> None:
    process = subprocess.Popen(
        [*RUN[:-1], *args.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@posix
def test_a_reader_of_a_pipe_that_goes_away(tmp_path: Path) -> None:
    """As with ``-o >(head -1)``."""
    os.mkfifo(tmp_path / "pipe")
    images = [write_image(tmp_path / f"{i}.png") for i in range(2)]
    command = ["run", *map(str, images), "--json", "-o", "pipe", "--beam", "1"]
    process = forks.start(*command, cwd=tmp_path)
    (tmp_path / "pipe").open().close()
    process.join()
    assert process.exitcode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_standard_output() -> None:
    with open("/dev/full", "w") as full:
        command = [*RUN, str(CLIP), "--beam", "1", "--end", "4"]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 3
    assert (
        result.stderr == "vidcaption: standard output cannot be written: No space left on device\n"
    )


@posix
@pytest.mark.parametrize("stderr", ["/dev/full", "&-"])
def test_a_batch_goes_on_where_nothing_can_be_said(tmp_path: Path, stderr: str) -> None:
    if stderr == "/dev/full" and not Path(stderr).exists():
        pytest.skip("needs /dev/full")
    for name in ("a.png", "b.png"):
        write_image(tmp_path / name)
        (tmp_path / name).with_suffix(".srt").write_text("mine")  # which each is told of
    shell = ["sh", "-c", f'"$@" 2>{stderr}', "sh", *RUN, "a.png", "b.png"]
    command = [*shell, "--srt", "--manifest", "m"]
    result = subprocess.run(command, stdout=subprocess.PIPE, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, b"")
    assert (tmp_path / "m").read_bytes().count(b'"status": "kept"') == 2


@posix
def test_closed_standard_streams() -> None:
    for args, streams, code, message in (
        ("--version", ">&-", 3, "standard output is closed; leave it open, or give --output"),
        ("run - --srt", "<&-", 2, "standard input is closed; pipe a video into it"),
    ):
        shell = ["sh", "-c", f'"$@" {streams}', "sh", *RUN[:-1], *args.split()]
        result = subprocess.run(shell, capture_output=True, text=True)
        assert (result.returncode, result.stderr) == (code, f"vidcaption: {message}\n")


@pytest.mark.parametrize(
    ("args", "out", "err", "hinted"),
    [
        ("--srt", "out", "err", True),
        ("--srt", "log", "log", False),
        ("--srt -q", "out", "err", False),
        ("--srt --out-dir .", "out", "err", False),
        ("--srt", None, "err", False),
    ],
)
def test_an_empty_file_of_results_is_explained(
    tmp_path: Path, args: str, out: str | None, err: str, hinted: bool
) -> None:
    """``vidcaption run x.mp4 --json > j.json`` writes to x.json."""
    write_image(tmp_path / "a.png")
    (tmp_path / "a.srt").write_text("mine")  # so that no model is loaded
    with open(tmp_path / (out or "pipe"), "w") as stdout, open(tmp_path / err, "a") as stderr:
        subprocess.run(
            [*RUN, "a.png", *args.split()],
            stdout=stdout if out else subprocess.PIPE, stderr=stderr, cwd=tmp_path, check=True,
        )  # fmt: skip
    lines = (tmp_path / err).read_text().splitlines()
    hint = "vidcaption: captions are written next to the inputs; add -o - for standard output"
    assert (hint in lines) is hinted
    assert out == err or (tmp_path / (out or "pipe")).read_text() == ""
