"""What each preset scores at one equal budget, on the features of one frozen CNN: prints JSON.

    python benchmarks/presets.py flickr8k.jsonl msrvtt.jsonl --work runs > presets.json \\
      --flags "--epochs 3 --backbone-weights efficientnet_lite2.safetensors"

Every row is one ``vidcaption train`` (its command is in the JSON) with the same flags and seed, on
EfficientNet-Lite2 in place of the published CNN, as the rows are about what writes; then one
``vidcaption evaluate`` for the dev split of each dataset. ``--work`` keeps features and trainings:
a row that is there is not trained again. ``--rows`` takes some rows only; unless given, all presets
that learn from captions, except those of optical flow, which need videos. Stages that a preset adds
to the usual ones, as ``lstm-gan`` does, come on top of the budget.

``parameters`` are those of the preset's own network, with its published CNN and a vocabulary of
``words``; ``trained`` those of the row's, without the CNN.
"""

import argparse
import json
import shlex
import tomllib
from pathlib import Path
from typing import Any

import torch
from ablation import scored
from torch import nn

from vidcaption.cli.settings import presets
from vidcaption.model import folder
from vidcaption.model.config import ModelConfig
from vidcaption.model.network import CaptionNetwork
from vidcaption.options.base import flag_of

# instead of what the presets say: the CNN, as the built-in model has it, and what it is shown
MEAN, STD = ["0.4980392156862745"] * 3, ["0.5019607843137255"] * 3
SAME = [
    *["--backbone", "efficientnet_lite2", "--image-size", "224", "--mean", *MEAN, "--std", *STD],
    *["--frames", "4", "--cached-frames", "4", "--finetune-epochs", "0", "--scst-epochs", "0"],
]
LARGEST_GRID = 7  # of that CNN's last convolutions


def config_of(name: str) -> ModelConfig:
    """The preset's own network."""
    table = tomllib.loads(presets()[name].read_text(encoding="utf-8"))["train"]
    chosen = {
        f.name: table[key] for f in ModelConfig.flat_fields() if (key := flag_of(f)[2:]) in table
    }
    return ModelConfig.flat(
        **{k: tuple(v) if isinstance(v, list) else v for k, v in chosen.items()}
    )


def of_captions() -> list[str]:
    """The presets that learn from captions of what pictures show."""
    configs = {name: config_of(name) for name in presets()}
    return [name for name, each in configs.items() if each.reads and each.input.kind == "rgb"]


def command_of(name: str, asked: argparse.Namespace) -> list[str]:
    """The row's training, as arguments of ``vidcaption``."""
    grid = str(min(config_of(name).input.grid, LARGEST_GRID))
    return [
        *["train", *asked.datasets, "--preset", name, "--out", str(asked.work / name)],
        *["--features", str(asked.work / "features"), "--quiet", *SAME, "--grid", grid],
        *shlex.split(asked.flags),
    ]


def parameters(part: nn.Module) -> int:
    return sum(each.numel() for each in part.parameters())


def row(name: str, asked: argparse.Namespace) -> dict[str, Any]:
    command, model = command_of(name, asked), asked.work / name
    dev = scored(command, model, asked.datasets)
    trained = folder.load(model)
    with torch.device("meta"):
        published = CaptionNetwork(config_of(name), trained.vocabulary)
    return {
        "name": name,
        "what": presets()[name].read_text(encoding="utf-8").partition("\n")[0].removeprefix("# "),
        "command": shlex.join(["vidcaption", *command]),
        "words": len(trained.vocabulary),
        "parameters": parameters(published),
        "trained": parameters(trained.network) - parameters(trained.network.encoder),
        "dev": dev,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--flags", default="--epochs 3", help="of every training: the budget")
    parser.add_argument("--rows", nargs="*", choices=presets(), default=of_captions())
    asked = parser.parse_args()
    rows = [row(name, asked) for name in asked.rows]
    print(json.dumps({"flags": asked.flags, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
