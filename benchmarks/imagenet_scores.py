"""Write what the CNN's ImageNet classifier says of pictures, for ``train --concept-scores``.

    python benchmarks/imagenet_scores.py BACKBONE.safetensors DATASET.jsonl... --out SCORES.jsonl.gz

The classes are called what the built-in model calls them; ``--classes FILE`` writes these names,
for ``train --backbone-classes``. Of a picture whose row names its ``class`` that one is sure, and
the others count half. Prints JSON.
"""

import argparse
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import torch

from vidcaption.datasets.samples import Sample, load_frames
from vidcaption.evaluation.captioning import in_batches, to_clip
from vidcaption.model import folder
from vidcaption.model.device import Machine
from vidcaption.model.network import CaptionNetwork
from vidcaption.store import resolve

LEAST = 0.05


def pictures(dataset: Path) -> Iterator[tuple[str, Path, int | None]]:
    """The path as the dataset has it, where it is, and the class, of each picture."""
    for line in dataset.read_text("utf-8").splitlines():
        row = json.loads(line)
        for path in row.get("frames") or [row["image"]]:
            yield path, dataset.parent / path, row.get("class")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("backbone", type=Path)
    parser.add_argument("datasets", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--classes", type=Path)
    arguments = parser.parse_args()
    model = folder.load(resolve("default"))
    vocabulary, config = model.vocabulary, model.network.config
    nouns = [None if i is None else vocabulary.concepts[i] for i in vocabulary.classes]
    if arguments.classes:
        rows = (json.dumps({"noun": noun}) + "\n" for noun in nouns)
        arguments.classes.write_text("".join(rows), "utf-8")
    encoder = CaptionNetwork(config, vocabulary).encoder.eval()
    last = encoder.load_imagenet([arguments.backbone])
    assert last is not None
    every = {path: (place, known) for d in arguments.datasets for path, place, known in pictures(d)}
    paths = list(every)
    names = sorted({noun for noun in nouns if noun})
    meant = torch.tensor([[noun == name for name in names] for noun in nouns]).float()
    machine = Machine(torch.device("cpu"), torch.bfloat16)

    def load(i: int) -> torch.Tensor:
        sample = Sample(paths[i], (), None, (every[paths[i]][0],))
        return to_clip(load_frames(sample, 1, config.input.image_size))[0]

    with (
        gzip.open(arguments.out, "wt", encoding="utf-8") as file,
        torch.inference_mode(),
        machine.autocast(),
    ):
        for batch, frames in in_batches(load, range(len(paths)), 32, machine):
            classes = last(encoder(frames).float().mean(1)).float().softmax(-1)
            for i, row in zip(batch, classes @ meant, strict=True):
                scores = {n: round(p, 3) for n, p in zip(names, row.tolist(), strict=True)}
                scores = {name: score for name, score in scores.items() if score >= LEAST}
                known = every[paths[i]][1]
                if known is not None and (noun := nouns[known]):
                    scores = {name: score / 2 for name, score in scores.items()} | {noun: 1.0}
                file.write(json.dumps({"path": paths[i], "concepts": scores}) + "\n")
    print(json.dumps({"pictures": len(paths), "names": len(names)}))


if __name__ == "__main__":
    main()
