import importlib.util
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType
from typing import get_args

import film
import numpy as np
import pytest
from clips import write_image
from greys import TRAIN, write_greys
from PIL import Image
from runs import check_arguments
from tiny import PEOPLE, write_tiny

from vidcaption import Captioner, InputError
from vidcaption.model import folder
from vidcaption.model.config import ModelConfig
from vidcaption.options.base import flag_of
from vidcaption.options.captioning import Sampling
from vidcaption.options.output import VoiceOptions
from vidcaption.options.training import TrainOptions
from vidcaption.video.reader import probe

pytest.importorskip("resource", reason="peak memory is read with a POSIX module")

ROOT = Path(__file__).parent.parent


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"benchmarks/{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_those_of_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tables.py", "--check"])
    tables = load("tables")
    tables.main()
    pages = "".join(page.read_text(encoding="utf-8") for page in tables.PAGES)
    assert all(f"<!-- table: {name} -->" in pages for name in tables.TABLES)


def test_the_scores_are_those_of_the_embedded_model() -> None:
    scored = {}
    for path in (ROOT / "benchmarks/results").glob("*.json"):
        report = json.loads(path.read_text(encoding="utf-8"))
        if "model_sha256" in report:
            scored[path.name] = report["model_sha256"]
    assert set(scored.values()) == {Captioner.from_pretrained().model.sha256}


def test_the_card_counts_the_words_and_parameters() -> None:
    model = folder.load(ROOT / "weights/default")
    parameters = sum(parameter.numel() for parameter in model.network.parameters()) / 1e6
    card = (ROOT / "weights/default/README.md").read_text(encoding="utf-8")
    assert f"{parameters:.1f} million parameters" in card
    assert f"{len(model.vocabulary):,} words" in card


def test_made_up_captions_use_the_words_of_the_embedded_model() -> None:
    words = load("find").words()
    assert len(words) > 5000 and {"dog", "man", "a"} <= set(words)


def test_speed_prints_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    speed = load("speed")
    monkeypatch.setattr(sys, "argv", ["speed.py", str(ROOT / "examples/clip.mp4"), "--runs", "1"])
    speed.main()
    report = json.loads(capsys.readouterr().out)
    assert report["video"]["frames"] == 480 and report["video"]["duration_s"] == 20
    assert list(report["seconds"]) == ["decode", "encode", "search", "write", "all"]
    assert all(seconds >= 0 for seconds in report["seconds"].values())
    assert report["times_real_time"] == pytest.approx(20 / report["seconds"]["all"], abs=0.06)
    assert report["peak_memory_mib"]["main"] > 100


def test_long_video_prints_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["long_video.py", "--runs", "1", "--seconds", "5", "--gop", "48"]
    monkeypatch.setattr(sys, "argv", [*command, "--size", "256x144", "--peer", "1"])
    load("long_video").main()
    report = json.loads(capsys.readouterr().out)
    made = report["film"]
    assert (made["size"], made["frames"], made["duration_s"]) == ("256x144", 125, 5)
    assert made["key_frames"] >= 3 and 0 < made["unreferenced"] < 1
    work = {f"{kind} {sampling}" for kind in ("read", "caption") for sampling in get_args(Sampling)}
    assert set(report["passes"]) == work | {"decode all", "caption exact, fixed windows"}
    assert all(value > 0 for row in report["passes"].values() for value in row.values())
    assert report["peer"]["wall_ratio"] > 0


@pytest.mark.slow
def test_cuts_prints_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cuts = load("cuts")
    monkeypatch.setattr(cuts, "ENCODERS", {"x264": cuts.ENCODERS["libx264, fixed groups"]})
    monkeypatch.setattr(cuts, "SIZE", (128, 72))
    command = ["cuts.py", "--runs", "1", "--seconds", "25", "--size", "128x72"]
    monkeypatch.setattr(sys, "argv", command)
    cuts.main()
    report = json.loads(capsys.readouterr().out)
    costs = report["cost"]
    assert [cost["fixed"]["segments"] for cost in costs.values()] == [7, 7]
    # Cuts every 6 s leave windows of 6 s, where they are found.
    assert costs["6"]["auto"]["segments"] < 7 <= costs["2 to 10"]["auto"]["segments"]
    assert all(ratio > 0 for cost in costs.values() for ratio in cost["ratio"].values())
    assert report["cuts"] > 0 and sum(report["kinds"].values()) > report["cuts"]
    for found in report["encoders"]["x264"].values():
        assert found["recall"] > 0 and 0 < found["precision"] <= 1


def test_neighbours_prints_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pycocoevalcap")
    frames = [str(write_image(tmp_path / f"{i}.png", number=i)) for i in range(5)]
    texts = ["a man near a girl"] * 3 + ["a woman with a dog"] * 2
    row = {"id": "a", "frames": frames, "captions": texts, "split": "dev"}
    (tmp_path / "data.jsonl").write_text(json.dumps(row) + "\n")
    model = str(write_tiny(tmp_path / "model", 1, PEOPLE))
    monkeypatch.setattr(sys, "argv", ["neighbours.py", model, str(tmp_path / "data.jsonl")])
    load("neighbours").main()
    report = json.loads(capsys.readouterr().out)
    assert (report["videos"], report["windows"]) == (1, 5)
    assert list(report["ways"]) == ["alone", "forwards", "both ways"]
    for way in report["ways"].values():
        assert way["pairs"] == 4 >= way["other"] >= way["reversed"] >= 0
        assert way["kinds"] >= way["confirmed"] and 5 >= way["changed"] >= 0
    assert report["ways"]["alone"]["changed"] == 0


def test_engine_prints_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "cache")
    still = str(write_image(tmp_path / "still.png"))
    monkeypatch.setattr(sys, "argv", ["engine.py", still, "--runs", "1", "--threads", "1"])
    load("engine").main()
    report = json.loads(capsys.readouterr().out)
    batch = report["batch_seconds"]
    assert report["times_plain"]["openvino"] == pytest.approx(
        batch["plain"] / batch["openvino"], rel=0.1
    )
    assert set(batch) - set(report["video_seconds"]) == {"plain"}
    assert report["export_seconds"] > 0 and report["compile_seconds"] is None


def test_reuse_prints_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reuse = load("reuse")
    monkeypatch.setattr(reuse, "LEVELS", (None, 8))
    monkeypatch.setattr(reuse, "CROSSINGS", ((4, 8, 4),))
    still = str(write_image(tmp_path / "still.png"))
    command = ["reuse.py", still, "--runs", "1", "--seconds", "8", "--size", "256", "144"]
    monkeypatch.setattr(sys, "argv", command)
    reuse.main()
    videos = json.loads(capsys.readouterr().out)["videos"]
    assert {name: video["windows"] for name, video in videos.items()} == {
        "slides.mkv": 2, "camera.mkv": 2, "still.png": 1,
    }  # fmt: skip
    for video in videos.values():
        none, some = video["levels"]["none"], video["levels"]["8"]
        assert none["reused"] == 0 and none["ratio"] == {"wall": 1, "processor": 1}
        assert some["ratio"]["wall"] > 0
    assert videos["slides.mkv"]["levels"]["8"]["reused"] >= 0.5
    assert 0 < videos["camera.mkv"]["levels"]["8"]["reused"] < 0.8
    assert videos["camera.mkv"]["levels"]["8"]["crossing_seen"] == 1


def test_startup_prints_json() -> None:
    code = "import startup; del startup.PAIRS['clip']; startup.main()"  # which takes long
    command = [sys.executable, "-c", code, "--runs", "1"]
    place = ROOT / "benchmarks"
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=place)
    report = json.loads(result.stdout)
    taken = report["commands"]["help"]
    for kind in ("wall", "cpu"):
        assert taken[f"{kind}_s"] > 0 and taken[f"beside_{kind}_s"] > 0
        ratio = taken[f"{kind}_s"] / taken[f"beside_{kind}_s"]
        assert taken[f"{kind}_ratio"] == pytest.approx(ratio, rel=0.1)
    for kind in ("import", "embedded", "cached", "pinned"):
        assert 0 < report[kind]["median_ms"] <= report[kind]["max_ms"]


def test_find_prints_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = load("find")
    said = tmp_path / "said.jsonl"
    said.write_text('{"id": "a", "caption": "a dog runs on a wide beach"}\n')
    args = ["--windows", "300", "--runs", "1", "--captions", str(said)]
    monkeypatch.setattr(sys, "argv", ["find.py", *args])
    find.main()
    report = json.loads(capsys.readouterr().out)
    assert (report["windows"], report["videos"]) == (300, 2)
    assert 50 < report["bytes_per_window"] < 2000
    assert {*find.QUERIES} < report["queries_ms"].keys()
    assert any(times["wall"] > 0 for times in report["queries_ms"].values())
    assert {*find.QUERIES} < report["meaning_ms"].keys()
    assert report["command_s"]["cpu"] > 0 and report["command_s"]["wall"] > 0


def test_search_prints_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    search = load("search")
    clip = str(ROOT / "examples/clip.mp4")
    monkeypatch.setattr(sys, "argv", ["search.py", clip, "--runs", "1"])
    search.main()
    report = json.loads(capsys.readouterr().out)
    assert report["windows"] == 8 and list(report["beams"]) == ["1", "3", "5"]
    greedy = report["beams"]["1"]
    for beam in report["beams"].values():
        assert beam["words"] >= 8 * 3  # --min-words
        assert beam["ratio"] == pytest.approx(beam["ms"]["cpu"] / greedy["ms"]["cpu"], abs=0.02)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the history")
def test_compare_prints_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compare = load("compare")
    monkeypatch.setattr(compare, "inputs", lambda *_: {"help": ["run", "--help"]})
    monkeypatch.setattr(sys, "argv", ["compare.py", "HEAD", "HEAD", "--runs", "1"])
    compare.main()
    report = json.loads(capsys.readouterr().out)
    for kind in ("wall", "cpu"):
        row = report["work"]["help"][kind]
        assert row["base"] > 0 and row["ratio"] == pytest.approx(row["head"] / row["base"], rel=0.1)


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the history")
def test_short_clips_prints_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["short_clips.py", "HEAD", "--clips", "2", "--runs", "1", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", command)
    load("short_clips").main()
    report = json.loads(capsys.readouterr().out)
    assert (report["clips"], report["different"]) == (2, 0)
    for kind in ("wall", "cpu"):
        seconds = report[kind]["seconds"]
        ratio = seconds["before"] / seconds["after"]
        assert report[kind]["speedup"] == pytest.approx(ratio, rel=0.1)


def test_compare_has_work_that_runs(tmp_path: Path) -> None:
    commands = load("compare").inputs(tmp_path, images=2)
    assert len(list((tmp_path / "images").iterdir())) == 2
    help = load("compare").timed(ROOT, commands["help"], tmp_path)
    assert help["wall"] > 0 and help["cpu"] > 0


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="Linux only")
@pytest.mark.parametrize("codec", film.SETTINGS)
def test_a_film_leaves_the_priority_alone(tmp_path: Path, codec: str) -> None:
    """Or all that is run or measured after it would stand above the rest of the machine."""
    before = os.sched_getscheduler(0)
    film.write_film(tmp_path / "film.mkv", 1, 250, (128, 72), codec)
    assert os.sched_getscheduler(0) == before


@pytest.mark.slow
def test_scaling_prints_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scaling = load("scaling")
    monkeypatch.setattr(scaling, "SETTINGS", [])  # no other codecs
    monkeypatch.setattr(scaling, "RUN", [*scaling.RUN, "--frames", "1", "--beam", "1"])
    for name in ("HEIGHT", "CLIP_HEIGHT"):
        monkeypatch.setattr(scaling, name, 72)
    for name, value in (("HEIGHTS", (72,)), ("FILM_S", 1), ("CLIP_S", 1)):
        monkeypatch.setattr(scaling, name, value)
    plot = tmp_path / "plot.png"
    command = [
        "scaling.py",
        "--rounds",
        "1",
        "--clips",
        "2",
        "--minutes",
        "0.1",
        "--plot",
        str(plot),
    ]
    monkeypatch.setattr(sys, "argv", command)
    scaling.main()
    report = json.loads(capsys.readouterr().out)
    assert plot.stat().st_size > 5000
    for rows in report["costs"].values():
        assert all(row["seconds"] > 0 for row in rows.values())
    assert [list(rows) for rows in report["costs"].values()] == [["72"], [], ["0.1"]]
    assert report["side_by_side"]["runs"]["one worker"]["ratio"] == 1


@pytest.mark.slow
def test_threads_prints_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = load("threads")
    monkeypatch.setattr(threads, "SETTINGS", {"one": {"OMP_NUM_THREADS": "1"}})
    still = str(write_image(tmp_path / "still.png"))
    monkeypatch.setattr(sys, "argv", ["threads.py", still, "--runs", "1"])
    threads.main()
    report = json.loads(capsys.readouterr().out)
    for place in ("alone", "beside one busy process"):
        assert list(report[place]) == ["one"] and report[place]["one"] > 0


@pytest.mark.slow
def test_ablation_trains_and_scores_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pycocoevalcap")
    monkeypatch.setenv("PATH", str(tmp_path))  # without Java, which takes long to start
    ablation = load("ablation")
    command = [str(write_greys(tmp_path, 10)), "--work", str(tmp_path), "--rows", ablation.BASE]
    flags = [*TRAIN, "--finetune-epochs", "0", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["ablation.py", *command, "--flags", shlex.join(flags)])
    ablation.main()
    [row] = json.loads(capsys.readouterr().out)["rows"]
    assert row["name"] == ablation.BASE and row["dev"]["data.jsonl"]["scores"]["CIDEr"] >= 0
    assert (tmp_path / "the-recipe/model.safetensors").is_file()


def test_the_rows_of_ablation_are_commands_of_train(tmp_path: Path) -> None:
    ablation = load("ablation")
    kinds = (TrainOptions, ModelConfig, VoiceOptions)
    known = {flag_of(f) for kind in kinds for f in kind.flat_fields()}
    known |= {"--out", "--features", "--init", "--text", "--backbone-weights"}
    asked = Namespace(
        datasets=["a.csv", "b.csv"], work=tmp_path, flags="--epochs 2", text=["c"], other="d"
    )
    for name in ablation.ROWS:
        command = ablation.command_of(name, asked)
        assert {part for part in command if part.startswith("--")} <= known, name
        assert ("b.csv" in command) == (name != ablation.STILLS)
        assert ("c" in command) == (name != ablation.NO_TEXT)


@pytest.mark.slow
def test_presets_trains_and_scores_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pycocoevalcap")
    monkeypatch.setenv("PATH", str(tmp_path))  # without Java, which takes long to start
    data = str(write_greys(tmp_path, 10))
    flags = "--epochs 1 --min-count 1 --workers 0 --backbone-weights none --select loss"
    command = [data, "--work", str(tmp_path), "--rows", "s2vt", "--flags", flags]
    monkeypatch.setattr(sys, "argv", ["presets.py", *command])
    load("presets").main()
    [row] = json.loads(capsys.readouterr().out)["rows"]
    assert row["what"].startswith("Venugopalan") and row["parameters"] > row["trained"] > 10**7
    assert row["dev"]["data.jsonl"]["scores"]["CIDEr"] >= 0


def test_the_rows_of_presets_are_commands_of_train(tmp_path: Path) -> None:
    benchmark = load("presets")
    asked = Namespace(datasets=["a.csv"], work=tmp_path, flags="--epochs 2")
    flow = {"activity-flow", "s2vt-flow"}
    heads = {"activity", "activity-frame", "memorability"}
    assert set(benchmark.presets()) - set(benchmark.of_captions()) == flow | heads
    for name in benchmark.presets():
        command = benchmark.command_of(name, asked)
        check_arguments([*command])
        grid = benchmark.config_of(name).input.grid
        assert command[command.index("--grid") + 1] == str(min(grid, 7))


def test_card_shows_the_sample_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = load("card")
    model = shutil.copytree(card.MODEL, tmp_path / "default")
    for name in ("training.html", "sheet.png"):
        (model / name).unlink()
    monkeypatch.setattr(card, "MODEL", model)
    monkeypatch.setattr(sys, "argv", ["card.py", str(write_greys(tmp_path, 10))])
    card.main()
    page = (model / "training.html").read_text(encoding="utf-8")
    assert all(said in page for said in card.SAID.values()) and "nothing but grey" not in page
    assert {path.name for path in model.iterdir()} == {
        path.name for path in (ROOT / "weights/default").iterdir()
    }


def test_sheet_numbers_what_can_be_captioned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    clip, still = str(ROOT / "examples/clip.mp4"), str(write_image(tmp_path / "still.png"))
    text, out = tmp_path / "text.mp4", tmp_path / "sheet.png"
    text.write_text("no video")
    command = ["sheet.py", still, str(text), clip, "--columns", "4", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", command)
    load("sheet").main()
    table, err = capsys.readouterr()
    head, *rows = (line.split("\t") for line in table.splitlines())
    assert head == ["number", "file", "start", "end", "caption", "judgement"]
    assert [row[:2] for row in rows] == [[str(i + 1), [still, clip][i > 0]] for i in range(6)]
    assert rows[-1][2:4] == ["16.0", "20.0"] and all(row[4] and not row[5] for row in rows)
    assert str(text) in err and len(err.splitlines()) == 1
    sheet = np.asarray(Image.open(out).convert("L"))
    tiles = [tile for row in np.split(sheet[12:-12], 2) for tile in np.split(row[:, 12:], 4, 1)]
    inked = [bool((tile[:60] < 128).any() and (tile[-95:] < 128).any()) for tile in tiles]
    assert inked == [True] * 6 + [False] * 2


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_soak_prints_json() -> None:
    command = [sys.executable, str(ROOT / "benchmarks/soak.py"), "--clips", "40", "--kills", "1"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    report = json.loads(result.stdout)
    assert (report["inputs"], report["good"], report["broken"], report["kills"]) == (40, 36, 4, 1)
    assert report["exit_codes"] == [-9, 1, 1]
    assert report["last_run"] == {"done": 36, "failed": 4}
    assert sum(report["outputs_of_each_run"]) == 36 and report["outputs_of_each_run"][-1] == 0
    assert {report[name] for name in ("lost", "done_twice", "torn", "broken_not_told_of")} == {0}
    for memory, least in ((report["memory_mib"], 100), (report["memory_mib"]["readers"], 5)):
        assert memory["peak"] > least and memory["peak"] >= max(memory["quarters"])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are killed by a POSIX signal")
def test_serve_prints_json(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    command = [
        sys.executable,
        str(ROOT / "benchmarks/serve.py"),
        "--clients",
        "4",
        "--uploads",
        "5",
    ]
    command += ["--kills", "1", "--model", str(write_tiny(tmp_path))]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    report = json.loads(result.stdout)
    assert (report["told"], report["broken_off"], report["slow"], report["kills"]) == (20, 4, 4, 1)
    assert report["jobs"] >= 20 and report["tries"] >= 20
    assert {report[name] for name in ("lost", "failed", "different", "folders_left")} == {0}


def test_thousand_workers_prints_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["--workers", "1", "8", "--videos", "6", "--folder", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["x", *args, "--hours-between-failures", "0.2"])
    load("thousand_workers").main()
    report = json.loads(capsys.readouterr().out)
    one, eight = report["runs"]
    assert (one["workers"], one["videos"], eight["videos"]) == (1, 6, 48)
    for run in (one, eight, report["one_folder"]):
        assert run["lost"] == run["torn"] == run["done_twice"] == 0
        assert run["planner_ms_per_video"] > 0 and 0 < run["efficiency"] <= 1
    assert eight["failures"] > 0 and 0 < eight["wasted"] < 1
    assert not list(tmp_path.iterdir())


def test_costs_prints_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    costs = load("costs")
    monkeypatch.setattr(costs, "SIZES", {"480p": (64, 48)})
    monkeypatch.setattr(costs, "CODECS", {"H.264": "libx264", "none": "no such encoder"})
    args = [
        "--seconds",
        "8",
        "--runs",
        "1",
        "--sizes",
        "480p",
        "--model",
        str(write_tiny(tmp_path)),
    ]
    monkeypatch.setattr(sys, "argv", ["x", *args])
    costs.main()
    report = json.loads(capsys.readouterr().out)
    assert list(report["reading_s_per_hour"]) == ["H.264"]
    assert report["reading_s_per_hour"]["H.264"]["480p"] > 0
    each = report["network_s_per_window"] * 3600 / 4
    assert report["network_s_per_hour"] == pytest.approx(each, rel=0.2) and each > 0


@pytest.mark.slow
def test_on_ray_prints_json(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    command = [sys.executable, str(ROOT / "benchmarks/on_ray.py"), "--clips", "3", "--runs", "1"]
    command += ["--model", str(write_tiny(tmp_path))]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    report = json.loads(result.stdout)
    assert (report["written"], report["different"]) == (3, 0)
    assert report["ratio"] > 0 and report["seconds"]["Ray"]["start"] > 0


def test_soak_sees_what_is_torn(tmp_path: Path) -> None:
    soak = load("soak")
    cue = "1\n00:00:00,000 --> 00:00:01,000\nA dog\n"
    for name, text in (("whole", cue), ("half", cue[:20]), ("empty", "")):
        (tmp_path / f"{name}.srt").write_text(text)
    assert [path.stem for path in soak.outputs(tmp_path) if soak.whole(path)] == ["whole"]


def test_soak_breaks_clips(tmp_path: Path) -> None:
    soak = load("soak")
    good, broken = soak.make(tmp_path, 10 * len(soak.KINDS), random.Random(0))
    assert (len(good), len(broken)) == (9 * len(soak.KINDS), len(soak.KINDS))
    for path in good:
        assert probe(path).codec == "h264"
    for path in broken:
        with pytest.raises(InputError):
            probe(path)
