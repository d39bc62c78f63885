"""``vidcaption features``, alone and before ``train``."""

import json
import os
import signal
from pathlib import Path

import cv2
import forks
import numpy as np
import pytest
import torchvision
from limits import file_size
from safetensors.torch import save_file

from vidcaption.cli import main
from vidcaption.training import features

CNN = ["--image-size", "32", "--grid", "1"]
TRAIN = [
    *[
        "--size",
        "16",
        "--attention-heads",
        "2",
        "--embedding",
        "8",
        "--epochs",
        "1",
        "--min-count",
        "1",
    ],
    *["--finetune-epochs", "0", "--workers", "0", "--select", "loss"],
]
BEFORE = "from vidcaption.training import features as f; f.SHARD = 4; "
KILL = "__import__('os').kill(__import__('os').getpid(), 9)"

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and limits")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of twelve pictures, and weights for a CNN."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    rows = []
    for i in range(12):
        cv2.imwrite(str(folder / f"{i}.png"), rng.integers(0, 256, (32, 32, 3), np.uint8))
        split = "dev" if i % 5 == 2 else "test" if i == 11 else "train"
        rows.append({"id": str(i), "image": f"{i}.png", "split": split, "captions": ["a b", "c"]})
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    save_file(torchvision.models.mobilenet_v2().state_dict(), folder / "cnn.safetensors")
    return folder


def command(folder: Path, out: Path, *more: str) -> list[str]:
    weights = ["--backbone-weights", str(folder / "cnn.safetensors")]
    return ["features", str(folder / "data.jsonl"), "-o", str(out), *weights, *CNN, *more]


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.safetensors")}


def test_train_uses_what_is_there_and_adds_what_is_not(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = tmp_path / "shared"
    assert main(command(folder, shared)) == 0
    out, err = capsys.readouterr()
    assert Path(out.removesuffix("\n")).parent == shared
    before = shards(Path(out.removesuffix("\n")))
    first, last = err.splitlines()
    assert first.startswith("vidcaption: computing the features of 11 samples, kept in ")
    assert last.startswith("vidcaption: features of 11 samples, 11 computed in ")

    train = ["train", str(folder / "data.jsonl"), *CNN, *TRAIN]
    train += ["--backbone-weights", str(folder / "cnn.safetensors")]
    assert main([*train, "-o", str(tmp_path / "a"), "--features", str(shared)]) == 0
    few, most, epoch, end = capsys.readouterr().err.splitlines()
    assert "only " in few and "the model is in" in end
    assert most == "vidcaption: training for at most 1 epoch: 1 frozen"
    assert epoch.startswith("vidcaption: epoch 1 of 1 (frozen)")
    assert shards(shared) == before and not (tmp_path / "a" / "features").exists()
    assert main([*train, "-o", str(tmp_path / "b")]) == 0
    assert shards(tmp_path / "b" / "features") == before
    a, b = ((tmp_path / name / "history.csv").read_text().rpartition(",")[0] for name in "ab")
    assert a == b  # but for the last column, seconds

    capsys.readouterr()
    more = ["-o", str(tmp_path / "c"), "--features", str(shared), "--cached-frames", "2"]
    assert main([*train, *more]) == 0
    assert "has frames 8, not 2" in capsys.readouterr().err
    assert before.items() <= shards(shared).items()


def test_quiet(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(folder, tmp_path, "--quiet")) == 0
    out, err = capsys.readouterr()
    assert Path(out.removesuffix("\n")).is_dir() and err == ""


def test_the_cnn_of_a_model(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(folder / "data.jsonl")
    train = ["train", data, "-o", str(tmp_path / "m"), *CNN, *TRAIN, "--backbone-weights", "none"]
    assert main([*train, "--features", str(tmp_path / "f")]) == 0
    capsys.readouterr()
    assert main(["features", data, "-o", str(tmp_path / "f"), "--model", str(tmp_path / "m")]) == 0
    [line] = capsys.readouterr().err.splitlines()
    assert "features of 11 samples, 0 computed" in line


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ("--backbone-weights none", 2, "--backbone-weights none is random, so its features are"),
        ("--backbone-weights gone.pth", 2, "which does not exist"),
        ("--frames 0", 2, "--frames is 0; it must be at least 1 and at most 64"),
        ("--workers 0", 2, "--workers is 0; it must be at least 1 and at most 256"),
        ("--std 0 1 1", 2, "--std is (0.0, 1.0, 1.0); each number must be above 0"),
        ("--model gone", 3, "gone"),
        ("--out data.jsonl", 3, "cannot be written"),
    ],
)
def test_wrong_commands(
    change: str,
    code: int,
    message: str,
    tmp_path: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    assert main(command(folder, tmp_path / "f", "--offline", *change.split())) == code
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and message in err
    assert not (tmp_path / "f").exists()


def test_a_dataset_without_samples_for_training(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"id": "a", "image": str(folder / "1.png"), "split": "test", "captions": ["a"]}
    (tmp_path / "test.jsonl").write_text(json.dumps(row))
    assert main(["features", str(tmp_path / "test.jsonl"), "-o", str(tmp_path / "f")]) == 2
    assert "no sample with a caption, label or score is in the split" in capsys.readouterr().err


def test_a_picture_that_cannot_be_read(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    row = {"id": "a", "image": "bad.png", "split": "train", "captions": ["a"]}
    (tmp_path / "bad.jsonl").write_text(json.dumps(row))
    both = command(folder, tmp_path / "f", "--quiet", str(tmp_path / "bad.jsonl"))
    assert main(both) == 1
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1
    assert err.startswith(f"vidcaption: {tmp_path / 'bad.png'} has no frame that FFmpeg can decode")


@posix
@pytest.mark.parametrize(
    ("death", "finished"),
    [
        (f"n, w = [], f.write_atomic; f.write_atomic = "
         f"lambda *a: (w(*a), n.append(a), n[2:] and {KILL})", 2),
        (f"n, r = [], f.Path.replace; f.Path.replace = "
         f"lambda *a: (n.append(a), n[2:] and {KILL}, r(*a))", 1),
    ],
    ids=["after a shard", "before one is in place"],
)  # fmt: skip
def test_goes_on_where_it_was_killed(
    death: str, finished: int, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = command(folder, tmp_path / "f")
    killed = forks.start(*args, cwd=tmp_path, before=BEFORE + death)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    [place] = (tmp_path / "f").iterdir()
    for unfinished in place.glob(".*.tmp"):
        os.utime(unfinished, (0, 0))  # no process can be at work on it any more
    kept = {path: path.stat().st_mtime_ns for path in place.glob("*.safetensors")}
    assert len(kept) == finished

    monkeypatch.setattr(features, "SHARD", 4)
    assert main(command(folder, tmp_path / "f", "--quiet")) == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert main(command(folder, tmp_path / "whole", "--quiet")) == 0
    assert shards(tmp_path / "f") == shards(tmp_path / "whole")
    assert not list(place.glob(".*.tmp"))


@posix
def test_a_full_disk(
    tmp_path: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(features, "SHARD", 4)
    with file_size(9000):
        code = main(command(folder, tmp_path / "f", "--quiet"))
    out, err = capsys.readouterr()
    assert code == 3 and out == ""
    assert err.endswith(" cannot be written (File too large); choose another place\n")
    assert err.count("\n") == 1
    [place] = (tmp_path / "f").iterdir()
    assert {path.name for path in place.iterdir()} <= {"features.json"}
