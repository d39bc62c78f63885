"""Captions and other targets in comma-separated values; the header decides which kind it is.

``path`` and any of ``caption``, ``label`` and ``score``, optionally ``split``: a row per caption,
paths relative to the file.
``image,caption``: the ``captions.txt`` of Flickr8k and Flickr30k on Kaggle.
``VideoID,Start,End,Language,Description``: the MSVD corpus (Chen and Dolan 2011).
"""

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

from vidcaption.datasets.items import (
    Item,
    canonical_split,
    find_files,
    gather,
    locate,
    read_text,
    sample,
    with_lists,
)
from vidcaption.datasets.samples import Sample
from vidcaption.errors import UsageError

Row = Mapping[str, str]
_CORPUS = {"VideoID", "Start", "End", "Language", "Description"}


def read_csv(path: Path, label_field: str = "label") -> list[Sample]:
    """The samples of a table; the column ``label_field`` has the label. Raises UsageError that
    names file and line."""
    _, header = next(_records(path), ("", []))
    columns = {name.strip() for name in header}
    if "path" in columns and columns & {"caption", label_field, "score"}:
        return _by_path(path, list(_rows(path)), label_field)
    if columns >= {"image", "caption"}:
        rows = ((where, row["image"], row["caption"]) for where, row in _rows(path))
        return find_files(path, with_lists(path, gather(path, rows)))
    if columns >= _CORPUS:
        clips = _clips(_rows(path, strict=False))
        return find_files(path, with_lists(path, gather(path, clips)))
    raise UsageError(
        f"{path}, line 1: the header must have the columns path and caption (or {label_field}, or "
        f"score), image and caption, or {', '.join(sorted(_CORPUS))}; got "
        f"{', '.join(header) or 'nothing'}"
    )


def _records(path: Path, *, strict: bool = True) -> Iterator[tuple[str, list[str]]]:
    """(where it begins, values) of each non-empty record. Raises UsageError."""
    reader = csv.reader(StringIO(read_text(path), newline=""), strict=strict)
    while True:
        where = f"line {reader.line_num + 1}"
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UsageError(
                f"{path}, {where}: not CSV; a quote is left open, or text follows one that closes"
            ) from error
        if fields:
            yield where, fields


def _rows(path: Path, *, strict: bool = True) -> Iterator[tuple[str, Row]]:
    """(where, row) for each record below the header. Raises UsageError."""
    records = _records(path, strict=strict)
    columns = [name.strip() for name in next(records)[1]]
    for where, fields in records:
        if len(fields) != len(columns):
            raise UsageError(
                f"{path}, {where}: got {len(fields)} values for {len(columns)} columns; put quotes "
                "around a caption that contains commas"
            )
        yield where, dict(zip(columns, fields, strict=True))


def _by_path(path: Path, rows: list[tuple[str, Row]], label_field: str) -> list[Sample]:
    """Each path with its targets. Raises UsageError."""
    facts: dict[str, dict[str, Any]] = {}
    for where, row in rows:
        name = row["path"]
        own = {
            "split": canonical_split(row.get("split", "").strip()) or None,
            "label": row.get(label_field, "").strip() or None,
            "score": _number(path, where, row.get("score", "").strip()),
        }
        above = facts.setdefault(name, own)
        for key, value in own.items():
            if above[key] != value:
                there = "none" if above[key] is None else above[key]
                here = "none" if value is None else value
                raise UsageError(f"{path}, {where}: {name} has {key} {here} here and {there} above")
        if not locate(path.parent, name).is_file():
            raise UsageError(
                f"{path}, {where}: there is no {path.parent / name if name else 'path'}; paths are "
                "relative to the table"
            )
    captioned = [(where, row["path"], row["caption"]) for where, row in rows if "caption" in row]
    items = gather(path, captioned) if captioned else [Item(name, "", ()) for name in facts]
    if not items:
        raise UsageError(f"{path} has no rows")
    return [
        replace(sample(item, locate(path.parent, item.name)), **facts[item.name]) for item in items
    ]


def _number(path: Path, where: str, text: str) -> float | None:
    """Raises UsageError."""
    try:
        value = float(text) if text else None
    except ValueError:
        value = math.nan
    if value is not None and not math.isfinite(value):
        raise UsageError(f"{path}, {where}: score is {text!r}; it must be a number")
    return value


def _clips(rows: Iterator[tuple[str, Row]]) -> Iterator[tuple[str, str, str]]:
    """The English descriptions; empty ones, which the corpus contains, are skipped."""
    for where, row in rows:
        if row["Language"].strip() == "English" and row["Description"].strip():
            yield where, f"{row['VideoID']}_{row['Start']}_{row['End']}", row["Description"]
