"""How often captions name what pictures of ImageNet's classes show, as JSON; and captions that do.

    python benchmarks/classes.py MODEL imagenet.jsonl [--out CAPTIONS.jsonl]

Rows name the ``class`` of their picture, and the model's vocabulary the concept of each class. A
caption names it in any of its forms. ``--out`` writes captions to train on, of all pictures but
each fourth: the model's own where it names the class, and otherwise the likeliest one that does,
where the class is certain and no other object is.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidcaption.datasets.samples import Sample, load_frames
from vidcaption.evaluation.captioning import in_batches, to_clip
from vidcaption.model import folder
from vidcaption.model.concepts import surest
from vidcaption.model.device import Machine
from vidcaption.model.search import Caption, search
from vidcaption.options.captioning import SearchOptions
from vidcaption.store import resolve
from vidcaption.training.concepts import stem

SURE = 0.5
NAMED = 4.0  # nats by which the name of the class is likelier
HELD_OUT = 4  # one of so many pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    pictures = Pictures(arguments.model, arguments.pictures)
    said, sure = pictures.caption()
    named = [pictures.names(i, text) for i, text in enumerate(said)]
    rows = {
        "all": range(len(said)),
        "held out": range(0, len(said), HELD_OUT),
        "surely recognised": [i for i, p in enumerate(sure) if p >= SURE],
    }
    shares = {
        name: {"pictures": len(several), "named": sum(named[i] for i in several)}
        for name, several in rows.items()
    }
    if arguments.out:
        taught, _ = pictures.caption(teach=True)
        with arguments.out.open("w", encoding="utf-8") as file:
            for i, (row, own, other) in enumerate(zip(pictures.rows, said, taught, strict=True)):
                text = own if named[i] else other
                if i % HELD_OUT and pictures.names(i, text):
                    image = str((arguments.pictures.parent / row["image"]).resolve())
                    new = {"id": row["id"], "image": image, "split": "train", "captions": [text]}
                    file.write(json.dumps(new) + "\n")
    print(json.dumps({"model": arguments.model, "precision": "fp32", **shares}, indent=2))


class Pictures:
    """Those whose class has a concept of one word."""

    def __init__(self, model: str, dataset: Path) -> None:
        loaded = folder.load(resolve(model))
        self.network, self.vocabulary = loaded.network.eval(), loaded.vocabulary
        self.folder = dataset.parent
        lines = map(json.loads, dataset.read_text("utf-8").splitlines())
        self.rows: list[dict[str, Any]] = [row for row in lines if self.name(row)]
        classes = {c for c in self.vocabulary.classes if c is not None}
        self.objects = sorted(classes | set(self.vocabulary.objects))

    def name(self, row: dict[str, Any]) -> str | None:
        """What the picture of a row shows."""
        concept = self.vocabulary.classes[row["class"]]
        name = None if concept is None else self.vocabulary.concepts[concept]
        return None if name and " " in name else name

    def names(self, i: int, text: str) -> bool:
        """Whether a caption names what its picture shows."""
        return stem(str(self.name(self.rows[i]))) in map(stem, text.split())

    def load(self, i: int) -> Tensor:
        still = self.folder / self.rows[i]["image"]
        size = self.network.config.input.image_size
        return to_clip(load_frames(Sample(self.rows[i]["id"], (), None, (still,)), 1, size))

    @torch.inference_mode()
    def caption(self, teach: bool = False) -> tuple[list[str], list[float]]:
        """Captions, and the probability of each class. ``teach``: tell what it is."""
        said, sure = {}, {}
        machine = Machine(torch.device("cpu"), torch.float32)
        for batch, clips in in_batches(self.load, range(len(self.rows)), 16, machine):
            features = self.network.encode(clips)
            concepts = self.network.recognise(features, self.network.detect(clips))
            assert concepts is not None and concepts.every is not None
            shown = [self.vocabulary.classes[self.rows[i]["class"]] for i in batch]
            every = list(zip(range(len(batch)), shown, strict=True))
            sure |= {i: float(concepts.every[at]) for i, at in zip(batch, every, strict=True)}
            captions = (
                self._taught(features, concepts.every.clone(), every)
                if teach
                else self.network.caption(features, SearchOptions(), concepts)
            )
            for i, caption in zip(batch, captions, strict=True):
                said[i] = " ".join(self.vocabulary.decode(caption.ids))
        order = range(len(self.rows))
        return [said[i] for i in order], [sure[i] for i in order]

    def _taught(
        self, features: Tensor, every: Tensor, shown: list[tuple[int, Any]]
    ) -> list[Caption]:
        others = every[:, self.objects]
        every[:, self.objects] = others.where(others >= SURE, 0.0)
        for row, concept in shown:
            every[row, concept] = 1.0
        concepts = surest(every, self.network.config.concept_slots)
        hints = self.network.hints(concepts)
        assert hints is not None
        for row, concept in shown:
            hints[row, self.vocabulary.encode(self.vocabulary.concepts[concept])] = NAMED
        memory = self.network.remember(features, concepts)
        return search(self.network.decoder, memory, SearchOptions(beam=5), hints)


if __name__ == "__main__":
    main()
