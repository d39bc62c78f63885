"""Average the weights of models, and fit the confidence to what the average says.

    python benchmarks/average.py OUT MODEL=0.5 MODEL=0.5 --dev flickr8k.jsonl --dev msrvtt.jsonl

Where one model was trained from the other, the average of their weights describes pictures that
neither has seen better than both (Wortsman et al. 2022, Model soups). Prints JSON.
"""

import argparse
import json
from pathlib import Path

import torch

from vidcaption.datasets.read import read_dataset
from vidcaption.evaluation.captioning import load_clip
from vidcaption.model import folder
from vidcaption.model.device import Machine
from vidcaption.store import resolve
from vidcaption.training.calibration import calibrate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("models", nargs="+", metavar="MODEL=WEIGHT")
    parser.add_argument("--dev", type=Path, action="append", required=True)
    arguments = parser.parse_args()
    named = [each.rpartition("=") for each in arguments.models]
    shares = {name: float(weight) for name, _, weight in named}
    if abs(sum(shares.values()) - 1) > 1e-6:
        parser.error(f"the weights add up to {sum(shares.values()):g}, not to 1")
    first, *others = (folder.load(resolve(name)) for name in shares)
    if any(other.vocabulary.to_json() != first.vocabulary.to_json() for other in others):
        parser.error("the models do not have the same words")
    states = [model.network.state_dict() for model in (first, *others)]
    averaged = {
        name: sum(w * state[name] for w, state in zip(shares.values(), states, strict=True))
        for name in states[0]
    }
    first.network.load_state_dict(averaged)
    dev = [s for path in arguments.dev for s in read_dataset(path) if s.split == "dev"]
    config = first.network.config
    calibrate(
        *(first, dev, lambda i: load_clip(dev[i], config.frames, config.input.image_size)),
        Machine(torch.device("cpu"), torch.float32),
    )
    folder.save(arguments.out, first.network, first.vocabulary, "")
    print(json.dumps({"models": shares, "dev": len(dev)}))


if __name__ == "__main__":
    main()
