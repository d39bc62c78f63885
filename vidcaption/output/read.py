"""Reads the JSON that ``run --json`` writes."""

import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_args

from vidcaption.errors import InputError, UsageError
from vidcaption.options.base import from_plain
from vidcaption.options.captioning import CaptionOptions
from vidcaption.output.captions import Captions
from vidcaption.output.formats import SCHEMA_VERSION
from vidcaption.types import ModelInfo, Region, Relation, SceneGraph, Segment, VideoInfo, Word

T = TypeVar("T")


def read_captions(path: Path) -> Captions:
    """The captions in a JSON file, whose texts may have been edited. Raises InputError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA_VERSION:
            raise ValueError(f"its schema is {document['schema']!r}")
        segments = tuple(map(_segment, document["segments"]))
        options = from_plain(CaptionOptions, document["options"])
        if not options.frames:
            raise ValueError("its windows have no frames")
        return Captions(
            video=_record(VideoInfo, document["video"]),
            model=_record(ModelInfo, document["model"]),
            options=options,
            segments=segments,
            corrupt=_number(document["corrupt"], int),
        )
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError, UsageError) as error:
        raise InputError(
            f"{path} is not JSON as this version of run --json writes it; write it again, or move "
            "it away"
        ) from error


def _segment(row: Any) -> Segment:
    start_s, end_s = _number(row["start"]), _number(row["end"])
    if not 0 <= start_s <= end_s:
        raise ValueError("a segment ends before it starts")
    words = [_word(word) for word in row["words"]]
    concepts = [_word(word) for word in row.get("concepts", ())]
    sure, below = row.get("confidence"), row.get("below_min_confidence", False)
    if not isinstance(below, bool):
        raise ValueError(f"below_min_confidence is {below!r}")
    return Segment(
        *(start_s, end_s, _text(row["text"]), _number(row["score"]), tuple(words)),
        confidence=None if sure is None else _number(sure),
        concepts=tuple(concepts),
        below_min_confidence=below,
        graph=_graph(row) if "regions" in row else None,
    )


def _graph(row: Any) -> SceneGraph:
    regions = tuple(
        Region(
            _box(each["box"]), _text(each["text"]), _text(each["label"] or ""),
            _number(each["score"]),
        )
        for each in row["regions"]
    )  # fmt: skip
    places = range(len(regions))
    relations = []
    for each in row["relations"]:
        subject, object = (_number(each[key], int) for key in ("subject", "object"))
        if subject not in places or object not in places:
            raise ValueError("a relation is of regions that are not there")
        score = _number(each["score"])
        relations.append(Relation(subject, _text(each["predicate"]), object, score))
    return SceneGraph(regions, tuple(relations))


def _box(value: Any) -> tuple[float, float, float, float]:
    left, top, width, height = map(_number, value)
    return left, top, width, height


def _word(row: Any) -> Word:
    return Word(_text(row["text"]), _number(row["probability"]))


def _record(kind: type[T], row: Any) -> T:
    """A dataclass of strings, numbers and None, from an object with exactly its fields."""
    if not isinstance(row, dict):
        raise ValueError(f"not a {kind.__name__}")
    for f in fields(kind):  # type: ignore[arg-type]
        allowed = get_args(f.type) or (f.type,)
        value = row[f.name]
        if isinstance(value, float | int) and float in allowed:
            _number(value)
        elif type(value) not in allowed:
            raise ValueError(f"{f.name} is {value!r}")
    return kind(**row)


def _number(value: Any, kind: type[Any] = float) -> Any:
    number = kind(value)
    if isinstance(value, str | bool) or not math.isfinite(number):
        raise ValueError(f"{value!r} is not a number")
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a string")
    return value
