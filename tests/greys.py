"""A dataset of plain grey pictures, and options with which training on it takes seconds."""

import json
from pathlib import Path

import cv2
import numpy as np

TRAIN = [
    *["--backbone-weights", "none", "--image-size", "32", "--grid", "1", "--size", "16"],
    *["--attention-heads", "2", "--embedding", "8", "--epochs", "1", "--finetune-epochs", "1"],
    *["--min-count", "1", "--workers", "0", "--select", "loss", "--quiet"],
]
WORDS = {"a", "dark", "bright", "picture", "nothing", "but", "grey"}


def write_greys(folder: Path, count: int) -> Path:
    """``data.jsonl`` in ``folder``: pictures from dark to bright, every fifth of them ``dev``."""
    rows = []
    for i in range(count):
        cv2.imwrite(str(folder / f"{i}.png"), np.full((32, 32, 3), 240 * i // count, np.uint8))
        captions = [f"a {'dark' if i < count / 2 else 'bright'} picture", "nothing but grey"]
        split = "dev" if i % 5 == 2 else "train"
        rows.append({"id": str(i), "image": f"{i}.png", "split": split, "captions": captions})
    path = folder / "data.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path
