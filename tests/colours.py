"""Plain pictures with captions that name their colour, and trainings on them that take seconds."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from vidcaption.datasets.jsonl import read_jsonl
from vidcaption.datasets.samples import Sample, with_splits
from vidcaption.model.config import ModelConfig
from vidcaption.model.device import Machine
from vidcaption.options.training import TrainOptions
from vidcaption.training.distributed import World
from vidcaption.training.material import Material
from vidcaption.training.trainer import Trainer

COLOURS = {"red": (0, 0, 255), "green": (0, 255, 0), "blue": (255, 0, 0), "white": (255, 255, 255)}
CPU = Machine(torch.device("cpu"), torch.float32)
CONFIG = ModelConfig.flat(
    image_size=32, grid=1, size=32, attention_heads=2, embedding=16, dropout=0.1
)
OPTIONS = TrainOptions(
    epochs=2,
    finetune_epochs=1,
    scst_epochs=2,
    batch=8,
    finetune_batch=8,
    frames=2,
    min_count=1,
    select="loss",
    workers=0,
)
ONE_EPOCH = replace(OPTIONS, epochs=1, finetune_epochs=0, scst_epochs=0)
CONCEPTS = replace(CONFIG, concept_slots=2)


def write_colours(folder: Path) -> list[Sample]:
    """Twenty-four pictures with two captions each."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(24):
        name, colour = list(COLOURS.items())[i % 4]
        noise = rng.integers(-40, 40, (32, 32, 3))
        noisy = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), noisy)
        captions = [f"a plain {name} picture", f"everything is {name}"]
        rows.append({"id": str(i), "image": f"{i}.png", "captions": captions})
    path = folder / "data.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return with_splits(read_jsonl(path), seed=1)


def trainer(
    folder, samples, options=OPTIONS, machine=CPU, config=CONFIG, texts=(), scores=(), **more
):
    init = more.get("init")
    material = Material(
        samples,
        texts,
        min_count=options.min_count,
        seed=options.seed,
        scores=scores,
        with_concepts=bool(config.concept_slots),
        vocabulary=init.vocabulary if init else None,
        heads=(init.network.config if init else config).heads.split("+"),
    )
    return Trainer(folder, config, options, machine, material, World(machine.device), **more)


def history(folder):
    """Rows of history.csv, without what differs from run to run."""
    with (folder / "history.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
