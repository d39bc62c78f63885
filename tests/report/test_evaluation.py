"""``vidcaption evaluate --html``."""

import json
import re

import pytest
from pages import read_page

from vidcaption.cli import main

pytest.importorskip("pycocoevalcap")


@pytest.fixture(scope="module")
def dataset(samples, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "<i>data.jsonl"
    rows = [
        {"id": s.id, "frames": list(map(str, s.stills)), "split": s.split, "captions": s.captions}
        for s in samples
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture
def without_java(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("without_java")
def test_page(folder, dataset, tmp_path, capsys):
    html = tmp_path / "new" / "page.html"
    command = ["evaluate", str(folder), str(dataset), "--frames", "4", "--json"]
    command += ["--beam", "1", "--max-words", "6"]  # as the reference of sample 7 was made
    objects = tmp_path / "objects.toml"
    objects.write_text("[classes]\n" + "".join(f"word{i} = []\n" for i in range(26)))
    command += ["--objects", str(objects)]
    assert main([*command, "--against", str(folder), "--html", str(html)]) == 0
    out, err = capsys.readouterr()
    assert "METEOR is missing" in err
    report = json.loads(out)
    assert report["objects"] == "objects.toml"
    assert report["objects_named"] is None  # each sample has one human caption
    assert 0 < report["objects_confirmed"] < 1
    low, high = report["intervals"]["objects_confirmed"]
    assert low < report["objects_confirmed"] < high
    assert report["differences"]["objects_confirmed"]["difference"] == 0
    text = html.read_text(encoding="utf-8")
    assert len(text) < 1_500_000
    page = read_page(text)
    for name, value in report["scores"].items():
        assert name in page.text and f"{value:.2f}" in page.text
    for name in (
        "vocabulary_used",
        "score_spearman",
        "objects_confirmed",
        "objects.toml",
        "approximate",
    ):
        assert name in page.text
    assert "<i>data.jsonl, test: 18 captions" in page.text
    assert f"Model: {folder}." in page.text and f"The other model is {folder}" in page.text
    for name in {*report["intervals"], "distinct_captions", "vocabulary_used"}:
        assert re.search(rf"{re.sub('-[0-9]$', '', name)}[A-Z]\w+ ", page.text), name
    assert "Comparison with another model" in page.text
    assert "(prefers-color-scheme: dark)" in page.text

    cases = re.findall(r"CIDEr (\S+), score \S+; (\w+), (\d) frame", page.text)
    assert len(cases) == len({name for _, name, _ in cases}) == 15
    assert cases[0][1:] == ("7", "4")
    scores = [float(score) for score, *_ in cases]
    assert scores[0] == max(scores) > 0
    assert scores[:5] == sorted(scores[:5], reverse=True)
    assert scores[5:10] == sorted(scores[5:10]) and scores[5] == min(scores)


def test_objects_that_cannot_be_read(folder, dataset, tmp_path, capsys):
    path = tmp_path / "cocoo"
    assert main(["evaluate", str(folder), str(dataset), "--objects", str(path)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "cocoo" in line


def test_a_page_that_cannot_be_written_is_told_of_before_anything_else(tmp_path, capsys):
    (tmp_path / "file").touch()
    for html, reason in (("file/page.html", "a file is where a folder"), (".", "it is a folder")):
        command = ["evaluate", "gone", "gone.jsonl", "--html", str(tmp_path / html)]
        assert main(command) == 3
        [line] = capsys.readouterr().err.splitlines()
        assert "cannot be written" in line and reason in line


@pytest.mark.parametrize("option", ["--html", "--captions"])
def test_the_dataset_is_not_overwritten(option, folder, dataset, capsys):
    before = dataset.read_bytes()
    assert main(["evaluate", str(folder), str(dataset), option, str(dataset)]) == 2
    assert "is the dataset; choose another output file" in capsys.readouterr().err
    assert dataset.read_bytes() == before
