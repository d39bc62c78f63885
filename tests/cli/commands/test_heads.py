"""``train --heads``, ``run`` and ``evaluate`` with labels and scores."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from greys import TRAIN
from pages import read_page

from vidcaption.cli import main

QUICK = [*TRAIN[:-1], "--finetune-epochs", "0", "--epochs", "10", "--patience", "10"]
QUICK += ["--lr", "0.02", "--batch-size", "4", "--ema", "0.5"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grey pictures with labels and scores, and a model of each."""
    folder = tmp_path_factory.mktemp("data")
    rows = []
    for i in range(20):
        kind, grey = ("DARK <b>", 6 * i) if i < 10 else ("light", 130 + 6 * i)
        cv2.imwrite(str(folder / f"{i}.png"), np.full((32, 32, 3), grey, np.uint8))
        split = "dev" if i % 4 == 0 else "train"
        rows.append({"id": f"{i}", "image": f"{i}.png", "split": split, "kind": kind, "score": i})
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for heads in ("classes", "score"):
        assert main([*train(folder, heads), "--quiet"]) == 0
    return folder


def train(folder: Path, heads: str, out: Path | None = None) -> list[str]:
    data, model = str(folder / "data.jsonl"), str(out or folder / heads)
    return ["train", data, "--out", model, "--heads", heads, "--label-field", "kind", *QUICK]


def test_run_writes_labels_and_scores(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for heads in ("classes", "score"):
        command = ["run", str(folder / "1.png"), str(folder / "18.png"), "--jsonl", "-o", "-"]
        assert main([*command, "--model", str(folder / heads)]) == 0
    dark, light, low, high = (json.loads(x)["text"] for x in capsys.readouterr().out.splitlines())
    assert (dark, light) == ("DARK <b>", "light")  # as in the dataset
    assert float(low) + 2 < float(high)


@pytest.mark.parametrize(
    ("heads", "figures", "plots"),
    [
        ("classes", {"accuracy", "macro_precision", "macro_recall", "macro_f1", "macro_auc"}, 2),
        ("score", {"spearman", "pearson", "mean_absolute_error"}, 1),
    ],
)
def test_evaluate(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    heads: str,
    figures: set[str],
    plots: int,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # without Java, which nothing here needs
    command = ["evaluate", str(folder / heads), str(folder / "data.jsonl"), "--split", "dev"]
    command += ["--label-field", "kind"]
    html, said = tmp_path / "page.html", tmp_path / "said.jsonl"
    more = ["--html", str(html), "--captions", str(said), "--against", str(folder / heads)]
    assert main([*command, "--json", *more]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert err == "" and report["head"] == heads and report["samples"] == 5
    assert set(report["scores"]) == set(report["differences"]) == figures
    best = {"classes": {"accuracy": 100, "macro_auc": 100}, "score": {"spearman": 100}}[heads]
    assert {name: report["scores"][name] for name in best} == best  # the best that is possible
    for name in best:
        assert report["intervals"][name] in ([100, 100], None)
    assert len(said.read_text().splitlines()) == 5
    text = html.read_text(encoding="utf-8")
    assert text.count('<img class="plot" src="data:image/png;base64,') == plots
    page = read_page(text)
    assert all(name in page.text for name in figures) and "CIDEr" not in page.text
    if heads == "classes":
        assert "DARK <b>" in page.text and "The most probable right labels" in page.text
        assert report["confusion"] == [[3, 0], [0, 2]]
    assert main(command) == 0
    table = capsys.readouterr().out
    assert all(name in table for name in figures)
    assert ("precision  recall" in table) == (heads == "classes")


@pytest.mark.parametrize(("heads", "plot"), [("classes", "confusion"), ("score", "scatter")])
def test_the_page_of_a_training(folder: Path, heads: str, plot: str) -> None:
    model = folder / heads
    assert cv2.imread(str(model / f"{plot}.png")).std() > 1
    assert not (model / "captions.png").exists()
    page = read_page((model / "training.html").read_text(encoding="utf-8"))
    assert ("DARK <b>" in page.text) == (heads == "classes")
    assert {"classes": "dev accuracy", "score": "dev spearman"}[heads] in page.text


def test_warnings(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(map(json.loads, (folder / "data.jsonl").read_text().splitlines()))
    del rows[0]["kind"], rows[2]["kind"]
    rows[4]["kind"] = "odd"  # of dev
    for row in rows:
        row["image"] = str(folder / row["image"])
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert main([*train(tmp_path, "classes"), "--epochs", "1"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert "vidcaption: 2 samples without a label will not be used, such as 0" in lines
    assert (
        "vidcaption: no training sample has 1 label of the dev split, such as 'odd', which count "
        "as wrong"
    ) in lines
    assert not any("words of the captions" in line for line in lines)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": 3}, "line 1: kind must be a word or several; got 3"),
        ({"kind": "two\nlines"}, r"the label of 0 is 'two\nlines'; labels are printable"),
        ({"score": "high"}, "line 1: score must be a number; got 'high'"),
    ],
)
def test_bad_rows(
    folder: Path, tmp_path: Path, capsys: Any, change: dict[str, Any], message: str
) -> None:
    first, *rest = (folder / "data.jsonl").read_text().splitlines()
    (tmp_path / "data.jsonl").write_text("\n".join([json.dumps(json.loads(first) | change), *rest]))
    assert main(train(tmp_path, "classes")) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "--heads label",
            "--heads is 'label'; allowed are caption, classes, score, joint, alignment, regions",
        ),
        ("--heads classes+classes", "--heads is 'classes+classes'"),
        ("--label-field nothing", "no sample with a label is in the split 'train'; "),
        ("--concept-slots 2", "--concept-slots is 2"),
        ("--init MODEL --heads caption", "writes no captions; choose one that does, or --heads"),
        ("--init MODEL --new-words", "--new-words is for captions, and --heads is classes"),
    ],
)
def test_options_that_do_not_fit(
    folder: Path, tmp_path: Path, capsys: Any, options: str, message: str
) -> None:
    given = options.replace("MODEL", str(folder / "classes")).split()
    assert main([*train(folder, "classes", tmp_path), *given]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_evaluate_needs_what_the_head_says(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, model = str(folder / "data.jsonl"), str(folder / "classes")
    for options, message in {
        "--split dev": "has no labels to score against; choose the field with --label-field",
        "--label-field kind": "has no sample with a label in the split 'test'; choose one of dev",
        f"--against {folder / 'score'}": "choose models with the same",
        "--objects coco": "--objects needs captions",
    }.items():
        assert main(["evaluate", model, data, *options.split()]) == 2
        assert message in capsys.readouterr().err.splitlines()[-1], options


def test_a_model_goes_on_with_its_head(folder: Path, tmp_path: Path, capsys: Any) -> None:
    """--init keeps the head unless --heads is given, and training.toml repeats that."""
    data = str(folder / "data.jsonl")
    command = ["train", data, "--init", str(folder / "classes"), "--label-field", "kind", *QUICK]
    assert main([*command, "--epochs", "1", "--out", str(tmp_path / "a")]) == 0
    assert "dev accuracy" in capsys.readouterr().err
    scores = [*command, "--epochs", "1", "--out", str(tmp_path / "b"), "--heads", "score"]
    assert main(scores) == 0
    shutil.rmtree(tmp_path / "b" / "features")
    recipe = str(tmp_path / "b" / "training.toml")
    assert main(["train", "--config", recipe, "--out", str(tmp_path / "c")]) == 0
    assert "dev spearman" in capsys.readouterr().err
    histories = [(tmp_path / name / "history.csv").read_text().split(",") for name in "bc"]
    assert histories[0][:9] == histories[1][:9]
