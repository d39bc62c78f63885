"""JSON lines, vidcaption's own format: one sample per row.

A row has ``id``, ``captions`` (a list of sentences) and one of ``image``, ``frames`` (stills of one
video, in time order) or ``video``; paths are relative to the file. It may have ``split``, ``label``
(the class), ``score`` (a number) and, with ``video``, ``start`` and ``end`` in seconds.
"""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from vidcaption.datasets.items import locate, read_lines
from vidcaption.datasets.samples import Sample
from vidcaption.errors import UsageError
from vidcaption.reasons import unparsed


def read_jsonl(path: Path, label_field: str = "label") -> list[Sample]:
    """The rows of a file; ``label_field`` has the label. Raises UsageError that names file and
    line."""
    samples, seen = [], set()
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(
                f"{unparsed(path, 'JSON', error, number)}; each line must be a JSON object"
            ) from error
        try:
            sample = _parse(row, path.parent, label_field)
        except ValueError as error:
            raise UsageError(f"{path}, line {number}: {error}") from error
        if sample.id in seen:
            raise UsageError(f"{path}, line {number}: id {sample.id!r} occurs twice")
        seen.add(sample.id)
        samples.append(sample)
    if not samples:
        raise UsageError(f"{path} has no rows")
    return samples


def _parse(row: Any, folder: Path, label_field: str) -> Sample:
    """Raises ValueError that explains what is wrong with ``row``."""
    if not isinstance(row, dict):
        raise ValueError("a row must be a JSON object")
    kinds = [kind for kind in ("image", "frames", "video") if kind in row]
    if len(kinds) != 1:
        raise ValueError(f"a row needs exactly one of image, frames, video; got {kinds or 'none'}")
    if not isinstance(row.get("id"), str):
        raise ValueError("a row needs an id, a string")
    captions, split = row.get("captions", []), row.get("split")
    if not isinstance(captions, list) or not all(
        isinstance(c, str) and c.strip() for c in captions
    ):
        raise ValueError("captions must be a list of sentences")
    if split is not None and not isinstance(split, str):
        raise ValueError("split must be a string")
    label, score = row.get(label_field), row.get("score")
    if label is not None and not (isinstance(label, str) and label.strip()):
        raise ValueError(f"{label_field} must be a word or several; got {label!r}")
    if score is not None and not _is_number(score):
        raise ValueError(f"score must be a number; got {score!r}")
    source = row[kinds[0]]
    paths = source if kinds[0] == "frames" else [source]
    if not isinstance(paths, list) or not paths or not all(isinstance(p, str) and p for p in paths):
        raise ValueError(
            f"{kinds[0]} must be {'a list of paths' if kinds[0] == 'frames' else 'a path'}"
        )
    files = tuple(locate(folder, p) for p in paths)
    sample = Sample(row["id"], tuple(captions), split, label=label, score=score)
    if kinds[0] == "video":
        start_s, end_s = _part(row)
        return replace(sample, video=files[0], start_s=start_s, end_s=end_s)
    return replace(sample, stills=files)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and type(value) is not bool and math.isfinite(value)


def _part(row: dict[str, Any]) -> tuple[float, float | None]:
    """``start`` and ``end``. Raises ValueError."""
    start_s, end_s = row.get("start", 0.0), row.get("end")
    for time_s in (start_s, end_s):
        if time_s is not None and not _is_number(time_s):
            raise ValueError(f"start and end must be seconds; got {time_s!r}")
    if start_s is None or start_s < 0 or (end_s is not None and end_s < start_s):
        raise ValueError(f"start must be at least 0, and end not below it; got {start_s}, {end_s}")
    return start_s, end_s
