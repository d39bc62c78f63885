"""Caption photographs that have no captions, and keep what a detector confirms, to train on.

    python benchmarks/self_training.py MODEL PHOTOGRAPHS.jsonl SCORES.jsonl.gz OUT.jsonl

The detector's scores take the place of the content classifier's for the classes of COCO. A caption
is kept where each object that it names has been seen by detector or classifier, and where it names
at least half of what the detector is sure of. Prints JSON.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from vidcaption.datasets.objects import ObjectNames, coco_names
from vidcaption.datasets.read import read_dataset
from vidcaption.datasets.scores import read_scores
from vidcaption.evaluation.captioning import in_batches, load_clip
from vidcaption.model import folder
from vidcaption.model.concepts import surest
from vidcaption.model.device import Machine
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.options.captioning import SearchOptions
from vidcaption.store import resolve

SURE = 0.5  # of the detector
SEEN = 0.3
DOUBTED = 0.5  # factor of the classifier's probability where the detector sees nothing


def mix(
    probabilities: Tensor,
    scores: Sequence[Mapping[str, float]],
    vocabulary: Vocabulary,
    names: ObjectNames,
) -> Tensor:
    """(B, N) probabilities of the vocabulary's concepts, with a detector's scores for its objects.

    But for ``person``: the classifier knows women, men and children.
    """
    mixed = probabilities.clone()
    for column, name in enumerate(vocabulary.concepts):
        if name in names.without("person").classes:
            score = torch.tensor([row.get(name, 0.0) for row in scores])
            mixed[:, column] = torch.where(score > 0, score, DOUBTED * mixed[:, column])
    return mixed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("model", "photographs", "scores", "out"):
        parser.add_argument(name)
    arguments = parser.parse_args()
    photographs, out = Path(arguments.photographs), Path(arguments.out)
    model, names = folder.load(resolve(arguments.model)), coco_names()
    network, vocabulary = model.network.eval(), model.vocabulary
    machine = Machine(torch.device("cpu"), torch.bfloat16)
    samples = [s for s in read_dataset(photographs) if not s.captions]
    detected = read_scores(Path(arguments.scores), [photographs.parent])
    index = {name: i for i, name in enumerate(vocabulary.concepts)}
    objects = set(names.classes) - {"person"}
    size, slots = network.config.input.image_size, network.config.concept_slots
    rows = []

    def load(i: int) -> Tensor:
        return load_clip(samples[i], 1, size)

    with torch.inference_mode(), machine.autocast():
        for batch, clips in in_batches(load, range(len(samples)), 32, machine):
            features = network.encode(clips)
            own = network.classifier(features).sigmoid().mean(1).float()
            scores = [detected.get(samples[i].stills[0].resolve(), {}) for i in batch]
            found = surest(mix(own, scores, vocabulary, names), slots)
            captions = network.caption(features, SearchOptions(beam=5), found)
            for i, row, mine, caption in zip(batch, scores, own, captions, strict=True):
                text = " ".join(vocabulary.decode(caption.ids))
                seen = {n for n, p in row.items() if p >= SEEN}
                seen |= {n for n in objects & index.keys() if mine[index[n]] >= SURE}
                named = set(names.named(text))
                sure = {n for n, p in row.items() if p >= SURE} & objects
                if named | sure and named <= seen and 2 * len(named & sure) >= len(sure):
                    rows.append((i, text))
    with out.open("w", encoding="utf-8") as file:
        for i, text in sorted(rows):
            image = str(samples[i].stills[0].resolve())
            row = {"id": samples[i].id, "image": image, "split": "train", "captions": [text]}
            file.write(json.dumps(row) + "\n")
    print(json.dumps({"photographs": len(samples), "kept": len(rows)}))


if __name__ == "__main__":
    main()
