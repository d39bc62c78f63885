"""Scores of other networks for pictures, which can teach a content classifier."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from vidcaption.datasets.items import read_lines
from vidcaption.errors import UsageError

Scores = Mapping[Path, Mapping[str, float]]


def read_scores(path: Path, folders: Collection[Path]) -> dict[Path, dict[str, float]]:
    """Scores from 0 to 1 by name for each picture: JSON rows (``.gz`` too) of ``path``, as the
    datasets in ``folders`` have it, and ``concepts``. Raises UsageError."""
    rows: dict[Path, dict[str, float]] = {}
    number = 0
    try:
        for line in read_lines(path):
            number += 1
            if not line.strip():
                continue
            row = json.loads(line)
            concepts = {str(name): float(score) for name, score in row["concepts"].items()}
            if not all(0 <= score <= 1 for score in concepts.values()):
                raise ValueError
            for folder in folders:
                rows[(folder / row["path"]).resolve()] = concepts
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{path}, line {number}: each line must be a JSON object with 'path' and 'concepts', "
            "scores from 0 to 1 by name"
        ) from error
    return rows


def read_classes(path: Path) -> list[str | None]:
    """The names of an ImageNet classifier's classes: JSON rows with ``noun``, a word that occurs
    in captions or null, one for each class in order. Raises UsageError."""
    try:
        rows = [json.loads(line) for line in read_lines(path) if line.strip()]
        nouns = [row["noun"] for row in rows]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"{path}: each line must be a JSON object with 'noun', a word or null"
        ) from error
    if not all(noun is None or isinstance(noun, str) for noun in nouns):
        raise UsageError(f"{path}: 'noun' must be a word or null")
    return nouns
