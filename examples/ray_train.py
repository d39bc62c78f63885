"""Train with Ray Train, on a Ray cluster: the trainer is that of ``vidcaption train``, in several
processes as under torchrun.

    python examples/ray_train.py --processes 2 train DATASET --out MODEL   # on this machine
    RAY_ADDRESS=auto python examples/ray_train.py --processes 8 --gpu train DATASET --out MODEL

Needs vidcaption[ray,train], and DATASET and MODEL on a folder that all machines share.
"""

import argparse
import os

import ray
from ray.train import ScalingConfig
from ray.train.torch import TorchTrainer


def work(config: dict[str, object]) -> None:
    """One process: Ray has set the variables that torchrun sets, and joined the processes."""
    from vidcaption.cli import main

    os.chdir(str(config["folder"]))
    command = config["command"]
    assert isinstance(command, list)
    if code := main(command):
        raise RuntimeError(f"exit code {code}: see above")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--gpu", action="store_true", help="one for each process")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    ray.init(address=os.environ.get("RAY_ADDRESS", "local"))
    scaling = ScalingConfig(num_workers=asked.processes, use_gpu=asked.gpu)
    config = {"command": asked.command, "folder": os.getcwd()}
    TorchTrainer(work, train_loop_config=config, scaling_config=scaling).fit()


if __name__ == "__main__":
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no telemetry
    main()
