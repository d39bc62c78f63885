"""Teach the second CNN of a model what a detector sees, and put it into the model.

    python benchmarks/train_detector.py MODEL SSD.safetensors DATASET.jsonl... \\
      --scores SCORES.jsonl.gz --work runs/detector --out runs/with-detector

``SSD.safetensors``: the convolutions of an SSD detector with MobileNetV2, ``stem``,
``blocks.N.expand``, ``.dw``, ``.project``, ``head``; int8 weights need a ``.scale`` for each output
channel. The trunk stays as it is. The heads learn the detector's scores of training pictures, and
the objects that people name there. Prints the average precision on dev samples as JSON, by the
objects that at least two people name; those that one names do not count.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from vidcaption.datasets.objects import ObjectNames, coco_names
from vidcaption.datasets.read import read_dataset
from vidcaption.datasets.samples import Sample
from vidcaption.datasets.scores import read_scores
from vidcaption.evaluation.captioning import in_batches, load_clip
from vidcaption.model import folder
from vidcaption.model.detector import CHANNELS, ObjectDetector
from vidcaption.model.device import Machine
from vidcaption.model.manifest import CARD
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.vocabulary import SPECIAL, Vocabulary
from vidcaption.store import resolve

NAMED = 0.9  # the target of what people name
EPOCHS, BATCH, LR, DROPOUT = 5, 64, 1.5e-3, 0.4
MIX = (0.6, 0.6, -0.2)  # chosen on dev samples
MACHINE = Machine(torch.device("cpu"), torch.bfloat16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("ssd", type=Path)
    parser.add_argument("datasets", type=Path, nargs="+")
    for name in ("--scores", "--work", "--out"):
        parser.add_argument(name, type=Path, required=True)
    asked = parser.parse_args()
    base, names = folder.load(resolve(asked.model)), coco_names()
    index = {name: i for i, name in enumerate(base.vocabulary.concepts)}
    objects = [name for name in names.classes if name in index and name != "person"]
    vocabulary = Vocabulary(
        base.vocabulary.words[len(SPECIAL) :],
        base.vocabulary.concepts,
        base.vocabulary.classes,
        [index[name] for name in objects],
    )
    network = CaptionNetwork(base.network.config, vocabulary)
    network.load_state_dict(base.network.state_dict(), strict=False)
    assert network.detector is not None
    load_trunk(network.detector, asked.ssd)
    samples = [s for d in asked.datasets for s in read_dataset(d) if s.split != "test"]
    known = read_scores(asked.scores, {d.parent for d in asked.datasets})
    regions = look(network.detector, samples, base.network.config.input.image_size, asked.work)
    learn = [i for i, s in enumerate(samples) if s.split != "dev"]
    dev = [i for i, s in enumerate(samples) if s.split == "dev" and len(s.captions) > 1]
    wanted = np.stack([target(samples[i], known, objects, names) for i in learn])
    teach(network.detector, regions, learn, wanted)
    network.detector.mix.data = torch.tensor(MIX)
    found = network.detector.tell(torch.from_numpy(np.array(regions[dev], np.float32)))
    said = [Counter(o for text in samples[i].captions for o in names.named(text)) for i in dev]
    counts = np.array([[row.get(name, 0) for name in objects] for row in said])
    folder.save(asked.out, network, vocabulary, (resolve(asked.model) / CARD).read_text("utf-8"))
    print(json.dumps({"pictures": len(learn), "average_precision": precision(found, counts)}))


def load_trunk(detector: ObjectDetector, path: Path) -> None:
    """Raises KeyError."""
    weights = load_file(path)
    layers = ["stem"]
    for block in range(17):
        layers += [f"blocks.{block}.{part}" for part in ("expand", "dw", "project")]
    layers = [name for name in (*layers, "head") if f"{name}.weight" in weights]
    own = [each for each in detector.trunk.modules() if isinstance(each, nn.Conv2d)]
    for convolution, name in zip(own, layers, strict=True):
        weight = weights[f"{name}.weight"].float()
        if (scale := weights.get(f"{name}.weight.scale")) is not None:
            weight = weight * scale[:, None, None, None]
        convolution.load_state_dict({"weight": weight, "bias": weights[f"{name}.bias"].float()})


@torch.inference_mode()
def look(
    detector: ObjectDetector, samples: Sequence[Sample], size: int, work: Path
) -> NDArray[np.float16]:
    """(N, R, C): the regions of each sample's first frame, on disk."""
    work.mkdir(parents=True, exist_ok=True)
    shape = len(samples), (size // 32) ** 2, CHANNELS
    rows = np.lib.format.open_memmap(work / "regions.npy", "w+", np.float16, shape)

    def load(i: int) -> Tensor:
        return load_clip(samples[i], 1, size)[0]

    for batch, images in in_batches(load, range(len(samples)), 16, MACHINE):
        with MACHINE.autocast():
            rows[batch] = detector.regions(images).half().numpy()
    return rows


def target(
    sample: Sample, known: dict[Path, dict[str, float]], objects: Sequence[str], names: ObjectNames
) -> NDArray[np.float32]:
    scores = known.get(sample.stills[0].resolve(), {})
    people = {o for text in sample.captions for o in names.named(text)} if one(sample) else set()
    wanted = [max(scores.get(name, 0.0), NAMED * (name in people)) for name in objects]
    return np.array(wanted, np.float32)


def one(sample: Sample) -> bool:
    """Whether people have seen only the picture that is looked at."""
    return len(sample.stills) == 1


def teach(
    detector: ObjectDetector,
    regions: NDArray[np.float16],
    learn: Sequence[int],
    wanted: NDArray[np.float32],
) -> None:
    torch.manual_seed(0)
    nn.init.zeros_(detector.out.weight)
    nn.init.constant_(detector.out.bias, -3.0)
    heads = [
        p for part in (detector.hidden, detector.out, detector.where) for p in part.parameters()
    ]
    # the maps of the two strides differ much in scale: the hidden layer reads them at one scale
    scale = torch.from_numpy(np.array(regions[learn[::37]], np.float32)).flatten(0, 1).std(0)
    scale = scale.clamp(min=0.05)
    steps = EPOCHS * (len(learn) // BATCH)
    optimizer = torch.optim.AdamW(heads, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps)
    for epoch in range(EPOCHS):
        order = np.random.default_rng(epoch).permutation(len(learn))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            picks = np.sort(order[start : start + BATCH])
            x = torch.from_numpy(regions[np.array(learn)[picks]]).float() / scale
            with MACHINE.autocast():
                logits = detector.tell(x, DROPOUT)
            loss = F.binary_cross_entropy_with_logits(
                logits, torch.from_numpy(wanted[picks]), reduction="none"
            )
            optimizer.zero_grad()
            loss.sum(1).mean().backward()
            optimizer.step()
            schedule.step()
    detector.hidden.weight.data /= scale


def precision(found: Tensor, counts: NDArray[np.int64]) -> float:
    """Average precision over all objects of all samples."""
    scores, named = found.detach().numpy().ravel(), counts.ravel()
    order = np.argsort(-scores[named != 1])
    right = (named[named != 1] >= 2)[order]
    ranks = np.cumsum(right) / np.arange(1, len(right) + 1)
    return round(float(ranks[right].mean()), 4)


if __name__ == "__main__":
    main()
