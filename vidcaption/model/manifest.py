"""The files of a model folder, and the manifest that describes them. Loads no PyTorch."""

import hashlib
import json
from pathlib import Path
from typing import Any

from vidcaption.errors import ModelError
from vidcaption.model.config import ModelConfig
from vidcaption.reasons import unparsed

CONFIG, WEIGHTS, WORDS, CARD, MANIFEST = (
    "config.json",
    "model.safetensors",
    "vocab.json",
    "README.md",
    "manifest.json",
)
# a model runs without its card, which may be edited at any time
REQUIRED = (CONFIG, WEIGHTS, WORDS, MANIFEST)
FILES = (*REQUIRED, CARD)
_HASHED = (CONFIG, WEIGHTS, WORDS)

Rows = dict[str, dict[str, Any]]
_AGAIN = "fetch it again with 'vidcaption models pull', or save it again"


def write_manifest(folder: Path) -> None:
    """Record size and sha256 of each file, for example after editing the model card."""
    rows = {}
    for name in (CONFIG, WEIGHTS, WORDS, CARD):
        path = folder / name
        rows[name] = {"sha256": _sha256(path), "size": path.stat().st_size}
    (folder / MANIFEST).write_text(to_json(rows), encoding="utf-8")


def to_json(rows: Rows) -> str:
    """The text of ``manifest.json``."""
    return json.dumps(rows, indent=2) + "\n"


def read_rows(folder: Path) -> Rows:
    """Size and sha256 of each file that a model needs, from the manifest. The files are not
    checked. Raises ModelError."""
    if not any((folder / name).exists() for name in REQUIRED):
        raise ModelError(
            f"{folder} is not a model folder; give a folder with {CONFIG} and {WEIGHTS}"
        )
    try:
        rows: Rows = json.loads(read_text(folder / MANIFEST))
        return {name: {key: rows[name][key] for key in ("size", "sha256")} for name in _HASHED}
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise ModelError(f"{folder / MANIFEST} is broken; {_AGAIN}") from error


def verify(folder: Path) -> Rows:
    """The manifest, after checking every file that a model needs against it.

    Raises ModelError.
    """
    rows = read_rows(folder)
    for name, row in rows.items():
        path = folder / name
        if not path.is_file():
            raise ModelError(f"model folder {folder} has no {name}; {_AGAIN}")
        if path.stat().st_size != row["size"] or _sha256(path) != row["sha256"]:
            raise ModelError(
                f"{path} is not the file that {MANIFEST} describes (size or sha256 differs); "
                f"it was altered or copied incompletely: {_AGAIN}"
            )
    return rows


def check(folder: Path) -> Rows:
    """The manifest of a complete model folder for this version. Raises ModelError."""
    rows = verify(folder)
    read_config(folder)
    return rows


def read_config(folder: Path) -> ModelConfig:
    """The config of the model in a folder. Raises ModelError."""
    return ModelConfig.from_json(read_text(folder / CONFIG))


def read_text(path: Path) -> str:
    """A file of a model folder. Raises ModelError."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ModelError(f"model folder {path.parent} has no {path.name}; {_AGAIN}") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{unparsed(path, 'text', error)}; {_AGAIN}") from error
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
