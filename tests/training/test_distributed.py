"""Two processes on the CPU train what one would."""

import csv
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

TRAIN = [
    *["--backbone-weights", "none", "--image-size", "32", "--grid", "1", "--size", "16"],
    *["--heads", "2", "--embedding", "8", "--dropout", "0", "--epochs", "1"],
    *["--finetune-epochs", "1", "--scst-epochs", "0", "--batch-size", "8"],
    *["--finetune-batch-size", "8", "--min-count", "1", "--workers", "0"],
    *["--select", "loss", "--threads", "1", "--quiet"],
]


@pytest.fixture
def dataset(tmp_path):
    rows = []
    for i in range(20):
        picture = np.full((32, 32, 3), 12 * i, np.uint8)
        (tmp_path / f"{i}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
        captions = [f"a {'dark' if i < 10 else 'bright'} picture", "nothing but grey"]
        split = "dev" if i % 5 == 2 else "train"
        rows.append({"id": str(i), "image": f"{i}.png", "split": split, "captions": captions})
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def run(*command):
    ended = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def history(folder):
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_two_processes_learn_what_one_does(dataset, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    run("vidcaption", "train", str(dataset), "--out", str(one), *TRAIN)
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    run(*torchrun, "vidcaption", "train", str(dataset), "--out", str(two), *TRAIN)
    assert len(history(one)) == len(history(two)) == 2
    for alone, together in zip(history(one), history(two), strict=True):
        for name in ("loss", "dev_loss"):
            assert float(together[name]) == pytest.approx(float(alone[name]), rel=2e-3), name
    run(*torchrun, "vidcaption", "train", str(dataset), "--out", str(two), *TRAIN, "--resume")
    assert len(history(two)) == 2
