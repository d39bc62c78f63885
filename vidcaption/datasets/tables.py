"""Captions in comma-separated values; the header decides which kind it is.

``path,caption``, optionally ``split``: a row per caption, paths relative to the file.
``image,caption``: the ``captions.txt`` of Flickr8k and Flickr30k on Kaggle.
``VideoID,Start,End,Language,Description``: the MSVD corpus (Chen and Dolan 2011).
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import replace
from io import StringIO
from pathlib import Path

from vidcaption.datasets.items import (
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


def read_csv(path: Path) -> list[Sample]:
    """The samples of a table. Raises UsageError that names file and line."""
    _, header = next(_records(path), ("", []))
    columns = {name.strip() for name in header}
    if columns >= {"path", "caption"}:
        return _by_path(path, list(_rows(path)))
    if columns >= {"image", "caption"}:
        rows = ((where, row["image"], row["caption"]) for where, row in _rows(path))
        return find_files(path, with_lists(path, gather(path, rows)))
    if columns >= _CORPUS:
        clips = _clips(_rows(path, strict=False))
        return find_files(path, with_lists(path, gather(path, clips)))
    raise UsageError(
        f"{path}, line 1: the header must have the columns path and caption, image and caption, "
        f"or {', '.join(sorted(_CORPUS))}; got {', '.join(header) or 'nothing'}"
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
            raise UsageError(f"{path}, {where}: {error}; is a quote left open?") from error
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


def _by_path(path: Path, rows: list[tuple[str, Row]]) -> list[Sample]:
    """Each path with its captions. Raises UsageError."""
    splits: dict[str, str | None] = {}
    for where, row in rows:
        split = canonical_split(row.get("split", "").strip()) or None
        if splits.setdefault(row["path"], split) != split:
            raise UsageError(
                f"{path}, {where}: {row['path']} has split {split or 'none'} here and "
                f"{splits[row['path']] or 'none'} above"
            )
        if not locate(path.parent, row["path"]).is_file():
            raise UsageError(
                f"{path}, {where}: {row['path'] or 'an empty path'} is not in {path.parent}; "
                "paths are relative to the table"
            )
    items = gather(path, ((where, row["path"], row["caption"]) for where, row in rows))
    return [
        sample(replace(item, split=splits[item.name]), locate(path.parent, item.name))
        for item in items
    ]


def _clips(rows: Iterator[tuple[str, Row]]) -> Iterator[tuple[str, str, str]]:
    """The English descriptions; empty ones, which the corpus contains, are skipped."""
    for where, row in rows:
        if row["Language"].strip() == "English" and row["Description"].strip():
            yield where, f"{row['VideoID']}_{row['Start']}_{row['End']}", row["Description"]
