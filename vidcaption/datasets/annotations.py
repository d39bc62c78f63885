"""Captions in one JSON document: MSR-VTT and COCO, distinguished by their keys."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from vidcaption.datasets.items import (
    Item,
    canonical_split,
    find_files,
    gather,
    read_text,
    split_in_name,
)
from vidcaption.datasets.samples import Sample
from vidcaption.errors import UsageError
from vidcaption.reasons import unparsed

T = TypeVar("T")


def read_annotations(path: Path) -> list[Sample]:
    """The samples of a document. Raises UsageError that names file and entry, or line."""
    try:
        document = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{unparsed(path, 'JSON', error)}; correct it, or name a file of JSON lines .jsonl"
        ) from error
    if isinstance(document, dict) and {"videos", "sentences"} <= set(document):
        return find_files(path, _msrvtt(path, document))
    if isinstance(document, dict) and {"images", "annotations"} <= set(document):
        # The layout of COCO: annotations/captions_val2017.json, beside the folder val2017.
        return find_files(
            path, _coco(path, document), above=path.resolve().parent.name == "annotations"
        )
    raise UsageError(
        f"{path} has neither videos and sentences, as MSR-VTT, nor images and annotations, as COCO "
        "captions; name a file of JSON lines .jsonl"
    )


def _msrvtt(path: Path, document: dict[str, Any]) -> list[Item]:
    """``videodatainfo`` (Xu et al. 2016). Its times refer to the video a clip was cut from."""
    splits: dict[str, str | None] = {}
    for where, row in _entries(path, document, "videos"):
        split = row.get("split")
        splits[_get(path, where, row, "video_id", str)] = (
            canonical_split(split) if isinstance(split, str) else None
        )
    items = _captions(path, document, "sentences", "video_id", {name: name for name in splits}, str)
    return [replace(item, split=splits[item.name]) for item in items]


def _coco(path: Path, document: dict[str, Any]) -> list[Item]:
    """COCO captions (Chen et al. 2015); the file's name tells the split."""
    names = {
        _get(path, where, row, "id", int): _get(path, where, row, "file_name", str)
        for where, row in _entries(path, document, "images")
    }
    split = split_in_name(path.stem)
    items = _captions(path, document, "annotations", "image_id", names, int)
    return [replace(item, split=split) for item in items]


def _captions(
    path: Path, document: dict[str, Any], part: str, key: str, names: dict[T, str], kind: type[T]
) -> list[Item]:
    """The items of the list ``part``, whose entries have a ``key`` that is in ``names``."""
    rows = []
    for where, row in _entries(path, document, part):
        number = _get(path, where, row, key, kind)
        if number not in names:
            raise UsageError(f"{path}, {where}: {key} is {number!r}, which the file does not list")
        rows.append((where, names[number], _get(path, where, row, "caption", str)))
    return gather(path, rows)


def _entries(
    path: Path, document: dict[str, Any], part: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, entry) of the list ``part``. Raises UsageError."""
    entries = document[part]
    if not isinstance(entries, list):
        raise UsageError(f"{path}: {part} must be a list")
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise UsageError(f"{path}, {part}[{number}]: an entry must be a JSON object")
        yield f"{part}[{number}]", entry


def _get(path: Path, where: str, row: dict[str, Any], key: str, kind: type[T]) -> T:
    value = row.get(key)
    if not isinstance(value, kind):
        wanted = "a string" if kind is str else "a whole number"
        raise UsageError(f"{path}, {where}: {key} must be {wanted}; got {value!r}")
    return value
