"""What concepts are worth when a model captions: scores on dev splits without parts of it, as JSON.

    python benchmarks/concepts.py default flickr8k.jsonl msrvtt.jsonl coco.jsonl \\
      --detected coco_scores.jsonl.gz

The row of the detector takes its scores for the classes of COCO, where the file has a sample's
first picture, in place of the content classifier's.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from self_training import mix
from torch import Tensor
from torch.nn import ModuleList

from vidcaption.datasets.objects import coco_names
from vidcaption.datasets.read import read_dataset
from vidcaption.datasets.samples import Sample
from vidcaption.datasets.scores import read_scores
from vidcaption.evaluation.captioning import in_batches, load_clip
from vidcaption.evaluation.metrics import cider
from vidcaption.evaluation.objects import object_figures
from vidcaption.model import folder, network
from vidcaption.model.concepts import Concepts, surest
from vidcaption.model.device import Machine
from vidcaption.model.vocabulary import tokenize
from vidcaption.options.captioning import SearchOptions
from vidcaption.store import resolve

FRAMES = 2
Choose = Callable[[list[int], Tensor, Tensor | None], Concepts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("datasets", type=Path, nargs="+")
    parser.add_argument("--detected", type=Path, required=True)
    arguments = parser.parse_args()
    rows: dict[str, dict[str, Any]] = {}
    for dataset in arguments.datasets:
        samples = [s for s in read_dataset(dataset) if s.split == "dev"]
        detected = read_scores(arguments.detected, [dataset.parent])
        scores = [dict(detected.get(s.stills[0].resolve(), {})) for s in samples]
        for name, scored in Dev(arguments.model, samples, scores).rows().items():
            rows.setdefault(name, {})[dataset.name] = scored
    print(
        json.dumps({"split": "dev", "frames": FRAMES, "precision": "fp32", "rows": rows}, indent=2)
    )


class Dev:
    """The dev samples of a dataset, whose features are computed once."""

    def __init__(self, model: str, samples: list[Sample], scores: list[dict[str, float]]) -> None:
        loaded = folder.load(resolve(model))
        self.network, self.vocabulary = loaded.network.eval(), loaded.vocabulary
        self.samples, self.scores = samples, scores
        self.slots = self.network.config.concept_slots
        size = self.network.config.input.image_size
        machine = Machine(torch.device("cpu"), torch.float32)
        with torch.inference_mode():
            self.batches = [
                (batch, self.network.encode(clips), self.network.detect(clips))
                for batch, clips in in_batches(
                    lambda i: load_clip(samples[i], FRAMES, size), range(len(samples)), 16, machine
                )
            ]

    def rows(self) -> dict[str, dict[str, float]]:
        hints = network.HINT, network.RARE
        rows = {"the built-in model": self.score(self.own)}
        rows["greedy"] = self.score(self.own, beam=1)
        rows["no second CNN"] = self.score(self.alone)
        rows["the detector itself in its place"] = self.score(self.detector)
        network.HINT = network.RARE = 0.0
        rows["no preference for sure words"] = self.score(self.own)
        rows["no concepts at all"] = self.score(self.none)
        network.HINT, network.RARE = hints
        wording, self.network.decoder.wording = self.network.decoder.wording, ModuleList()
        rows["no rules of wording"] = self.score(self.own)
        self.network.decoder.wording = wording
        joint = self.network.heads.pop("joint")
        rows["no choice by the joint space"] = self.score(self.own)
        self.network.heads["joint"] = joint
        return rows

    def own(self, batch: list[int], features: Tensor, found: Tensor | None) -> Concepts:
        concepts = self.network.recognise(features, found)
        assert concepts is not None
        return concepts

    def alone(self, batch: list[int], features: Tensor, found: Tensor | None) -> Concepts:
        return self.own(batch, features, None)

    def none(self, batch: list[int], features: Tensor, found: Tensor | None) -> Concepts:
        concepts = self.alone(batch, features, None)
        return Concepts(concepts.ids, torch.zeros_like(concepts.confidence))

    def detector(self, batch: list[int], features: Tensor, found: Tensor | None) -> Concepts:
        assert self.network.classifier is not None
        frames = self.network.classifier(features).sigmoid()
        scores, names = [self.scores[i] for i in batch], coco_names()
        mean, lowest = (
            mix(each, scores, self.vocabulary, names) for each in (frames.mean(1), frames.amin(1))
        )
        return surest(mean, self.slots, lowest)

    @torch.inference_mode()
    def score(self, choose: Choose, beam: int = SearchOptions().beam) -> dict[str, float]:
        said = {}
        for batch, features, found in self.batches:
            concepts = choose(batch, features, found)
            captions = self.network.caption(features, SearchOptions(beam=beam), concepts)
            for i, caption in zip(batch, captions, strict=True):
                said[self.samples[i].id] = " ".join(self.vocabulary.decode(caption.ids))
        figures = object_figures(said, self.samples, coco_names().without("person"))
        return {
            "CIDEr": round(cider(said, {s.id: s.captions for s in self.samples}), 1),
            **{name: round(100 * float(figure), 1) for name, figure in figures.items()},
            "words": len({word for text in said.values() for word in tokenize(text)}),
        }


if __name__ == "__main__":
    main()
