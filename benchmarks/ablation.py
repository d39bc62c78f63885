"""What each part of the recipe is worth: trains the variants, scores them, prints JSON.

    python benchmarks/ablation.py flickr8k.jsonl msrvtt.jsonl --work runs \\
      --backbone-weights mobilenet_v2_imagenet.safetensors --epochs 2 > results/ablation.json

The first dataset is the one of stills. Every row is one ``vidcaption train`` (its command is in the
JSON) with the same few epochs and seed, on features shared through ``--features``, then one
``vidcaption evaluate`` for the dev split of each dataset. ``--work`` keeps the trainings: a row
that is there is not trained again. ``--rows`` takes some rows only.
"""

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

BASE = "the recipe"
# name: flags beside the recipe's; TEXT stands for --text's files, INIT for the recipe's model
ROWS = {
    BASE: [],
    "one vector per frame": ["--grid", "1"],
    "no temporal LSTM": ["--temporal", "none"],
    "additive attention": ["--attention", "additive"],
    "no attention": ["--attention", "none"],
    "no moving mean of weights": ["--ema", "0"],
    "no label smoothing": ["--label-smoothing", "0"],
    "words of its own": ["--own-words", "0.25"],
    "sentences first": ["TEXT"],
    "stills only": ["STILLS"],
    "then end to end": ["INIT", "--epochs", "0", "--finetune-epochs", "1"],
    "then rewards": ["INIT", "--epochs", "0", "--scst-epochs", "1"],
}


def vidcaption(*arguments: str) -> str:
    command = [sys.executable, "-m", "vidcaption", *arguments]
    print(shlex.join(["vidcaption", *arguments]), file=sys.stderr, flush=True)
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def command_of(name: str, asked: argparse.Namespace) -> list[str]:
    """The row's training, as arguments of ``vidcaption``."""
    datasets, flags = asked.datasets, list(ROWS[name])
    if "STILLS" in flags:
        flags.remove("STILLS")
        datasets = datasets[:1]
    if "TEXT" in flags:
        flags.remove("TEXT")
        flags += [part for path in asked.text for part in ("--text", path)]
    if "INIT" in flags:
        flags.remove("INIT")
        flags += ["--init", str(asked.work / BASE.replace(" ", "-"))]
    return [
        *["train", *datasets, "--out", str(asked.work / name.replace(" ", "-"))],
        *["--features", str(asked.work / "features"), "--backbone-weights", asked.backbone_weights],
        *["--mean", "0.5", "0.5", "0.5", "--std", "0.5", "0.5", "0.5", "--quiet"],
        *["--epochs", str(asked.epochs), "--finetune-epochs", "0", *flags],
    ]


def row(name: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Train if that is not done yet, and score."""
    command = command_of(name, asked)
    model = asked.work / name.replace(" ", "-")
    if not (model / "training.html").exists():
        resume = ["--resume"] if (model / "checkpoint.pt").exists() else []
        vidcaption(*command, *resume)
    scores = {}
    for dataset in asked.datasets:
        report = json.loads(vidcaption("evaluate", str(model), dataset, "--split", "dev", "--json"))
        wanted = ("BLEU-4", "METEOR", "CIDEr")
        scores[Path(dataset).name] = {key: report["scores"][key] for key in wanted}
        scores[Path(dataset).name]["CIDEr interval"] = report["intervals"]["CIDEr"]
    return {"name": name, "command": shlex.join(["vidcaption", *command]), "dev": scores}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--backbone-weights", default="imagenet")
    parser.add_argument("--text", nargs="*", default=[])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS))
    asked = parser.parse_args()
    rows = [row(name, asked) for name in asked.rows if name != "sentences first" or asked.text]
    print(json.dumps({"epochs": asked.epochs, "seed": 1, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
