"""Regions of pictures with phrases, in the JSON of Visual Genome (Krishna et al. 2017).

``region_descriptions.json`` has boxes with phrases, ``image_data.json`` beside it the size of each
picture; ``objects.json`` has boxes with the names of objects, and ``relationships.json`` what is
between two of these, if they are there. Pictures are called by their number, as in ``VG_100K``.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vidcaption.datasets.items import Item, find_files, read_text, split_in_name, with_lists
from vidcaption.datasets.samples import Sample
from vidcaption.errors import UsageError
from vidcaption.reasons import unparsed
from vidcaption.types import Region, Relation, SceneGraph

SIZES, OBJECTS, RELATIONS = "image_data.json", "objects.json", "relationships.json"

Size = tuple[float, float]
Row = dict[str, Any]


@dataclass
class _Picture:
    """What is known of one. ``places``: of objects in ``regions``, by their number."""

    where: str
    size: Size
    regions: list[Region] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=dict)


def read_genome(path: Path) -> list[Sample]:
    """The pictures of a file of region descriptions, whose name may tell the split. Raises
    UsageError that names file and entry."""
    sizes = dict(_sizes(path.with_name(SIZES)))
    pictures: dict[int, _Picture] = {}
    for where, row in _entries(path):
        number = _of(path, where, row)
        if number in pictures:
            raise UsageError(f"{path}, {where}: the picture {number} is there twice")
        if number not in sizes:
            raise UsageError(f"{path}, {where}: the picture {number} is not in {SIZES} beside it")
        picture = pictures[number] = _Picture(where, sizes[number])
        for here, region in _parts(path, where, row, "regions"):
            box = _box(path, here, region, picture.size, ("width", "height"))
            picture.regions.append(Region(box, _text(path, here, region, "phrase")))
    for name, part, take in (
        (OBJECTS, "objects", _take_object),
        (RELATIONS, "relationships", _take_relation),
    ):
        if not (other := path.with_name(name)).is_file():
            continue
        for where, row in _entries(other):
            if known := pictures.get(_of(other, where, row)):
                for here, entry in _parts(other, where, row, part):
                    take(other, here, entry, known)
    items = [
        Item(str(number), picture.where, (), split_in_name(path.stem))
        for number, picture in pictures.items()
        if picture.regions
    ]
    if not items:
        raise UsageError(f"{path} has no regions")
    return [
        _sample(path, sample, pictures[int(sample.id)])
        for sample in find_files(path, with_lists(path, items))
    ]


def _sample(path: Path, sample: Sample, picture: _Picture) -> Sample:
    if sample.video is not None:
        raise UsageError(
            f"{path}, {picture.where}: {sample.video} is a video, and regions are of pictures; "
            "put the picture there"
        )
    graph = SceneGraph(tuple(picture.regions), tuple(picture.relations))
    return replace(sample, graph=graph)


def _take_object(path: Path, where: str, row: Row, picture: _Picture) -> None:
    """Add an object, which may also go by the numbers of others that are the same."""
    also = row.get("merged_object_ids", [])
    if not isinstance(also, list) or not all(type(number) is int for number in also):
        raise UsageError(
            f"{path}, {where}: merged_object_ids must be a list of whole numbers; got {also!r:.60}"
        )
    box = _box(path, where, row, picture.size, ("w", "h"))
    place = len(picture.regions)
    picture.regions.append(Region(box, label=_name(path, where, row)))
    for number in (_number(path, where, row, "object_id"), *also):
        picture.places[number] = place


def _take_relation(path: Path, where: str, row: Row, picture: _Picture) -> None:
    """Add a relation, and the objects that were not known so far."""
    ends = []
    for key in ("subject", "object"):
        end, here = row.get(key), f"{where}.{key}"
        if not isinstance(end, dict):
            raise UsageError(f"{path}, {where}: {key} must be a JSON object; got {end!r:.60}")
        if _number(path, here, end, "object_id") not in picture.places:
            _take_object(path, here, end, picture)
        ends.append(picture.places[end["object_id"]])
    predicate = _text(path, where, row, "predicate").lower()
    picture.relations.append(Relation(ends[0], predicate, ends[1]))


def _name(path: Path, where: str, row: Row) -> str:
    """The first of its names: a list in newer files, one in some entries."""
    names = row.get("names", [row.get("name")])
    name = names[0] if isinstance(names, list) and names else None
    return _text(path, where, {"names": name}, "names").lower()


def _sizes(path: Path) -> Iterator[tuple[int, Size]]:
    """The width and height of each picture."""
    if not path.is_file():
        raise UsageError(
            f"{path} is missing, which has the sizes of pictures; put that of Visual Genome there"
        )
    for where, row in _entries(path):
        width, height = (_positive(path, where, row, key) for key in ("width", "height"))
        yield _of(path, where, row), (width, height)


def _of(path: Path, where: str, row: Row) -> int:
    """The number of an entry's picture, which some files call ``id``."""
    return _number(path, where, row, "id" if "id" in row else "image_id")


def _entries(path: Path) -> Iterator[tuple[str, Row]]:
    """(where, entry) of each picture."""
    try:
        document = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{unparsed(path, 'JSON', error)}; download it again") from error
    yield from _objects(path, document, "")


def _parts(path: Path, where: str, row: Row, part: str) -> Iterator[tuple[str, Row]]:
    if part not in row:
        raise UsageError(f"{path}, {where}: there is no list {part!r}, as Visual Genome has it")
    yield from _objects(path, row[part], f"{where}.{part}")


def _objects(path: Path, value: Any, where: str) -> Iterator[tuple[str, Row]]:
    if not isinstance(value, list):
        what = f"{path}, {where}" if where else str(path)
        raise UsageError(f"{what}: it must be a list, as Visual Genome has it; got {value!r:.60}")
    for number, entry in enumerate(value):
        if not isinstance(entry, dict):
            raise UsageError(f"{path}, {where}[{number}]: an entry must be a JSON object")
        yield f"{where}[{number}]", entry


def _box(
    path: Path, where: str, row: Row, size: Size, sides: tuple[str, str]
) -> tuple[float, float, float, float]:
    """The part of a box that is in the picture, in shares of its size."""
    corner = [_finite(path, where, row, key) for key in ("x", "y")]
    lengths = [_positive(path, where, row, key) for key in sides]
    low = [max(0.0, start) for start in corner]
    high = [min(s, start + n) for start, n, s in zip(corner, lengths, size, strict=True)]
    if any(end <= start for start, end in zip(low, high, strict=True)):
        given = " ".join(f"{name} {row[name]:g}" for name in ("x", "y", *sides))
        raise UsageError(
            f"{path}, {where}: the box is outside the picture of {size[0]:g} x {size[1]:g} pixels; "
            f"got {given}"
        )
    (x, y), (right, bottom), (width, height) = low, high, size
    return x / width, y / height, (right - x) / width, (bottom - y) / height


def _positive(path: Path, where: str, row: Mapping[str, Any], key: str) -> float:
    value = _finite(path, where, row, key)
    if value <= 0:
        raise UsageError(f"{path}, {where}: {key} is {value:g}; it must be above 0")
    return value


def _finite(path: Path, where: str, row: Mapping[str, Any], key: str) -> float:
    value = row.get(key)
    if not isinstance(value, int | float) or type(value) is bool or not math.isfinite(value):
        raise UsageError(f"{path}, {where}: {key} must be a number; got {value!r:.60}")
    return float(value)


def _number(path: Path, where: str, row: Mapping[str, Any], key: str) -> int:
    value = row.get(key)
    if type(value) is not int:
        raise UsageError(f"{path}, {where}: {key} must be a whole number; got {value!r:.60}")
    return value


def _text(path: Path, where: str, row: Mapping[str, Any], key: str) -> str:
    """In one line, with single spaces."""
    value = row.get(key)
    text = " ".join(value.split()) if isinstance(value, str) else ""
    if not text or not text.isprintable():
        raise UsageError(f"{path}, {where}: {key} must be a text; got {value!r:.60}")
    return text
