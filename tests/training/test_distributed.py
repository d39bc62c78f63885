"""Two processes on the CPU train what one would."""

import csv
import subprocess
import sys

import greys
import pytest

TRAIN = [
    *[*greys.TRAIN, "--dropout", "0", "--batch-size", "8", "--finetune-batch-size", "8"],
    *["--threads", "1"],
]


def run(*command):
    ended = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def history(folder):
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_two_processes_learn_what_one_does(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    train = ["vidcaption", "train", str(greys.write_greys(tmp_path, 20)), *TRAIN]
    run(*train, "--out", str(one))
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    run(*torchrun, *train, "--out", str(two))
    assert len(history(one)) == len(history(two)) == 2
    for alone, together in zip(history(one), history(two), strict=True):
        for name in ("loss", "dev_loss"):
            assert float(together[name]) == pytest.approx(float(alone[name]), rel=2e-3), name
    run(*torchrun, *train, "--out", str(two), "--resume")
    assert len(history(two)) == 2
