"""How often neighbouring windows name other people, as JSON, with three ways to choose captions.

    python benchmarks/neighbours.py MODEL msrvtt.jsonl --split dev

Each frame of a sample is a window. *alone*: its best caption; *forwards*: chosen with the windows
before, as for streams; *both ways*: also with those after it, as for files. A pair of neighbours is
``other`` if both name people, of other kinds, and ``reversed`` if they have no kind in common. A
kind that a caption names is ``confirmed`` if several people name it for the sample. ``CIDEr``: of
all windows, as if each showed the whole sample.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from vidcaption.datasets.read import read_dataset
from vidcaption.datasets.samples import Sample, load_frames, of_split
from vidcaption.evaluation.captioning import to_clip
from vidcaption.evaluation.metrics import cider
from vidcaption.model import folder
from vidcaption.model.neighbours import AHEAD, choose
from vidcaption.model.people import KINDS, who
from vidcaption.model.search import Caption
from vidcaption.model.vocabulary import tokenize
from vidcaption.options.captioning import SearchOptions
from vidcaption.store import resolve

FRAMES = 6
SEVERAL = 3

Choose = Callable[[frozenset[str], Sequence[Caption]], Caption]
WAYS: dict[str, tuple[Choose, int]] = {
    "alone": (lambda before, windows: windows[0], 0),
    "forwards": (choose, 0),
    "both ways": (choose, AHEAD),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--split", default="dev")
    arguments = parser.parse_args()
    model = folder.load(resolve(arguments.model))
    dataset = arguments.dataset
    samples, split = of_split(read_dataset(dataset), arguments.split, dataset)
    videos = [caption(model, sample) for sample in samples]
    report = {
        "model_sha256": model.sha256,
        "dataset": dataset.name,
        "split": split,
        "videos": len(videos),
        "windows": sum(map(len, videos)),
        "precision": "fp32",
        "ways": {name: measure(model, samples, videos, *way) for name, way in WAYS.items()},
    }
    print(json.dumps(report, indent=2))


@torch.inference_mode()
def caption(model: folder.Model, sample: Sample) -> list[Caption]:
    """Each frame of a sample as a window."""
    network = model.network.eval()
    stills = load_frames(sample, FRAMES, network.config.input.image_size)
    frames = to_clip(stills).unsqueeze(1)  # (windows, 1, 3, S, S)
    features = network.encode(frames)
    concepts = network.recognise(features, network.detect(frames))
    return network.caption(features, SearchOptions(), concepts)


def measure(
    model: folder.Model,
    samples: Sequence[Sample],
    videos: Sequence[Sequence[Caption]],
    way: Choose,
    ahead: int,
) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    said, wanted = {}, {}
    for sample, windows in zip(samples, videos, strict=True):
        by_people = Counter(k for text in sample.captions for k in who(tokenize(text), KINDS))
        chosen: list[Caption] = []
        for i, best in enumerate(windows):
            before = chosen[-1].people if chosen else frozenset[str]()
            chosen.append(way(before, windows[i : i + ahead + 1]))
            counts["changed"] += chosen[-1] is not best
            said[f"{sample.id} {i}"] = " ".join(model.vocabulary.decode(chosen[-1].ids))
            wanted[f"{sample.id} {i}"] = sample.captions
        for one, next_one in pairwise(each.people for each in chosen):
            counts["pairs"] += 1
            counts["other"] += bool(one and next_one and one != next_one)
            counts["reversed"] += bool(one and next_one and not one & next_one)
        kinds = [kind for each in chosen for kind in each.people]
        counts["kinds"] += len(kinds)
        counts["confirmed"] += sum(by_people[kind] >= SEVERAL for kind in kinds)
    return {**counts, "CIDEr": round(cider(said, wanted), 2)}


if __name__ == "__main__":
    main()
