"""``train --heads regions``, ``run --regions`` and ``evaluate``."""

import json
from pathlib import Path

import cv2
import jsonschema
import pytest
from pages import read_page
from shapes import SIDE, write_shapes
from tiny import write_tiny

from vidcaption import Captioner
from vidcaption.cli import main
from vidcaption.output.formats import FORMATS
from vidcaption.output.parquet import parquet
from vidcaption.output.read import read_captions

SCHEMA = Path(__file__).parents[3] / "vidcaption/output/schema.json"
FIGURES = {"mAP", "box_recall", "label_accuracy", "relation_recall"}
QUICK = [
    *["--backbone-weights", "none", "--image-size", "64", "--grid", "2", "--size", "16"],
    *["--attention-heads", "2", "--embedding", "8", "--finetune-epochs", "1", "--workers", "0"],
    *["--min-count", "1", "--finetune-batch-size", "4"],
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the preset; its dataset is in the folder ``data`` beside it."""
    folder = tmp_path_factory.mktemp("regions")
    data = write_shapes(folder / "data", 8)
    out = folder / "model"
    command = ["train", str(data), "--out", str(out), "--preset", "regions", *QUICK]
    assert main([*command, "--backbone", "mobilenet_v2", "--quiet"]) == 0
    return out


def picture(model: Path) -> str:
    return str(model.parent / "data/VG_100K/1.png")


def test_run_writes_regions_to_json(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", picture(model), "--model", str(model), "--quiet", "--regions", "--json"]
    assert main([*command, "--out-dir", str(tmp_path)]) == 0
    path = tmp_path / "1.json"
    document = json.loads(path.read_text())
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    [segment] = document["segments"]
    assert document["options"]["regions"] is True
    assert segment["regions"] and segment["text"].startswith(segment["regions"][0]["text"])
    for region in segment["regions"]:
        x, y, width, height = region["box"]
        assert x >= 0 and y >= 0 and max(x + width, y + height) <= SIDE + 0.1
        assert width > 1 < height  # pixels
        assert region["label"] in (None, "square", "circle")
    assert read_captions(path).to_dict() == document


def test_only_json_has_regions(model: Path) -> None:
    captioner = Captioner.from_pretrained(model, isolate=False)
    first, second = (captioner.caption(picture(model), regions=x) for x in (False, True))
    for name in FORMATS.keys() - {"json", "jsonl"}:
        assert first.render(name) == second.render(name)
    for name in ("json", "jsonl"):
        bare, whole = (json.loads(each.render(name)) for each in (first, second))
        if name == "json":
            jsonschema.validate(bare, json.loads(SCHEMA.read_text()))
            assert bare["options"]["regions"] is False
            [bare], [whole] = bare["segments"], whole["segments"]
        assert set(whole) - set(bare) == {"regions", "relations"} and whole["regions"]
        assert bare == {key: whole[key] for key in bare}
    tables = (b"".join(parquet([each.render("jsonl")])) for each in (first, second))
    assert len(set(tables)) == 1


def test_boxes_are_in_pixels_of_the_picture(model: Path) -> None:
    captioner = Captioner.from_pretrained(model, isolate=False)
    frame = cv2.imread(picture(model))[..., ::-1].copy()
    large = frame.repeat(2, 0).repeat(3, 1)
    one, other = (
        captioner.caption_frames([each], [0.0], regions=True)[0].graph for each in (frame, large)
    )
    assert one and other and len(one.regions) == len(other.regions)
    for first, second in zip(one.regions, other.regions, strict=True):
        expected = [n * k for n, k in zip(first.box, (3, 2, 3, 2), strict=True)]
        assert second.box == pytest.approx(expected, abs=0.2)


def test_a_model_without_the_head(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_tiny(tmp_path / "tiny")
    out = str(tmp_path / "x.json")
    assert main(["run", picture(model), "--model", str(other), "--regions", "-o", out]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line == (
        f"vidcaption: --regions needs the head regions, and the model {other} has caption; leave "
        "it out, or take another model"
    )
    assert not Path(out).exists()


def test_evaluate(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(model.parent / "data/region_descriptions.json")
    html, said = tmp_path / "page.html", tmp_path / "said.jsonl"
    command = ["evaluate", str(model), data, "--frames", "1", "--json"]
    assert main([*command, "--html", str(html), "--captions", str(said)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["head"] == "regions" and report["samples"] == 2  # a fifth of eight, held out
    assert report["metrics"] == "METEOR of words that match exactly"
    assert set(report["scores"]) == set(report["intervals"]) == FIGURES
    page = read_page(html.read_text(encoding="utf-8"))
    assert all(name in page.text for name in FIGURES) and "The best phrases" in page.text
    assert len(said.read_text().splitlines()) == 2
    assert main(["evaluate", str(model), str(model.parent / "data/image_data.json")]) == 2
    assert "image_data.json has neither videos and sentences" in capsys.readouterr().err


def test_two_models_are_not_mixed(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mixed = ["run", picture(model), "--model", str(model), "--model", f"{model}=0.5", "--txt"]
    assert main([*mixed, "-o", "-"]) == 2
    assert "have the head regions alone" in capsys.readouterr().err.splitlines()[-1]


def test_the_page_of_a_training(model: Path) -> None:
    page = read_page((model / "training.html").read_text(encoding="utf-8"))
    assert "dev mAP" in page.text and (model / "captions.png").exists()
    card = (model / "README.md").read_text()
    assert "2 kinds of objects, 1 predicates" in card
