"""Two processes on the CPU train what one would."""

import csv
import socket
import subprocess
import sys

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


def ranks(*command, cwd):
    """Exit codes of two processes that have the environment that torchrun would give them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    processes = [
        forks.start(*command, cwd=cwd, before=f"import os; os.environ |= {place | {'RANK': rank}}")
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
    assert main([*train, "--out", str(one)]) == 0
    torchrun(*train, "--out", str(two))
    assert len(history(one)) == len(history(two)) == 2
    for alone, together in zip(history(one), history(two), strict=True):
        for name in ("loss", "dev_loss"):
            assert float(together[name]) == pytest.approx(float(alone[name]), rel=2e-3), name
    assert ranks(*train, "--out", str(two), "--resume", cwd=tmp_path) == [0, 0]
    assert len(history(two)) == 2
