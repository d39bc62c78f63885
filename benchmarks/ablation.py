"""What each part of the recipe is worth: trains the variants, scores them, prints JSON.

    python benchmarks/ablation.py flickr8k.jsonl msrvtt.jsonl --work runs > ablation.json \\
      --flags "--preset default --epochs 2 --backbone-weights efficientnet_lite2.safetensors" \\
      --text coco.txt --other mobilenet_v2_imagenet.safetensors

The first dataset is the one of stills. Every row is one ``vidcaption train`` (its command is in the
JSON) with the same flags and seed, on features shared through ``--features``, then one
``vidcaption evaluate`` for the dev split of each dataset that has one. ``--work`` keeps the
trainings: a row that is there is not trained again. ``--rows`` takes some rows only.
"""

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from vidcaption.datasets.read import read_dataset

BASE, STILLS, NO_TEXT = "the recipe", "stills only", "no sentences without pictures"
# flags beside the recipe's; {init} stands for the recipe's own model, {other} for other weights
ROWS = {
    BASE: "",
    "MobileNetV2 as the CNN": "--backbone mobilenet_v2 --backbone-weights {other}",
    "no concepts": "--concept-slots 0 --concept-epochs 0",
    NO_TEXT: "",
    "one vector per frame": "--grid 1",
    "no temporal LSTM": "--temporal none",
    "additive attention": "--attention additive",
    "no attention": "--attention none",
    "a decoder of a fifth": "--size 144 --embedding 112",
    "no moving mean of weights": "--ema 0",
    "no label smoothing": "--label-smoothing 0",
    "words of its own": "--own-words 0.25",
    STILLS: "",
    "then end to end": "--init {init} --epochs 0 --finetune-epochs 1",
    "then rewards": "--init {init} --epochs 0 --scst-epochs 1",
}


def vidcaption(*arguments: str) -> str:
    command = [sys.executable, "-m", "vidcaption", *arguments]
    print(shlex.join(["vidcaption", *arguments]), file=sys.stderr, flush=True)
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def folder_of(name: str, asked: argparse.Namespace) -> Path:
    return Path(asked.work / name.replace(" ", "-"))


def command_of(name: str, asked: argparse.Namespace) -> list[str]:
    """The row's training, as arguments of ``vidcaption``."""
    init = shlex.quote(str(folder_of(BASE, asked)))
    return [
        *["train", *(asked.datasets[:1] if name == STILLS else asked.datasets)],
        *["--out", str(folder_of(name, asked)), "--features", str(asked.work / "features")],
        *["--finetune-epochs", "0", "--quiet", *shlex.split(asked.flags)],
        *shlex.split(ROWS[name].format(init=init, other=shlex.quote(asked.other))),
        *(part for path in asked.text if name != NO_TEXT for part in ("--text", path)),
    ]


def scored(command: list[str], model: Path, datasets: list[str]) -> dict[str, Any]:
    """Train if that is not done yet, and score on the dev split of each dataset."""
    if not (model / "training.html").exists():
        resume = ["--resume"] if (model / "checkpoint.pt").exists() else []
        vidcaption(*command, *resume)
    dev = {}
    for dataset in datasets:
        if not any(s.split == "dev" for s in read_dataset(Path(dataset))):
            continue
        report = json.loads(
            vidcaption(
                "evaluate", str(model), dataset, "--split", "dev", "--precision", "fp32", "--json"
            )
        )
        dev[Path(dataset).name] = {
            key: report[key] for key in ("metrics", "frames", "scores", "intervals")
        }
    return dev


def row(name: str, asked: argparse.Namespace) -> dict[str, Any]:
    command = command_of(name, asked)
    dev = scored(command, folder_of(name, asked), asked.datasets)
    return {"name": name, "command": shlex.join(["vidcaption", *command]), "dev": dev}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--flags", default="--epochs 2", help="of every training")
    parser.add_argument("--text", nargs="*", default=[], help="sentences without pictures")
    parser.add_argument("--other", default="imagenet", help="weights of the other CNN")
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS))
    asked = parser.parse_args()
    rows = [row(name, asked) for name in asked.rows if name != NO_TEXT or asked.text]
    print(json.dumps({"rows": rows}, indent=2))


if __name__ == "__main__":
    main()
