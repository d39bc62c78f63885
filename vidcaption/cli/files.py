"""TOML files that hold options: where they lie, and what may stand in them.

A file has a table per command, whose keys are its flags without the dashes in front:

    [run]
    beam = 5
    out-dir = "captions"
"""

import json
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from vidcaption.errors import UsageError
from vidcaption.options import nearest

PROJECT_FILE = Path("vidcaption.toml")  # in the working directory
_WORDS = {bool: "true or false", int: "a whole number", float: "a number"}


def user_file() -> Path | None:
    """``config.toml`` in the user's folder of settings, there or not; None without a home."""
    from platformdirs import user_config_path

    try:
        return user_config_path("vidcaption", appauthor=False) / "config.toml"
    except RuntimeError:
        return None


def read_table(
    path: Path, command: str, commands: Collection[str], kinds: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The options of ``command`` in the file at ``path``, by key; None where there is no file.

    ``commands``: the tables that a file may have. ``kinds``: the Python type of each key that the
    command's may have. Paths are left as they stand. Raises UsageError where the file cannot be
    read, is not TOML, or holds something else than that.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); correct or move it") from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise UsageError(f"{path} is not TOML ({error}); correct it") from error
    for name, value in content.items():
        if name not in commands or not isinstance(value, dict):
            known = ", ".join(f"[{each}]" for each in commands)
            raise UsageError(f"{path} has {name!r} at its top; there may be only {known}")
    table: dict[str, Any] = content.get(command, {})
    for key, value in table.items():
        if key not in kinds:
            raise UsageError(
                f"{path}: [{command}] has {key!r}, which is unknown; {nearest(key, kinds)}"
            )
        if not _fits(value, kinds[key]):
            raise UsageError(
                f"{path}: [{command}] {key} is {to_toml(value)}; it must be {_words(kinds[key])}"
            )
    return table


def to_toml(value: Any) -> str:
    """A string, number, truth value or list of such, as TOML."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(to_toml, value))}]"
    if isinstance(value, bool | int | float):
        return str(value).lower()
    # JSON's strings are TOML's, but for one character
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value of TOML may stand for the Python type ``kind``: text for a Path, say."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return any(_fits(value, one) for one in inner)
    if origin is Literal:
        return value in inner
    if origin is list:
        return isinstance(value, list) and all(_fits(one, inner[0]) for one in value)
    if origin is tuple:
        return (
            isinstance(value, list) and len(value) == len(inner) and all(map(_fits, value, inner))
        )
    if kind in (int, float, str):  # a text may be a number: --workers takes auto or 2
        number = {int: int, float: int | float, str: int | str}[kind]
        return isinstance(value, number) and not isinstance(value, bool)
    return isinstance(value, kind if kind is bool else str) and kind is not type(None)


def _words(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return " or ".join(_words(one) for one in inner if one is not type(None))
    if origin is Literal:
        return f"one of {', '.join(map(to_toml, inner))}"
    if origin is tuple:
        return f"a list of {len(inner)} numbers"
    return _WORDS.get(kind, "a list of texts" if origin is list else "a text")
