"""``vidcaption train`` and ``evaluate``, from pictures to scores."""

import json
import re
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import pytest
from clips import every, write_clip
from greys import TRAIN as SMALL
from greys import WORDS, write_greys
from pages import read_page

from vidcaption.cli import main
from vidcaption.model.config import ModelConfig
from vidcaption.options.base import flag_of
from vidcaption.options.training import TrainOptions


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of ten pictures, and a model trained on it."""
    folder = tmp_path_factory.mktemp("data")
    dataset = write_greys(folder, 10)
    assert main(["train", str(dataset), "--out", str(folder / "model"), *SMALL]) == 0
    return folder


def test_train_leaves_a_model_that_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {path.name for path in (folder / "model").iterdir()}
    assert names >= {"model.safetensors", "README.md", "checkpoint.pt", "history.csv"}
    model = str(folder / "model")
    assert main(["run", str(folder / "3.png"), "--model", model, "--jsonl", "-o", "-"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert set(json.loads(line)["text"].lower().split()) <= WORDS


def test_a_model_sees_as_many_frames_as_it_was_trained_on(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = str(write_clip(tmp_path / "clip.mp4", every(0.1, 20)))
    asked = ["train", str(folder / "data.jsonl"), *SMALL, "--epochs", "1", "--finetune-epochs", "0"]
    init = ["--init", str(tmp_path / "three")]
    for name, frames, start in (("three", 3, []), ("two", 2, init)):
        out = ["--out", str(tmp_path / name), "--frames", str(frames)]
        assert main([*asked, *out, *start]) == 0
        run = ["run", clip, "--model", str(tmp_path / name), "--json", "--out-dir", str(tmp_path)]
        assert main([*run, "--force"]) == 0
        assert json.loads((tmp_path / "clip.json").read_text())["options"]["frames"] == frames
        capsys.readouterr()
        assert main([*run, "--frames", str(frames)]) == 0
        assert "is done" in capsys.readouterr().err
    assert main([*run, "--frames", "1"]) == 0
    assert json.loads((tmp_path / "clip.json").read_text())["options"]["frames"] == 1


def test_train_leaves_a_page_and_pictures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = folder / "model"
    for name in ("loss.png", "captions.png", "sheet.png"):
        assert cv2.imread(str(model / name)).std() > 1
    page = (model / "training.html").read_text(encoding="utf-8")
    assert len(page) < 1_000_000
    for part in ("finetune", "a dark picture", "nothing but grey", "&#34;backbone&#34;"):
        assert part in page
    # they show the dataset's pictures, and a model runs without them
    listed = json.loads((model / "manifest.json").read_text())
    assert set(listed) == {"config.json", "model.safetensors", "vocab.json", "README.md"}
    assert main(["models", "verify", str(model)]) == 0
    assert capsys.readouterr().out == f"{model}: complete\n"


def test_a_finished_training_writes_its_page_anew(folder: Path) -> None:
    pages = [folder / "model" / name for name in ("training.html", "loss.png", "sheet.png")]
    before = [path.read_bytes() for path in pages]
    for path in pages:
        path.unlink()
    command = ["train", str(folder / "data.jsonl"), "--out", str(folder / "model"), *SMALL]
    assert main([*command, "--resume"]) == 0
    assert [path.read_bytes() for path in pages] == before


def test_a_page_can_show_other_pictures(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vidcaption.datasets.jsonl import read_jsonl
    from vidcaption.datasets.samples import Sample
    from vidcaption.evaluation.captioning import caption_samples
    from vidcaption.model.device import Machine
    from vidcaption.options.captioning import DeviceOptions
    from vidcaption.training.page import write_training_page

    shutil.copytree(folder / "model", tmp_path / "model")
    dev = [sample for sample in read_jsonl(folder / "data.jsonl") if sample.split == "dev"]
    other = Sample("free", ("a picture to be given away",), None, stills=(folder / "3.png",))
    machine = Machine.find(DeviceOptions(device="cpu"))
    seen = []

    def captions_of(network: Any, vocabulary: Any, some: Any, frames: int, *rest: Any) -> Any:
        seen.append(frames)
        return caption_samples(network, vocabulary, some, frames, *rest)

    monkeypatch.setattr("vidcaption.training.page.caption_samples", captions_of)
    write_training_page(tmp_path / "model", dev, machine, shown=[other])
    page = (tmp_path / "model" / "training.html").read_text(encoding="utf-8")
    assert "a picture to be given away" in page and dev[0].captions[0] not in page
    assert f"Captions of {len(dev)} of {len(dev)} dev samples" in page
    assert seen == [2, 2]  # as many as the model learned from


LOUD = [*SMALL, "--no-quiet"]


def test_a_training_ends_with_what_it_gave(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", str(folder / "data.jsonl"), "--out", str(tmp_path), *LOUD]
    assert main([*command, "--min-count", "5"]) == 0
    few, rare, most, *others, end = capsys.readouterr().err.splitlines()
    assert most == "vidcaption: training for at most 2 epochs: 1 frozen, 1 finetune"
    first, second = [line for line in others if "loss" in line]
    assert first.startswith("vidcaption: epoch 1 of 2 (frozen): loss ")
    assert second.startswith("vidcaption: epoch 2 of 2 (finetune): loss ")
    assert few == (
        "vidcaption: only 8 samples to train on: it takes thousands, or hundreds with --init "
        "default"
    )
    assert rare == (
        "vidcaption: 2 words of the captions will not be learned, as they are too rare; "
        "--min-count 1 includes all"
    )
    assert re.fullmatch(
        rf"vidcaption: the model is in {tmp_path}: epoch [12] of 2, dev loss \d\.\d+; to use it, "
        rf"run: vidcaption run VIDEO --model {tmp_path}",
        end,
    )
    page = read_page((tmp_path / "training.html").read_text(encoding="utf-8"))
    best = re.findall(r"epoch ([12]) of 2", end)[0]
    assert f"The model is that of epoch {best} (marked)," in page.text
    assert page.of("tr").count({"class": "marked"}) == 1
    assert "(prefers-color-scheme: dark)" in page.text


@contextmanager
def interrupted(after: int) -> Iterator[None]:
    """A training inside is interrupted after so many epochs."""
    from vidcaption.training.trainer import Trainer

    epoch, left = Trainer._epoch, [*[1] * after, 0]

    def one(*args: Any) -> float:
        if not left.pop(0):
            raise KeyboardInterrupt
        return epoch(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_epoch", one)
        yield


def test_an_interrupted_training_says_how_to_go_on(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["train", str(folder / "data.jsonl"), "--out", str(tmp_path), *LOUD]
    with interrupted(after=0):
        assert main(command) == 130
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == "vidcaption: interrupted during the first epoch: nothing was saved"
    with interrupted(after=1):
        assert main(command) == 130
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == (
        "vidcaption: interrupted; the same command with --resume continues after the last epoch"
    )
    assert main([*command, "--resume", "--lr", "0.1"]) == 2
    assert "with --lr 0.0008 instead of 0.1; use the same again" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0


def test_a_training_is_resumed_as_it_was_begun(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    labels = "path,label\n" + "".join(f"{i}.png,{'ab'[i // 5]}\n" for i in range(10))
    (folder / "labels.csv").write_text(labels)
    first, begun = tmp_path / "first", tmp_path / "begun"
    assert main(["train", "labels.csv", "--out", str(first), "--heads", "classes", *SMALL]) == 0
    options = ["--init", str(first), "--epochs", "2", "--finetune-epochs", "0", "--workers", "0"]
    with interrupted(after=1):
        assert main(["train", "labels.csv", "--out", str(begun), *options, "--size", "16"]) == 130
    again = ["train", "--out", str(begun), "--resume"]
    for other, message in (
        (["--lr", "0.1"], "with --lr 0.0008 instead of 0.1; use the same again"),
        (["--init", "default"], f"with --init {first} instead of default"),
        (["--new-words", "--text", "x.csv"], "with no --text, no --new-words; use the same"),
    ):
        capsys.readouterr()
        (folder / "x.csv").write_text("a sentence")
        assert main([*again, *other]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith(f"vidcaption: {begun} belongs to a training {message}")
    capsys.readouterr()
    (folder / "other.csv").write_text(labels.replace("a\n", "b\n", 1))
    assert main([*again, "other.csv"]) == 2
    assert "belongs to a training with another dataset; use" in capsys.readouterr().err
    (tmp_path / "vidcaption.toml").write_text("[train]\nlr = 0.1\n")  # later than the training
    monkeypatch.chdir(tmp_path)
    moved = first.rename(tmp_path / "moved")
    assert main([*again, "--init", str(moved), "--size", "16", "-q"]) == 0
    assert stages_run(begun) == ["frozen", "frozen"]
    table = tomllib.loads((begun / "training.toml").read_text())["train"]
    assert table["heads"] == "classes" and table["init"] == str(first)


def test_a_model_learns_new_words(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = tmp_path / "data.jsonl"
    text = (folder / "data.jsonl").read_text().replace("nothing but grey", "a zebra in fog")
    dataset.write_text(text.replace('"image": "', f'"image": "{folder}/'))
    command = ["train", str(dataset), *LOUD, "--init", str(folder / "model")]
    command += ["--finetune-epochs", "0"]
    assert main([*command, "--out", str(tmp_path / "old")]) == 0
    err = capsys.readouterr().err
    assert "vidcaption: 3 words of the captions will not be learned, as" in err
    assert main([*command, "--out", str(tmp_path / "new"), "--new-words"]) == 0
    assert "will not be learned" not in capsys.readouterr().err
    old, new = (
        json.loads((path / "vocab.json").read_text())
        for path in (folder / "model", tmp_path / "new")
    )
    assert new[: len(old)] == old and set(new[len(old) :]) == {"zebra", "in", "fog"}
    wrong = ["train", str(dataset), "--out", str(tmp_path / "none"), *SMALL, "--new-words"]
    assert main(wrong) == 2
    assert "--new-words needs --init" in capsys.readouterr().err


def test_a_training_is_not_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", str(folder / "data.jsonl"), "--out", str(folder / "model"), *SMALL]
    assert main(command) == 2
    assert "already contains a training; add --resume" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0


def test_a_training_is_repeated_from_its_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = folder / "model/training.toml"
    monkeypatch.chdir(folder / "model")  # from elsewhere, as places are written out
    command = ["train", "--config", str(recipe), "--out", str(folder / "again"), "--quiet"]
    assert main(command) == 0
    again = folder / "again"
    for name in ("model.safetensors", "config.json", "vocab.json"):
        assert (again / name).read_bytes() == (folder / "model" / name).read_bytes(), name
    table = tomllib.loads(recipe.read_text())["train"]
    assert tomllib.loads((again / "training.toml").read_text())["train"] == table
    options = {flag_of(f)[2:] for kind in (TrainOptions, ModelConfig) for f in kind.flat_fields()}
    assert table.keys() == options - {"stage"} | {
        "datasets", "precision", "backbone-weights", "new-words", "label-field",
    }  # fmt: skip
    assert table["datasets"] == [str(folder / "data.jsonl")]
    lines = recipe.read_text().splitlines()
    assert {"epochs = 1  # command line", "lr = 0.0008  # default"} <= set(lines)
    assert "epochs = 1  # " + str(recipe) in (again / "training.toml").read_text()
    assert main(["models", "verify", str(again)]) == 0


STAGES = """
[train]
epochs = 2
[[train.stage]]
name = "frozen"
captions = 1
[[train.stage]]
name = "whole"
epochs = 1
source = "pixels"
trains = { decoder = 1e-3, cnn = 1e-4 }
objectives = { captions = 1.0 }
"""


def stages_run(model: Path) -> list[str]:
    from vidcaption.training.history import read_history

    return [epoch.stage for epoch in read_history(model)]


def test_stages_stand_in_a_file_and_are_repeated(folder: Path, tmp_path: Path) -> None:
    preset, first, again = (tmp_path / name for name in ("my.toml", "first", "again"))
    preset.write_text(STAGES)
    data = str(folder / "data.jsonl")
    small = [*SMALL[: SMALL.index("--epochs")], *SMALL[SMALL.index("--min-count") :]]
    assert main(["train", data, "--preset", str(preset), "--out", str(first), *small]) == 0
    assert stages_run(first) == ["frozen", "frozen", "whole"]
    recipe = str(first / "training.toml")
    assert main(["train", "--config", recipe, "--out", str(again), "-q"]) == 0
    assert (again / "model.safetensors").read_bytes() == (first / "model.safetensors").read_bytes()
    tables = [tomllib.loads((x / "training.toml").read_text())["train"] for x in (first, again)]
    assert tables[0] == tables[1]
    assert tables[0]["stage"][1]["trains"] == {"decoder": 1e-3, "cnn": 1e-4}
    # a flag has the last word on what the tables leave to the usual stage
    one = [*small, "--epochs", "1", "--out", str(tmp_path / "one")]
    assert main(["train", data, "--preset", str(preset), *one]) == 0
    assert stages_run(tmp_path / "one") == ["frozen", "whole"]


def test_a_stage_is_a_flag(folder: Path, tmp_path: Path) -> None:
    stage = '{name = "frozen", captions = 1}'
    command = ["train", str(folder / "data.jsonl"), "--out", str(tmp_path / "model"), *SMALL]
    assert main([*command, "--stage", stage]) == 0
    assert stages_run(tmp_path / "model") == ["frozen"]


def test_the_file_of_a_training_from_a_model_leaves_the_network_to_it(folder: Path) -> None:
    command = ["train", str(folder / "data.jsonl"), "--out", str(folder / "further"), *SMALL]
    assert main([*command, "--init", str(folder / "model"), "--finetune-epochs", "0"]) == 0
    table = tomllib.loads((folder / "further/training.toml").read_text())["train"]
    assert table["init"] == str(folder / "model")
    assert {flag_of(f)[2:] for f in ModelConfig.flat_fields()} & table.keys() == {"heads"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "--backbone resnet50",
            "--backbone is resnet50, and {init} keeps the model's network, whi",
        ),
        ("--size 32", "--size is 32, and {init} keeps the model's network, which has 16; remove"),
        ("--preset s2vt", "and {init} keeps the model's network, which has mobilenet_v2; remove"),
        ("--backbone-weights x.pth", "--backbone-weights is x.pth, and {init} has weights of its"),
    ],
)
def test_a_network_of_its_own_contradicts_a_model_to_start_from(
    change: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    init = f"--init {folder / 'model'}"
    command = ["train", str(folder / "data.jsonl"), "--out", str(folder / "other"), "--quiet"]
    assert main([*command, *init.split(), *change.split()]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message.format(init=init) in line
    assert ("comes from preset s2vt" in line) == ("s2vt" in change)
    assert not (folder / "other").exists()


def test_a_refused_training_writes_no_file(folder: Path) -> None:
    before = (folder / "model/training.toml").read_bytes()
    command = ["train", str(folder / "data.jsonl"), "--out", str(folder / "model"), *SMALL]
    assert main([*command, "--lr", "0.1"]) == 2
    assert (folder / "model/training.toml").read_bytes() == before
    assert main([*command[:-1], "--out", str(folder / "none"), "--resume"]) == 2
    assert not (folder / "none/training.toml").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("--backbone-weights gone.safetensors", "which does not exist"),
        ("--dropout 1", "--dropout is 1; it must be at least 0 and at most 0.9"),
        ("--backbone alexnet", "--backbone is 'alexnet'; allowed are efficientnet_lite2"),
        ("--stage frozen", "--stage is 'frozen'; it must be a TOML table: {name = \"value\"}"),
        ("--stage {name='frozen',source='x'}", "stage 'frozen' has source 'x'; allowed are"),
        ("--stage {name='frozen',epochs=0}", "there is nothing to train: no stage has epochs"),
        ("--min-count 99", "no word occurs 99 times in the captions; lower --min-count"),
        ("--attention-heads 3", "must be a multiple of twice --attention-heads"),
    ],
)
def test_wrong_options(
    change: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "other"
    command = ["train", str(folder / "data.jsonl"), "--out", str(out), *SMALL, *change.split()]
    assert main(command) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line
    assert not out.exists()


@pytest.mark.parametrize("command", ["train", "features"])
def test_the_place_is_checked_before_weights_are_fetched(
    command: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("vidcaption.training.backbone.find_weights", pytest.fail)
    (tmp_path / "file").touch()
    assert main([command, str(folder / "data.jsonl"), "--out", str(tmp_path / "file")]) == 3
    [line] = capsys.readouterr().err.splitlines()
    assert "cannot be written: a file is where a folder is needed; choose another place" in line


def test_a_dataset_that_cannot_be_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(folder / "3.png"), "--out", str(folder / "other"), *SMALL]) == 2
    assert "3.png has no known format" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("java") is None, reason="no java command")
def test_evaluate(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pycocoevalcap")
    command = ["evaluate", str(folder / "model"), str(folder / "data.jsonl"), "--split", "dev"]
    assert main([*command, "--json", "--captions", str(folder / "said.jsonl")]) == 0
    out, err = capfd.readouterr()
    assert err == ""  # Java would say how fast it was
    report = json.loads(out)
    assert report["samples"] == 2 and report["model"] == str(folder / "model")
    assert report["frames"] == 2
    assert set(report["scores"]) >= {"BLEU-4", "METEOR", "ROUGE-L", "CIDEr"}
    said = [json.loads(line) for line in (folder / "said.jsonl").read_text().splitlines()]
    assert [row["id"] for row in said] == ["2", "7"]


def test_evaluate_speaks_as_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")  # no Java, which is said
    command = ["evaluate", str(folder / "model"), str(folder / "data.jsonl"), "--split", "dev"]
    assert main([*command, "-q"]) == 0
    assert capsys.readouterr().err == ""
    assert main([*command, "-v", "--progress", "on"]) == 0
    err = capsys.readouterr().err
    assert "METEOR is missing" in err and re.search(
        "vidcaption: 2 samples on cpu, (fp32|bf16)", err
    )
    assert "model" in err and "100%" in err


def test_evaluate_names_an_empty_split(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", str(folder / "model"), str(folder / "data.jsonl"), "--split", "exam"]
    assert main(command) == 2
    assert (
        "no sample with a caption in the split 'exam'; choose one of dev, train"
        in capsys.readouterr().err
    )


def test_the_split_that_train_draws_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from vidcaption.datasets.read import read_dataset
    from vidcaption.datasets.samples import with_splits

    monkeypatch.setenv("PATH", "")  # without Java, which takes seconds
    write_greys(tmp_path, 10)
    data, model = tmp_path / "data.csv", tmp_path / "model"
    data.write_text("path,caption\n" + "".join(f"{i}.png,a picture\n" for i in range(9)))
    short = [*SMALL, "--finetune-epochs", "0"]
    assert main(["train", str(data), "--out", str(model), *short]) == 0
    held_out = {s.id for s in with_splits(read_dataset(data), seed=1) if s.split == "dev"}
    with data.open("a") as file:  # what is added later changes nothing
        file.write("9.png,nothing\n")
    monkeypatch.chdir(tmp_path)
    said = tmp_path / "said.jsonl"
    command = ["evaluate", "model", "data.csv", "--captions", str(said), "--json"]
    for split in ([], ["--split", "dev"]):
        capsys.readouterr()
        assert main([*command, *split]) == 0
        out, err = capsys.readouterr()
        assert {json.loads(row)["id"] for row in said.read_text().splitlines()} == held_out
        assert json.loads(out)["split"] == "dev"
        note = "data.csv: scoring what model was not trained on, its split 'dev'"
        assert (note in err) == (not split)
    shutil.copy(data, tmp_path / "other.csv")
    assert main([*command[:2], "other.csv", "--split", "dev"]) == 2
    assert "omit --split" in capsys.readouterr().err


def test_models_are_scored_together(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # without Java, which takes seconds
    model, other = str(folder / "model"), tmp_path / "other"
    data = str(folder / "data.jsonl")
    seed = [*SMALL, "--seed", "2", "--image-size", "48", "--finetune-epochs", "0"]
    assert main(["train", data, "--out", str(other), *seed]) == 0
    reports = []
    for mixed in ([], ["--model", f"{other}=0"], ["--model", f"{other}=1"]):
        capsys.readouterr()
        assert main(["evaluate", model, data, "--split", "dev", "--json", *mixed]) == 0
        reports.append(json.loads(capsys.readouterr().out))
    alone, without, wholly = reports
    assert without["model"] == f"{model} + {other}=0"
    assert len({report["model_sha256"] for report in reports}) == 3
    assert without["scores"] == alone["scores"]
    assert without["score_pearson"] == alone["score_pearson"]
    assert wholly["scores"].keys() == alone["scores"].keys()
    beyond = ["--split", "dev", "--model", f"{other}=2"]
    assert main(["evaluate", model, data, *beyond]) == 2
    assert f"the weight of {other} is 2; it must be from 0 to 1" in capsys.readouterr().err


def test_samples_know_their_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vidcaption.training.trainer import Position, Trainer

    seen: set[str] = set()

    def run(self: Trainer, resume: bool) -> Position:
        seen.update(sample.dataset for sample in (*self.train, *self.dev))
        return self.position

    monkeypatch.setattr(Trainer, "run", run)
    (tmp_path / "other").mkdir()
    data = [str(write_greys(tmp_path, 10)), str(write_greys(tmp_path / "other", 10))]
    assert main(["train", *data, "--out", str(tmp_path / "model"), *SMALL]) == 0
    assert seen == set(data)
