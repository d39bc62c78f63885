"""The known models: built in, in the Hub's cache, and in the catalogue.

``catalog.json`` lists the models that this version knows: the ``name`` of a built-in one, or the
``repo``, pinned ``commit`` and ``size`` in bytes of one on the Hub; and ``languages``, ``license``
and ``scores`` of each. For other models these come from their card.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vidcaption.errors import ModelError
from vidcaption.model.manifest import CARD, CONFIG, FILES, WEIGHTS, check, read_text
from vidcaption.store import cache, embedded, name_of

CATALOG = "catalog.json"
_TOLD = ("languages", "license", "scores")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model in the list.

    ``where``: embedded, cached, partial (some files are in the cache) or hub. ``revisions``: the
    branches and tags that refer to it. ``size``: bytes. ``path``: its folder, if on this machine.
    """

    name: str
    where: str
    revisions: tuple[str, ...] = ()
    size: int
    languages: list[str]
    license: str | None
    scores: dict[str, float]
    path: str | None


def entries() -> Iterator[Entry]:
    """The built-in models, those in the cache, and the others in the catalogue.

    Raises ModelError.
    """
    catalogue = _catalogue()
    here = set()
    for row in catalogue.values():
        if row["repo"] is None and (folder := embedded(row["name"])):
            yield _entry(row["name"], "embedded", folder)
    for each in cache.models():
        name = f"{each.repo}@{each.commit}"
        here.add(name)
        yield _entry(name, "cached" if each.complete else "partial", each.folder, each.revisions)
    for name, row in catalogue.items():
        if row["repo"] and name not in here:
            told = {key: row[key] for key in ("size", *_TOLD)}
            yield Entry(name=name, where="hub", path=None, **told)


def facts(folder: Path) -> dict[str, Any]:
    """Everything known about a model: its name, place, size, checksum, config and card.

    Raises ModelError for a folder that is not complete.
    """
    rows = check(folder)
    card = folder / CARD
    return {
        "name": name_of(folder),
        "path": str(folder),
        "size": _size(folder),
        "sha256": rows[WEIGHTS]["sha256"],
        **_told(name_of(folder), folder),
        "datasets": [str(each) for each in as_list(metadata(folder).get("datasets"))],
        "config": json.loads(read_text(folder / CONFIG)),
        "card": read_text(card) if card.is_file() else "",
    }


def metadata(folder: Path) -> dict[str, Any]:
    """The YAML at the top of a model card; empty if there is none that can be read."""
    try:
        match = re.match(r"---\r?\n(.*?)\r?\n---\r?\n", read_text(folder / CARD), re.DOTALL)
        data = yaml.safe_load(match[1]) if match else None
    except (ModelError, yaml.YAMLError):
        data = None
    return data if isinstance(data, dict) else {}


def _entry(name: str, where: str, folder: Path, revisions: tuple[str, ...] = ()) -> Entry:
    return Entry(
        name=name,
        where=where,
        revisions=revisions,
        size=_size(folder),
        path=str(folder),
        **_told(name, folder),
    )


def _catalogue() -> dict[str, dict[str, Any]]:
    """The rows of the catalogue, by the name of the model. Raises ModelError."""
    path = embedded(CATALOG)
    if path is None:
        raise ModelError("this installation has no catalogue; install vidcaption again")
    rows: list[dict[str, Any]] = json.loads(read_text(path))["models"]
    return {f"{row['repo']}@{row['commit']}" if row["repo"] else row["name"]: row for row in rows}


def _told(name: str, folder: Path) -> dict[str, Any]:
    """Languages, licence and scores, from the catalogue or from the card as the Hub reads it."""
    if row := _catalogue().get(name):
        return {key: row[key] for key in _TOLD}
    data = metadata(folder)
    scores = {}
    # anyone may have written the card: entries in a wrong form are skipped
    for model in as_list(data.get("model-index")):
        for result in as_list(model.get("results") if isinstance(model, dict) else None):
            for metric in as_list(result.get("metrics") if isinstance(result, dict) else None):
                if isinstance(metric, dict) and isinstance(metric.get("value"), int | float):
                    scores[str(metric.get("name") or metric.get("type"))] = metric["value"]
    license = data.get("license")
    return {
        "languages": [str(each) for each in as_list(data.get("language"))],
        "license": None if license is None else str(license),
        "scores": scores,
    }


def as_list(value: Any) -> list[Any]:
    """A value of a card as a list: cards have a list, a single item or nothing."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _size(folder: Path) -> int:
    return sum((folder / name).stat().st_size for name in FILES if (folder / name).is_file())
