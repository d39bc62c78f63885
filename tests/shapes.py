"""Pictures of coloured shapes in Visual Genome's JSON, whose best description is known."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

SIDE = 64  # of a picture, in pixels
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
DOCUMENTS = ("region_descriptions", "image_data", "objects", "relationships")


def write_shapes(folder: Path, count: int = 24) -> Path:
    """``region_descriptions.json`` and what belongs to it: pictures of a square or a circle on the
    left and one on the right, each said to be "a red square", and to be left of the other."""
    rng = np.random.default_rng(0)
    documents: dict[str, list[Any]] = {name: [] for name in DOCUMENTS}
    (folder / "VG_100K").mkdir(parents=True)
    for number in range(1, count + 1):
        picture = np.zeros((SIDE, SIDE, 3), np.uint8)
        regions, objects = [], []
        for place in range(2):
            size = int(rng.choice([16, 32]))
            x, y = (16 * int(rng.integers(0, (end - size) // 16 + 1)) for end in (32, SIDE))
            x += 32 * place
            colour, kind = rng.choice(list(COLOURS)), rng.choice(["square", "circle"])
            _draw(picture, x, y, size, str(kind), COLOURS[str(colour)])
            box = {"x": x, "y": y, "width": size, "height": size}
            phrase = f"A {colour} {kind}"
            regions.append({"region_id": place, "image_id": number, "phrase": phrase, **box})
            there = {"x": x, "y": y, "w": size, "h": size}
            objects.append({"object_id": 10 * number + place, "names": [f"{kind}"], **there})
        left, right = objects
        relation = {"predicate": "LEFT of", "subject": left, "object": right}
        documents["region_descriptions"].append({"id": number, "regions": regions})
        sides = {"width": SIDE, "height": SIDE}
        documents["image_data"].append({"image_id": number, **sides})
        documents["objects"].append({"image_id": number, "objects": objects})
        documents["relationships"].append({"image_id": number, "relationships": [relation]})
        cv2.imwrite(str(folder / "VG_100K" / f"{number}.png"), picture[..., ::-1])
    return write_documents(folder, documents)


def write_documents(folder: Path, documents: Mapping[str, Any]) -> Path:
    """Each as a JSON file of its name; the path of the first."""
    for name, content in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder / f"{DOCUMENTS[0]}.json"


def _draw(picture: Any, x: int, y: int, size: int, kind: str, colour: tuple[int, int, int]) -> None:
    if kind == "square":
        picture[y : y + size, x : x + size] = colour
    else:
        centre = (x + size // 2, y + size // 2)
        cv2.circle(picture, centre, size // 2 - 1, colour, thickness=-1)
