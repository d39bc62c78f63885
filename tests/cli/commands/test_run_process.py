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

from vidcaption.cli import main

CLIP = Path(__file__).parents[3] / "examples/clip.mp4"
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


def test_no_code_is_taken_from_the_working_folder(tmp_path: Path) -> None:
    for name in ("tempfile", "inspect", "socket", "typer"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(7)")
    command = [*RUN[:-1], "--version"]
    assert subprocess.run(command, cwd=tmp_path, stdout=subprocess.DEVNULL).returncode == 0


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
    said = re.fullmatch(
        r"(vidcaption: b.mp4: h264, .*\n)?"
        r"vidcaption: interrupted: 1 captioned, 1 left, in \S+ s; "
        r"the same command continues"
        r"(?: (at the start of b.mp4|at (\d+\.\d) s of b.mp4))?\n",
        rest,
    )
    assert said is not None
    if said[1]:
        assert said[2]
    names = sorted(path.name for path in tmp_path.iterdir())
    kept = [".b.srt.parts"] if said[3] else []
    assert names == [*kept, ".vidcaption.jsonl", "a.png", "a.srt", "b.mp4"]


@posix
@pytest.mark.parametrize("number", [15, 1], ids=["SIGTERM", "SIGHUP"])
def test_a_video_on_standard_input_leaves_no_copy(tmp_path: Path, number: int) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    command = [*RUN, "-", "--srt"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdin is not None
        while not list(tmp_path.glob("vidcaption-*/stdin")):
            process.stdin.write(b"video")
            process.stdin.flush()
        process.send_signal(number)
        process.stdin.close()  # it may have been about to wait for more
        assert process.wait() == 130
    assert list(tmp_path.iterdir()) == []


@posix
def test_a_reader_that_goes_away_ends_it_quietly(tiny: Path) -> None:
    command = [*RUN, str(CLIP), "--frames", "1", "--no-merge", "--model", str(tiny)]
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
def test_a_full_disk_behind_standard_output(tmp_path: Path, tiny: Path) -> None:
    full = "import os; os.dup2(os.open('/dev/full', os.O_WRONLY), 1)"
    command = ["run", str(CLIP), "--end", "4", "--model", str(tiny)]
    process = forks.start(*command, cwd=tmp_path, stderr="said", before=full)
    process.join()
    message = "vidcaption: standard output cannot be written: No space left on device\n"
    assert (process.exitcode, (tmp_path / "said").read_text()) == (3, message)


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


@posix
def test_a_folder_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(["run", str(CLIP), "--srt", "--out-dir", str(tmp_path)]) == 3
    message = "vidcaption: the working folder is gone; change to one that exists\n"
    assert capsys.readouterr() == ("", message)
    assert main(["--version"]) == 0


@posix
def test_too_few_open_files(tmp_path: Path) -> None:
    import resource

    result = subprocess.run(
        [*RUN, str(CLIP), "--srt", "--out-dir", str(tmp_path)],
        capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (6, 6)),
    )  # fmt: skip
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (3, "", 1)
    assert "started to read videos: too many open files; raise that limit" in result.stderr


# A user whom the system does not know, as in a container that is run with a number for its user.
HOMELESS = """
import pwd, sys

def unknown(user):
    raise KeyError(user)

pwd.getpwuid = unknown
from vidcaption.cli import main
for command in sys.argv[1:]:
    print(main(command.split()), flush=True)
"""


@posix
def test_a_user_without_a_home(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    commands = {
        "run a.png --srt -q": (0, ""),
        "config show run": (0, ""),
        "models list": (0, ""),
        "run a.png --engine openvino": (
            3,
            "CNN is kept in the home folder, and this user has none",
        ),
        "models pull ann/x": (3, "models from the Hub are kept in the home folder, and this user"),
        "run a.png --model ~nobody/x": (3, "there is no model '~nobody/x'; give a model folder"),
    }
    places = ("HOME", "HF_", "XDG_")
    environment = {name: os.environ[name] for name in os.environ if not name.startswith(places)}
    result = subprocess.run(
        [sys.executable, "-c", HOMELESS, *commands],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    codes = [int(line) for line in result.stdout.splitlines() if line.isdigit()]
    assert codes == [code for code, _ in commands.values()]
    told = [message for _, message in commands.values() if message]
    for line, message in zip(result.stderr.splitlines(), told, strict=True):
        assert message in line
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [".vidcaption.jsonl", "a.png", "a.srt"]


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
