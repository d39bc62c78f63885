"""Two processes on the CPU train what one would."""

import csv
import json
import socket
import subprocess
import sys
from pathlib import Path

import forks
import greys
import pytest

from vidcaption.cli import main

TRAIN = [
    *[*greys.TRAIN, "--dropout", "0", "--batch-size", "8", "--finetune-batch-size", "8"],
    *["--threads", "1"],
]


def torchrun(*command):
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "vidcaption"]
    ended = subprocess.run(
        [sys.executable, "-m", *launch, *command], capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr


# Each process notes what it does. It begins when the other does, too.
NOTE = """
import os, pathlib, time
from vidcaption.training import features, judge

def noting(function, name):
    def noted(*args):
        pathlib.Path(f"{name}-{os.environ['RANK']}").touch()
        until = time.monotonic() + 60
        while len(list(pathlib.Path().glob(f"{name}-?"))) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        return function(*args)
    return noted

features.SHARD = 1
features._encode = noting(features._encode, "encoded")
judge.caption_features = noting(judge.caption_features, "judged")
"""


def ranks(*command, cwd, before=""):
    """Exit codes of two processes that have the environment that torchrun would give them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    processes = [
        forks.start(
            *command, cwd=cwd, before=f"import os; os.environ |= {place | {'RANK': rank}}\n{before}"
        )
        for rank in "01"
    ]
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def history(folder):
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_two_processes_learn_what_one_does(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    train = ["train", str(greys.write_greys(tmp_path, 20)), *TRAIN]
    train += ["--concept-slots", "2", "--concept-epochs", "1"]  # some parts train in some stages
    assert main([*train, "--out", str(one)]) == 0
    torchrun(*train, "--out", str(two))
    assert len(history(one)) == len(history(two)) == 3
    for alone, together in zip(history(one), history(two), strict=True):
        for name in ("loss", "dev_loss", "dev_concept_loss"):
            assert bool(together[name]) == bool(alone[name])
            if alone[name]:
                assert float(together[name]) == pytest.approx(float(alone[name]), rel=2e-3), name
    assert ranks(*train, "--out", str(two), "--resume", cwd=tmp_path) == [0, 0]
    assert len(history(two)) == 3


@pytest.mark.slow
def test_ray_train_learns_what_one_process_does(tmp_path):
    pytest.importorskip("ray")
    one, two = tmp_path / "one", tmp_path / "two"
    train = ["train", str(greys.write_greys(tmp_path, 20)), *TRAIN]
    assert main([*train, "--out", str(one)]) == 0
    launch = Path(__file__).parents[2] / "examples/ray_train.py"
    command = [sys.executable, launch, "--processes", "2", *train, "--out", str(two)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert len(history(one)) == len(history(two)) > 1
    for alone, together in zip(history(one), history(two), strict=True):
        for name in ("loss", "dev_loss"):
            assert float(together[name]) == pytest.approx(float(alone[name]), rel=2e-3), name


def test_processes_share_features_and_judging(tmp_path):
    pytest.importorskip("pycocoevalcap")
    train = ["train", str(greys.write_greys(tmp_path, 20)), *TRAIN]
    train += ["--finetune-epochs", "0", "--select", "cider"]
    one, two = tmp_path / "one", tmp_path / "two"
    assert main([*train, "--out", str(one)]) == 0
    assert ranks(*train, "--out", str(two), cwd=tmp_path, before=NOTE) == [0, 0]
    noted = {path.name for pattern in ("encoded-*", "judged-*") for path in tmp_path.glob(pattern)}
    assert noted == {"encoded-0", "encoded-1", "judged-0", "judged-1"}
    [alone], [together] = history(one), history(two)
    for name in ("dev_loss", "dev_cider"):
        assert float(together[name]) == pytest.approx(float(alone[name]), rel=2e-3), name


AVERAGE = """
import json, pathlib, torch
from vidcaption.training.distributed import World
world, weight = World(torch.device("cpu")), torch.nn.Parameter(torch.zeros(2))
(weight * torch.tensor([1.0, 4.0]) * (1 + world.rank)).sum().backward()
world.average_gradients([weight, torch.nn.Parameter(torch.zeros(1))])
pathlib.Path(f"gradient-{world.rank}").write_text(json.dumps(weight.grad.tolist()))
world.leave()
"""


@pytest.mark.slow
def test_gradients_beside_the_network_are_averaged(tmp_path):
    (tmp_path / "average.py").write_text(AVERAGE)
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, "-m", *launch, str(tmp_path / "average.py")]
    subprocess.run(command, cwd=tmp_path, check=True)
    for rank in range(2):
        assert json.loads((tmp_path / f"gradient-{rank}").read_text()) == [1.5, 6.0]
