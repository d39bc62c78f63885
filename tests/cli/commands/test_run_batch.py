"""``vidcaption run`` over many inputs: what it does, skips and keeps, and what it says of it."""

import io
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from clips import write_clip, write_image
from runs import Apart, Run

from vidcaption.batch import read_manifest
from vidcaption.batch.delivery import Delivery
from vidcaption.cli import main


@pytest.fixture
def here(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two images and a file that is none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIDCAPTION_RUN_MODEL", str(tiny))
    (tmp_path / "in").mkdir()
    for number in (2, 10):
        write_image(tmp_path / f"in/i{number}.png", number=number)
    (tmp_path / "in/bad.mp4").write_bytes(b"\0" * 5000)
    return tmp_path


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


Capsys = pytest.CaptureFixture[str]


def test_the_second_run_does_what_is_left(here: Path, capsys: Capsys) -> None:
    assert Run(capsys, "in", "--srt").code == 1
    before = stamps(here / "in")
    run = Run(capsys, "in", "--srt", "--progress", "off")
    assert run.code == 1
    assert run.lines[0].startswith("vidcaption: in/bad.mp4 ")
    assert run.lines[1].startswith("vidcaption: 0 captioned, 2 done before, 1 failed, in ")
    assert stamps(here / "in") == before
    (here / "in/i2.srt").unlink()
    run = Run(capsys, "in/i*.png", "--srt")
    assert run.code == 0
    assert run.lines[-1].startswith("vidcaption: 1 captioned, 1 done before, in ")
    run = Run(capsys, "in/i2.png", "--srt")
    assert run.lines == ["vidcaption: in/i2.png is done; --force captions it again"]
    run = Run(capsys, "in/i2.png", "--srt", "--max-words", "3")
    assert run.lines[0].startswith("vidcaption: in/i2.png -> in/i2.srt (")


def test_force_and_kept_files(here: Path, capsys: Capsys) -> None:
    (here / "in/i2.srt").write_text("mine")
    run = Run(capsys, "in/i2.png", "--srt")
    assert (run.code, run.lines) == (0, [
        "vidcaption: in/i2.srt is kept: it was edited, or vidcaption did not write it; "
        "--force replaces it"
    ])  # fmt: skip
    assert Run(capsys, "in/i2.png", "--srt", "-q").err == ""
    assert (here / "in/i2.srt").read_text() == "mine"
    run = Run(capsys, "in/i2.png", "-o", "in/i2.srt")
    assert run.code == 0 and (here / "in/i2.srt").read_text() == "mine"
    assert Run(capsys, "in/i2.png", "--srt", "--force").code == 0
    assert (here / "in/i2.srt").read_text() != "mine"


def test_one_file_for_all_is_done_or_kept(here: Path, capsys: Capsys) -> None:
    (here / "all.csv").write_text("mine")
    run = Run(capsys, "in/i*.png", "-o", "all.csv")
    assert run.code == 3 and "all.csv is kept" in run.err and "--force" in run.err
    assert Run(capsys, "in/i*.png", "-o", "all.csv", "--force").code == 0
    rows = (here / "all.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["video", "in/i2.png", "in/i10.png"]
    before = (here / "all.csv").stat()
    run = Run(capsys, "in/i*.png", "-o", "all.csv")
    assert run.code == 0 and "0 captioned, 2 done before" in run.err
    assert (here / "all.csv").stat() == before
    os.utime("in/i2.png", (1, 1))
    assert "1 captioned, 1 done before" in Run(capsys, "in/i*.png", "-o", "all.csv").err
    assert (here / "all.csv").read_text().splitlines() == rows


@pytest.mark.parametrize("format", ["json", "csv", "txt"])  # as unlike as they are
def test_one_file_is_the_same_whatever_came_between(
    here: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    """A kill between two inputs, shards, and inputs that failed at first and come later."""
    write_image(here / "in/i3.png", number=3)
    assert Run(capsys, "in/i2.png", "in/i3.png", "in/i10.png", "-o", f"one.{format}").code == 0

    class Kill(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Kill

    (here / "in/i3.png").rename("i3.png")
    write_image(here / "in/i3.png", number=3).write_bytes(b"no image")
    all_of_them = ["in/i2.png", "in/i3.png", "in/i10.png", "-o", f"all.{format}"]
    with monkeypatch.context() as patch:
        patch.setattr(Delivery, "_is_written", killed)
        with pytest.raises(Kill):
            Run(capsys, *all_of_them, "--shard", "1/2")
    assert not (here / f"all.{format}").exists()
    for _ in range(2):
        run = Run(capsys, *all_of_them, "--manifest", "m")
        assert run.code == 1 and "1 failed" in run.err
    assert "0 captioned, 2 done before, 1 failed" in run.err
    (here / "i3.png").rename("in/i3.png")
    run = Run(capsys, *all_of_them, "--retry-failed", "m")
    assert run.code == 0 and run.lines[0].startswith(f"vidcaption: in/i3.png -> all.{format} (")
    assert (here / f"all.{format}").read_bytes() == (here / f"one.{format}").read_bytes()
    dry = Run(capsys, *all_of_them, "--dry-run")
    assert dry.out == "done  in/i2.png\ndone  in/i3.png\ndone  in/i10.png\n"


def test_dry_run(here: Path, capsys: Capsys) -> None:
    Run(capsys, "in/i2.png", "in/i10.png", "--srt")
    (here / "in/i10.srt").write_text("mine")
    write_image(here / "in/i3\x1b[31m.png")
    before = stamps(here / "in")
    run = Run(capsys, "in", "--srt", "--dry-run")
    assert (run.code, run.err) == (0, "")
    assert run.out.splitlines() == [
        "run   in/bad.mp4 -> in/bad.srt",
        "done  in/i2.png",
        "run   in/i3\\u001b[31m.png -> in/i3\\u001b[31m.srt",
        "keep  in/i10.png: in/i10.srt is kept: it was edited, or vidcaption did not write it",
    ]
    run = Run(capsys, "in/i2.png", "--srt", "--dry-run", "--max-words", "3")
    assert run.out == "run   in/i2.png -> in/i2.srt (replaces in/i2.srt)\n"
    assert stamps(here / "in") == before


def test_a_dry_run_loads_no_model(here: Path) -> None:
    dry = Apart("run", "in", "--srt", "--dry-run", cwd=here)
    assert dry.code == 0 and not {"torch", "av", "cv2"} & dry.loaded


def test_fail_fast(here: Path, capsys: Capsys) -> None:
    run = Run(capsys, "in", "--srt", "--fail-fast")
    assert run.code == 1
    assert run.lines[-1].startswith("vidcaption: 0 captioned, 1 failed, 2 left, in ")
    assert not list((here / "in").glob("*.srt"))


def test_manifest_status_and_retry(here: Path, capsys: Capsys) -> None:
    assert Run(capsys, "in", "--srt", "--manifest", "log/m.jsonl", "--out-dir", "out").code == 1
    rows = [json.loads(line) for line in (here / "log/m.jsonl").read_text().splitlines()]
    assert [(row["path"], row["status"], row["root"]) for row in rows] == [
        ("in/bad.mp4", "failed", "in"),
        ("in/i2.png", "captioned", "in"),
        ("in/i10.png", "captioned", "in"),
    ]
    assert rows[0]["error"]["class"] == "InputError"
    assert rows[1]["outputs"] == {"srt": "out/i2.srt"}

    assert main(["status", "log/m.jsonl"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("3 inputs: 2 captioned, 0 done, 0 kept, 1 failed; ")
    assert second.startswith("failed: in/bad.mp4 is not a video")
    assert main(["status", "log/m.jsonl", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["inputs"], summary["captioned"], summary["failed"]) == (3, 2, 1)
    assert summary["failures"][0]["path"] == "in/bad.mp4"
    assert main(["status", "in/bad.mp4"]) == 2
    assert "is not a manifest" in capsys.readouterr().err

    write_clip(here / "in/bad.mp4", [0.0, 0.1])
    again = ["--retry-failed", "log/m.jsonl", "--srt", "--out-dir", "out"]
    run = Run(capsys, *again, "--manifest", "log/m.jsonl")
    assert run.code == 0 and run.lines[0].startswith("vidcaption: in/bad.mp4 -> out/bad.srt (")
    run = Run(capsys, *again)
    assert run.lines == ["vidcaption: nothing to do: no input is left by --shard or --retry-failed"]


def test_a_manifest_does_no_harm_to_other_files(here: Path, capsys: Capsys) -> None:
    clip = write_clip(here / "in/clip.mp4", [0.0, 0.1]).read_bytes()
    for name, args in (
        ("in/clip.mp4", ["in/i2.png", "--srt"]),
        ("in/i2.srt", ["in", "--srt"]),
        ("./all.jsonl", ["in", "-o", "all.jsonl"]),
    ):
        run = Run(capsys, *args, "--manifest", name)
        assert run.code == 2 and len(run.lines) == 1
        assert run.err.startswith(f"vidcaption: --manifest is {Path(name)}, which ")
    assert (here / "in/clip.mp4").read_bytes() == clip
    assert not list(here.glob("**/*.srt")) and not (here / "all.jsonl").exists()


def test_a_log_is_not_added_to_a_video(here: Path, capsys: Capsys) -> None:
    before = write_clip(here / "in/clip.mp4", [0.0, 0.1]).read_bytes()
    run = Run(capsys, "in/i2.png", "--srt", "--log-file", "in/clip.mp4")
    assert run.code == 2 and "--log-file is in/clip.mp4, which exists and is not text" in run.err
    assert (here / "in/clip.mp4").read_bytes() == before


def test_commands_of_their_own_keep_each_others_outputs(here: Path, capsys: Capsys) -> None:
    shutil.copy("in/i2.png", "x.png")
    shutil.copy("in/i10.png", "x.jpg")
    assert Run(capsys, "x.png", "--srt").code == 0
    first = (here / "x.srt").read_bytes()
    for said in ("x.jpg -> x.jpg.srt", "x.jpg is done", "x.jpg is done"):
        assert said in Run(capsys, "x.jpg", "--srt").err
        assert "x.png is done" in Run(capsys, "x.png", "--srt").err
    assert (here / "x.srt").read_bytes() == first
    (here / "x.png").unlink()  # nobody wants its captions any more
    assert "x.jpg -> x.srt" in Run(capsys, "x.jpg", "--srt").err


def test_retried_inputs_keep_their_names(here: Path, capsys: Capsys) -> None:
    """Which of x.png and x.mp4 becomes x.srt does not depend on which of them failed."""
    shutil.copy("in/i2.png", "x.png")
    shutil.copy("in/bad.mp4", "x.mkv")
    assert Run(capsys, "x.png", "x.mkv", "--srt", "--manifest", "m").code == 1
    assert (here / "x.png.srt").exists() and not (here / "x.srt").exists()
    write_clip(here / "x.mkv", [0.0, 0.1])
    Run(capsys, "--retry-failed", "m", "--srt")
    assert (here / "x.srt").exists()


def test_shards_share_the_inputs(here: Path, capsys: Capsys) -> None:
    shutil.copy("in/i2.png", "in/i2.jpg")
    out = ""
    for number in (1, 2, 3):
        out += Run(capsys, "in", "--srt", "--dry-run", "--shard", f"{number}/3").out
    whole = Run(capsys, "in", "--srt", "--dry-run").out
    assert sorted(out.splitlines()) == sorted(whole.splitlines())
    run = Run(capsys, "in", "--shard", "auto")
    assert run.code == 2 and "--shard is auto" in run.err


def test_a_shard_found_in_the_environment_is_told_of(
    here: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    run = Run(capsys, "in/i2.png", "--srt", "--shard", "auto", "-v")
    assert run.lines[0] == "vidcaption: shard 1/1, by torchrun's RANK: 1 input"


def test_a_list_of_inputs(here: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "list").write_bytes(b"in/i2.png\0gone.mp4\0in/i10.png\0")
    run = Run(capsys, "--from-file", "list", "--srt")
    assert run.code == 1
    assert "gone.mp4 cannot be read: no such file" in run.err
    assert "2 captioned, 1 failed" in run.err
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"in/i2.png\n")))
    assert Run(capsys, "--from-file", "-", "--jsonl", "-o", "-").out.count('"in/i2.png"') == 1


def test_a_video_on_standard_input(
    here: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pipe(name: str) -> None:
        data = (here / name).read_bytes()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    pipe("in/i2.png")
    run = Run(capsys, "-", "--json")
    assert run.code == 0 and json.loads(run.out)["video"]["path"] == "stdin"
    pipe("in/i2.png")
    assert Run(capsys, "-", "--srt", "--vtt", "--out-dir", "out").code == 0
    assert sorted(path.name for path in (here / "out").glob("s*")) == ["stdin.srt", "stdin.vtt"]
    pipe("in/bad.mp4")
    run = Run(capsys, "-")
    assert run.code == 1 and run.lines[0].startswith("vidcaption: stdin is not a video")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("- in/i2.png", "given with other inputs"),
        ("- --from-file -", "given with other inputs"),
        ("- --shard 1/2", "remove --shard"),
        ("- --srt --vtt", "2 are given"),
        ("in --shard 3/2", "allowed are 1/N to N/N"),
        ("in --suffix /", "is not a suffix"),
        ("--retry-failed in/bad.mp4", "is not a manifest"),
        ("--from-file gone", "--from-file gone cannot be read"),
        ("in --retries -1", "--retries is -1"),
        ("in -q -vv", "--quiet and --debug contradict"),
    ],
)
def test_wrong_commands(args: str, message: str, here: Path, capsys: Capsys) -> None:
    run = Run(capsys, *args.split())
    assert (run.code, run.out) == (2, "")
    assert len(run.lines) == 1 and message in run.err


def test_places_that_cannot_be_written(here: Path, capsys: Capsys) -> None:
    for flag in ("--manifest", "--log-file"):
        run = Run(capsys, "in/i2.png", "--srt", flag, "in")
        assert run.code == 3 and f"{flag} in cannot be written: Is a directory" in run.err
    assert not (here / "in/i2.srt").exists()


@pytest.mark.skipif(os.name != "posix", reason="needs symbolic links")
def test_an_input_whose_captions_cannot_be_written_is_named(here: Path, capsys: Capsys) -> None:
    (here / "all.csv").symlink_to("gone/all.csv")  # whose folder is not made
    (here / ".all.csv.parts").symlink_to("gone/parts")
    run = Run(capsys, "in/i2.png", "in/i10.png", "-o", "all.csv", "--manifest", "m")
    assert run.code == 1
    for line, name in zip(run.lines, ["in/i2.png", "in/i10.png"], strict=False):
        assert line.startswith(f"vidcaption: {name}: ") and ".all.csv.parts cannot be" in line
    main(["status", "m"])
    assert capsys.readouterr().out.splitlines()[1].startswith("failed: in/i2.png: ")


def test_one_place_that_cannot_be_written_costs_its_input_alone(here: Path, capsys: Capsys) -> None:
    (here / "out/i2.srt").mkdir(parents=True)
    run = Run(capsys, "in/i2.png", "in/i10.png", "--srt", "--out-dir", "out")
    assert run.code == 1 and (here / "out/i10.srt").is_file()
    assert run.lines[0].startswith("vidcaption: in/i2.png: out/i2.srt cannot be written")
    run = Run(capsys, "in/i2.png", "in/i10.png", "--srt", "--out-dir", "out")
    assert run.code == 1 and "0 captioned, 1 done before, 1 failed" in run.err
    run = Run(capsys, "in/i2.png", "--srt", "--out-dir", "out")
    assert run.code == 3
    assert run.lines == ["vidcaption: out/i2.srt cannot be written: it is a folder"]


def test_a_name_that_gets_too_long_is_found_before_the_work(here: Path, capsys: Capsys) -> None:
    long = "n" * 251  # of 255: .png fits, .json does not
    (here / "in/i2.png").rename(here / f"in/{long}.png")
    for place in ([], ["--out-dir", "new/folder"]):
        run = Run(capsys, "in/*.png", "--json", "--manifest", "m", *place)
        assert run.code == 1 and "1 captioned, 1 failed" in run.lines[-1]
        assert "cannot be written: its name is too long; choose a shorter one" in run.err
        [failed] = [row for row in read_manifest(Path("m")) if row.status == "failed"]
        assert (failed.path, failed.seconds) == (Path(f"in/{long}.png"), 0)
        run = Run(capsys, f"in/{long}.png", "--json", *place, "--model", "no/model", "--offline")
        assert run.code == 3 and "its name is too long" in run.err
        (here / "m").unlink()
    # what is kept until then has a longer name than the one file for all
    run = Run(capsys, "in", "-o", f"{'n' * 249}.jsonl")
    assert run.code == 3 and ".parts cannot be written: its name is too long" in run.err
    assert sorted(os.listdir()) == ["in", "new"]


def test_log_as_json(here: Path, capsys: Capsys) -> None:
    odd = "in/i\x1b]0;x\x07\u202e.png"
    shutil.copy("in/i2.png", odd)
    run = Run(capsys, "in/bad.mp4", odd, "--srt", "--log-json", "-vv", "--progress", "on")
    assert run.code == 1 and run.err.isascii() and "\x1b" not in run.err
    events = [json.loads(line) for line in run.lines]
    assert all({"time", "level", "event", "text"} <= event.keys() for event in events)
    by_event = {event["event"]: event for event in events}
    assert by_event["failed"]["path"] == "in/bad.mp4"
    assert by_event["failed"]["error_class"] == "InputError"
    assert by_event["captioned"]["path"] == odd
    assert by_event["summary"]["captioned"] == 1 and by_event["summary"]["failed"] == 1
    assert {"plan", "model", "device", "opened", "timing"} <= by_event.keys()
    assert (by_event["reused"]["frames"], by_event["reused"]["encoded"]) == (1, 1)
    run = Run(capsys, "gone.mp4", "--log-json")
    assert run.code == 2
    [event] = [json.loads(line) for line in run.lines]
    assert (event["level"], event["error_class"]) == ("error", "UsageError")


def test_log_file(here: Path, capsys: Capsys) -> None:
    for _ in range(2):
        run = Run(capsys, "in/i2.png", "in/bad.mp4", "--srt", "-q", "--log-file", "log/run.log")
        assert len(run.lines) == 1
    text = (here / "log/run.log").read_text()
    assert text.count(" error: in/bad.mp4 is not a video") == 2
    assert text.count(" info: in/i2.png -> in/i2.srt (") == 1
    assert text.count(" verbose: in/i2.png is done") == 1


def test_names_cannot_drive_the_terminal(here: Path, capsys: Capsys) -> None:
    odd = "in/\x1b]0;\u202ered.png"
    shutil.copy("in/i2.png", odd)
    for args in (["--srt", "--dry-run"], ["-vv", "--srt", "--manifest", "m"], ["--progress", "on"]):
        run = Run(capsys, odd, "in/i2.png", *args)
        assert "\x1b]" not in run.out + run.err and "\u202e" not in run.out + run.err
    shutil.copy("in/bad.mp4", odd)
    assert Run(capsys, odd, "--srt", "--manifest", "m").code == 1
    main(["status", "m"])
    assert "\\u001b]0;\\u202ered.png has no frame" in capsys.readouterr().out


def test_the_live_view_counts_files(here: Path, capsys: Capsys) -> None:
    run = Run(capsys, "in", "--srt", "--progress", "on")
    assert "of 3 files" in run.err and "1 failed" in run.err and "left" in run.err
