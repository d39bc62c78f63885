"""The contracts of ``vidcaption run``, in this process; ``test_run_process.py`` has the others."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import srt
from clips import Clips
from runs import Run
from tiny import WORDS, write_tiny

import vidcaption.output
from vidcaption.batch import ledger
from vidcaption.batch.runner import Outcome, _Work
from vidcaption.cli import main

ROOT = Path(__file__).parents[3]
CLIP = ROOT / "examples/clip.mp4"
SCHEMA = json.loads((Path(vidcaption.output.__file__).parent / "schema.json").read_text())
LINE = re.compile(r"\[\d\d:\d\d\.\d{3} --> \d\d:\d\d\.\d{3}\] \S.*")


@pytest.fixture
def here(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a video ``clip.mp4`` and a file ``bad.mp4`` that is none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIDCAPTION_RUN_MODEL", str(tiny))
    shutil.copy(CLIP, tmp_path / "clip.mp4")
    (tmp_path / "bad.mp4").write_bytes(b"\0" * 5000)
    return tmp_path


def names(folder: Path) -> list[str]:
    """All files but the ledgers; those only if they hold nothing, and should not be there."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(
        str(path.relative_to(folder))
        for path in files
        if path.name != ledger.NAME or path.stat().st_size == 0
    )


def test_subtitles_next_to_the_input(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, "clip.mp4", "--srt")
    assert (run.code, run.out) == (0, "")
    assert len(run.lines) == 1
    assert run.lines[0].startswith("vidcaption: clip.mp4 -> clip.srt (")
    cues = list(srt.parse((here / "clip.srt").read_text(encoding="utf-8")))
    assert 1 <= len(cues) <= 2
    assert cues[0].start.total_seconds() == 0 and cues[-1].end.total_seconds() <= 2
    assert names(here) == ["bad.mp4", "clip.mp4", "clip.srt"]


def test_quiet(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, "clip.mp4", "--srt", "-q")
    assert (run.code, run.out, run.err) == (0, "", "")


def test_verbose(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, "clip.mp4", "--srt", "-v", "--model", "default")
    assert run.code == 0
    assert re.fullmatch(r"vidcaption: model default, sha256 [0-9a-f]{64}", run.lines[0])
    assert re.fullmatch(r"vidcaption: on \S+, (fp32|bf16|fp16)", run.lines[1])
    assert run.lines[2] == "vidcaption: clip.mp4: h264, 480x360, 24.00 frames/s, 20.0 s"


def test_without_a_format_lines_come_out(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, "clip.mp4")
    assert (run.code, run.err) == (0, "")
    assert run.out and all(LINE.fullmatch(line) for line in run.out.splitlines())
    assert Run(capsys, "clip.mp4", "-o", "-").out == run.out
    plain = "".join(line.partition("] ")[2] + "\n" for line in run.out.splitlines())
    assert Run(capsys, "clip.mp4", "--txt", "-o", "-").out == plain
    assert names(here) == ["bad.mp4", "clip.mp4"]


def test_lines_of_several_stand_below_their_path(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy("clip.mp4", "zoo.mp4")
    run = Run(capsys, "clip.mp4", "bad.mp4", "zoo.mp4")
    assert run.code == 1
    clip, zoo = run.out.split("\n\n")
    assert clip.startswith("clip.mp4:\n[00:00.000 -->")
    assert zoo == clip.replace("clip.mp4", "zoo.mp4") + "\n"
    Run(capsys, "clip.mp4", "bad.mp4", "zoo.mp4", "-o", "all.txt")
    plain = re.sub(r"^\[.*\] ", "", run.out, flags=re.MULTILINE)
    assert (here / "all.txt").read_text() == plain


def test_stills_have_no_times_in_text(
    here: Path, clips: Clips, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(clips["still.png"], here / "a.png")
    said = Run(capsys, "a.png").out
    assert re.fullmatch(r"\w[^\[\]]*\n", said)
    assert Run(capsys, "a.png", "--txt", "-o", "-").out == said


def test_one_line_for_each_video_of_a_folder(
    here: Path, clips: Clips, capsys: pytest.CaptureFixture[str]
) -> None:
    """As trainers of other models want it: one plain sentence beside each file."""
    (here / "in").mkdir()
    shutil.copy("clip.mp4", "in/a.mp4")
    shutil.copy(clips["still.png"], here / "in/b.png")
    assert Run(capsys, "in", "--window", "whole", "--txt", "--end", "20").code == 0
    assert names(here / "in") == ["a.mp4", "a.txt", "b.png", "b.txt"]
    for name in ("a.txt", "b.txt"):
        assert re.fullmatch(r"\w[^\[\]\n]*\n", (here / "in" / name).read_text())
    jsons = Run(capsys, "in/a.mp4", "--window", "whole", "--json", "-o", "-", "--end", "1:00")
    document = json.loads(jsons.out)
    jsonschema.validate(document, SCHEMA)
    assert [(s["start"], s["end"]) for s in document["segments"]] == [(0, 20)]
    assert document["options"]["window_s"] == "whole" and document["options"]["end_s"] == 60


def test_several_formats(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    formats = ("srt", "vtt", "json", "jsonl", "tsv", "csv", "txt", "edl", "chapters", "xml")
    run = Run(capsys, "clip.mp4", *(f"--{name}" for name in formats))
    assert (run.code, run.out) == (0, "")
    assert names(here) == sorted(["bad.mp4", "clip.mp4", *(f"clip.{name}" for name in formats)])
    document = json.loads((here / "clip.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, SCHEMA)
    assert document["options"]["end_s"] == 2 and document["options"]["beam"] == 1


def test_unsure_captions_are_left_out(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["clip.mp4", "--json", "--txt", "--out-dir", "out", "--end", "8", "--window", "4"]
    asked += ["--model", "default"]
    both = json.loads(Run(capsys, *asked[:2], *asked[5:], "-o", "-").out)["segments"]
    worse, better = sorted(both, key=lambda segment: segment["confidence"])
    middle = f"{(worse['confidence'] + better['confidence']) / 2:.4f}"
    assert Run(capsys, *asked).code == 0
    run = Run(capsys, *asked, "--min-confidence", middle)  # is not taken for done
    assert "clip.mp4 -> out/clip.json, out/clip.txt" in run.err
    assert (here / "out/clip.txt").read_text() == f"{better['text']}\n"
    document = json.loads((here / "out/clip.json").read_text())
    jsonschema.validate(document, SCHEMA)
    below = {each["text"]: each["below_min_confidence"] for each in document["segments"]}
    assert below == {worse["text"]: True, better["text"]: False}
    lines = Run(capsys, "clip.mp4", *asked[5:], "--min-confidence", middle).out
    assert lines.count("\n") == 1 and better["text"] in lines


def test_folders_are_mirrored(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "in/deep").mkdir(parents=True)
    shutil.copy("clip.mp4", "in/a.mp4")
    shutil.copy("clip.mp4", "in/deep/a.mp4")
    run = Run(capsys, "in", "-r", "--out-dir", "out/new", "--vtt")
    assert (run.code, run.out) == (0, "")
    assert names(here / "out") == ["new/a.vtt", "new/deep/a.vtt"]
    assert run.lines[-1].startswith("vidcaption: 2 captioned, in ")


def test_one_bad_input_does_not_stop_the_others(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(capsys, "bad.mp4", "clip.mp4", "--srt")
    assert (run.code, run.out) == (1, "")
    assert run.lines[0].startswith("vidcaption: bad.mp4 ")
    assert run.lines[1].startswith("vidcaption: clip.mp4 -> clip.srt")
    assert run.lines[2].startswith("vidcaption: 1 captioned, 1 failed, in ")
    assert names(here) == ["bad.mp4", "clip.mp4", "clip.srt"]
    assert len(Run(capsys, "bad.mp4", "clip.mp4", "--srt", "-q").lines) == 1


def test_an_input_named_twice_runs_once(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, "clip.mp4", "./clip.mp4", str(here / "clip.mp4"), "--srt")
    assert len(run.lines) == 1


def test_json_of_one_and_of_several(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = json.loads(Run(capsys, "clip.mp4", "--json", "-o", "-").out)
    jsonschema.validate(one, SCHEMA)
    run = Run(capsys, "clip.mp4", "bad.mp4", "--json", "-o", "-")
    assert run.code == 1
    assert json.loads(run.out) == [one]
    (here / "in").mkdir()
    shutil.copy("clip.mp4", "in/a.mp4")
    of_folder = json.loads(Run(capsys, "in", "--json", "-o", "-").out)
    assert [each["video"]["path"] for each in of_folder] == ["in/a.mp4"]


def test_output_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "out").mkdir()
    assert Run(capsys, "clip.mp4", "-o", "out/a.tsv").code == 0
    assert (here / "out/a.tsv").read_text().startswith("start\tend\ttext\tconfidence\t")
    assert Run(capsys, "clip.mp4", "-o", "out/b.odd", "--csv").code == 0
    assert (here / "out/b.odd").read_text().startswith("video,start,end,text,score,")
    assert names(here / "out") == ["a.tsv", "b.odd"]


def test_addresses_in_a_list(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "list").write_text("https://a.b/c?token=1\nclip.mp4\n")
    run = Run(capsys, "--from-file", "list", "--srt")
    assert (run.code, run.lines) == (2, [
        "vidcaption: captions of https://a.b/c?token=*** cannot be written beside it, as https:// "
        "can only be read; add --out-dir or -o"
    ])  # fmt: skip
    run = Run(capsys, "--from-file", "list", "--srt", "--out-dir", "out", "--offline")
    assert run.code == 2 and "token=*** is an address, and --offline forbids" in run.lines[0]


def test_standard_output_by_other_names(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = Run(capsys, "clip.mp4", "--csv", "-o", "-").out
    assert Run(capsys, "clip.mp4", "--csv", "-o", "/dev/stdout").out == expected


def test_nothing_captioned_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for output in ("x.srt", "x.json"):
        assert Run(capsys, "bad.mp4", "-o", output).code == 1
    assert Run(capsys, "bad.mp4", "--srt").code == 1
    assert names(here) == ["bad.mp4", "clip.mp4"]


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ("gone.mp4 clip.mp4 lost.mp4", 2, "no such file or folder: gone.mp4, lost.mp4"),
        ("empty --srt", 2, "empty contains no video or image"),
        (
            "clip.mp4 --srt --vtt -o x.srt",
            2,
            "--output is one file, for one format, and 2 are given",
        ),
        ("clip.mp4 bad.mp4 -o x.srt", 2, "srt holds only one video"),
        ("clip.mp4 bad.mp4 --vtt -o -", 2, "vtt holds only one video"),
        ("videos --vtt -o -", 2, "vtt holds only one video"),
        ("clip.mp4 --srt -o clip.mp4", 2, "--output is clip.mp4, which is an input"),
        ("clip.mp4 --srt -o link.mp4", 2, "--output is link.mp4, which is an input"),
        ("clip.mp4 --srt --out-dir bad.mp4", 3, "bad.mp4/clip.srt cannot be written"),
        ("clip.mp4 --srt -o empty", 2, "--output is 'empty', which is a folder; to write into it"),
        ("clip.mp4 -o https://a.b/x.srt", 2, "nothing can be written to https://a.b/x.srt, as"),
        ("clip.mp4 --srt --out-dir http://a.b", 2, "nothing can be written to http://a.b, as http"),
        ("pipe --srt", 2, "pipe is a pipe, which can be read only once; save the video to a file"),
        ("clip.mp4 -o bad.mp4/x.srt", 3, "bad.mp4/x.srt cannot be written"),
        ("clip.mp4 --end 3 --start 4", 2, "--end is 3; it must be after --start, which is 4"),
        ("clip.mp4 --window whole --stride 2", 2, "--stride has no effect with --window whole"),
        ("clip.mp4 --window whole --segment scenes", 2, "--segment scenes has no effect with"),
        ("clip.mp4 --window hole", 2, "--window is 'hole'; it must be seconds, such as 90 or 90s"),
        ("clip.mp4 --window 0", 2, "it must be at least 0.1 and at most 3600, or whole"),
        ("clip.mp4 --start inf", 2, "--start is inf; it must be at least 0"),
        ("clip.mp4 --device abacus", 2, "--device is 'abacus'"),
        ("clip.mp4 --device cuda:99", 3, "--device is 'cuda:99'"),
        ("clip.mp4 --model nowhere", 3, "there is no model 'nowhere'"),
        ("clip.mp4 --model empty", 3, "empty"),
        ("clip.mp4 --min-confidence 60", 2, "--min-confidence is 60; it must be at least 0 and"),
        ("clip.mp4 --srt --model tiny --min-confidence 0.5", 2, "tiny gives no confidence; leave"),
    ],
)
def test_what_cannot_run_says_so_and_writes_nothing(
    args: str, code: int, message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "empty").mkdir()
    (here / "videos").mkdir()
    if "tiny" in args:
        write_tiny(here / "tiny")
    (here / "videos/a.mp4").symlink_to(here / "clip.mp4")
    (here / "link.mp4").symlink_to(here / "clip.mp4")
    if "pipe" in args:
        os.mkfifo(here / "pipe")
    before = names(here)
    run = Run(capsys, *args.split())
    assert (run.code, run.out) == (code, "")
    assert len(run.lines) == 1
    assert run.lines[0].startswith("vidcaption: ") and message in run.lines[0]
    assert names(here) == before


def test_broken_packets_are_told_of(
    here: Path, clips: Clips, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(clips["damaged.avi"], here / "torn.avi")
    every = "torn.avi", "--srt", "--window", "3", "--end", "3", "--frames", "30"
    run = Run(capsys, *every)
    assert run.code == 0
    assert run.lines[0] == "vidcaption: torn.avi: 2 broken packets skipped"
    assert Run(capsys, *every, "--force", "-q").err == ""


def test_names_that_are_not_text(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = b"caf\xe9\x1b[31m.mp4".decode("utf-8", "surrogateescape")
    try:
        shutil.copy("clip.mp4", name)
    except (OSError, UnicodeError):
        pytest.skip("this file system takes text only")
    run = Run(capsys, name, "--json", "-v")
    assert run.code == 0
    assert "caf\\udce9\\u001b[31m.mp4 -> " in run.err and "\x1b" not in run.err
    run = Run(capsys, name, "clip.mp4")
    assert run.out.startswith("caf\\udce9\\u001b[31m.mp4:\n")


def test_progress(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = Run(capsys, "clip.mp4", "--srt", "--progress", "on")
    assert re.search(r"0:00:0[12] of 0:00:20, \d+\.\d x real time", drawn.err)
    assert (drawn.code, drawn.out) == (0, "")
    assert "\x1b[" in drawn.err and "clip.mp4" in drawn.err
    for how in ("auto", "off"):  # standard error is no terminal here
        assert "\x1b[" not in Run(capsys, "clip.mp4", "--srt", "--progress", how).err


def test_a_video_that_is_cut_off(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is there is captioned, with a warning."""
    data = (here / "clip.mp4").read_bytes()
    (here / "half.mp4").write_bytes(data[: len(data) // 2])
    assert main(["run", "half.mp4", "--srt", "--beam", "1", "--frames", "1", "--no-merge"]) == 0
    errors = capsys.readouterr().err
    [missing_s] = re.findall(r"the last (\S+) s are missing; it may be cut off", errors)
    cues = list(srt.parse((here / "half.srt").read_text(encoding="utf-8")))
    assert cues[-1].end.total_seconds() == pytest.approx(20 - float(missing_s), abs=0.1)


def test_nothing_to_caption(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "clip.mp4", "--srt", "--start", "100"]) == 1
    assert "it lasts 20.0 s, and --start is 100" in capsys.readouterr().err
    assert names(here) == ["bad.mp4", "clip.mp4"]


def test_an_interrupt_keeps_what_shares_a_file(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy("clip.mp4", "second.mp4")
    finish, calls = _Work.finish, []

    def interrupted(*args: Any) -> Outcome:
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return finish(*args)

    monkeypatch.setattr(_Work, "finish", interrupted)
    run = Run(capsys, "clip.mp4", "second.mp4", "-o", "all.json")
    assert run.code == 130
    [document] = json.loads((here / "all.json").read_text())
    assert document["video"]["path"] == "clip.mp4"


def test_failures_do_not_replace_a_shared_file(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Run(capsys, "clip.mp4", "bad.mp4", "-o", "all.json")
    old = (here / "all.json").read_bytes()
    shutil.copy("bad.mp4", "clip.mp4")
    assert Run(capsys, "clip.mp4", "bad.mp4", "-o", "all.json").code == 1
    assert (here / "all.json").read_bytes() == old


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--workers", "0", "--workers is '0'; it must be auto, or from 1 to 256"),
        ("--workers", "many", "--workers is 'many'; it must be auto, or from 1 to 256"),
        ("--file-timeout", "0", "--file-timeout is 0; it must be above 0"),
        ("--device", "cpu,tpu", "--device is 'tpu'; allowed are auto, cpu, cuda, cuda:N and mps"),
    ],
)
def test_how_many_work_is_checked(
    here: Path, capsys: pytest.CaptureFixture[str], flag: str, value: str, message: str
) -> None:
    run = Run(capsys, "clip.mp4", "--srt", flag, value)
    assert run.code == 2 and message in run.err
    assert names(here) == ["bad.mp4", "clip.mp4"]


def test_a_name_that_is_too_long(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, "a" * 300 + ".mp4", "--srt")
    assert run.code == 2 and "no such file" in run.err


def test_several_models_write_together(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is done by one of them, or with other weights, is not done by both."""
    first, second = write_tiny(here / "a"), write_tiny(here / "b", seed=1, grid=1)
    mixed = ["--model", "a", "--model", "b=0.3"]
    assert Run(capsys, "clip.mp4", "--model", "a", "--json").code == 0
    alone = (here / "clip.json").read_text()
    run = Run(capsys, "clip.mp4", *mixed, "--json")
    assert run.code == 0 and "clip.mp4 -> clip.json" in run.err
    document = json.loads((here / "clip.json").read_text())
    jsonschema.validate(document, SCHEMA)
    assert document["model"]["name"] == f"{first.name} + {second.name}=0.3"
    assert document["segments"] != json.loads(alone)["segments"]
    assert "clip.mp4 -> " not in Run(capsys, "clip.mp4", *mixed, "--json").err
    run = Run(capsys, "clip.mp4", "--model", "a", "--model", "b=0.4", "--json")
    assert run.code == 0 and "clip.mp4 -> clip.json" in run.err


@pytest.mark.parametrize(
    ("models", "code", "message"),
    [
        (["a", "b"], 2, "--model is 'b'; models after the first need a weight, such as b=0.3"),
        (["a", "b=0.7", "b=0.7"], 2, "add up to 1.4; together they can be 1 at most"),
        (["a", "c=0.5"], 2, "do not have the same words (44 and 42), so they cannot be mixed"),
        (["a", "gone=0.5"], 3, "there is no model 'gone'"),
    ],
)
def test_models_that_cannot_write_together(
    models: list[str], code: int, message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, words in (("a", WORDS), ("b", WORDS), ("c", WORDS[2:])):
        write_tiny(here / name, words=words)
    run = Run(capsys, "clip.mp4", "--srt", *(x for name in models for x in ("--model", name)))
    assert run.code == code and message in run.lines[-1]
    assert not (here / "clip.srt").exists()


def test_an_index_has_one_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, "clip.mp4", "--index", "i.db", "--model", "a", "--model", "b=0.5")
    assert run.code == 2 and "--index keeps captions of one model" in run.err
    assert not (here / "i.db").exists()
