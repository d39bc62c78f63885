"""Output paths, decided from the whole list of inputs, so they do not depend on the order."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count, takewhile
from pathlib import Path
from typing import Any, overload

from vidcaption.addresses import Address, Location, parts_below


@overload
def output_paths(
    inputs: Iterable[Path],
    formats: Sequence[str],
    out_dir: Path | None = None,
    roots: Mapping[Path, Path] | None = None,
    is_of_another: Callable[[Path], bool] = lambda _: False,
) -> dict[Path, dict[str, Path]]: ...


@overload
def output_paths(
    inputs: Iterable[Location],
    formats: Sequence[str],
    out_dir: Location | None = None,
    roots: Mapping[Location, Location] | None = None,
    is_of_another: Callable[[Location], bool] = lambda _: False,
) -> dict[Location, dict[str, Location]]: ...


def output_paths(
    inputs: Iterable[Any],
    formats: Sequence[str],
    out_dir: Location | None = None,
    roots: Mapping[Any, Any] | None = None,
    is_of_another: Callable[[Any], bool] = lambda _: False,
) -> Any:
    """For each input its output path in each format; no two are the same, and none is an input.

    Outputs stand next to their input, or below ``out_dir``: at the path relative to the folder that
    the input was found under, which ``roots`` holds, or by name alone for an input that ``roots``
    does not contain. Inputs that would share a path get the folders in which they
    differ (``a/x.srt`` and ``b/x.srt``).

    ``x.mp4`` and ``x.mkv`` become ``x.srt`` and ``x.mkv.srt``: the first in natural order, an mp4
    before all others, omits its suffix. If that name is taken as well, a number is added
    (``x.mkv.2.srt``). Names that differ only in case count as the same, and a file is taken if it
    ``is_of_another`` input. Nothing else is read from disk.
    """
    ordered: list[Location] = sorted(set(inputs), key=_precedence)
    places = {path: path for path in ordered}
    if out_dir is not None:
        places = _mirrored(ordered, out_dir, roots or {})
    taken = {_identity(path) for path in ordered}
    found = {}
    for path in ordered:
        for name in _names(path):
            outputs = {format: places[path].with_name(f"{name}.{format}") for format in formats}
            wanted = {_identity(output) for output in outputs.values()}
            if taken.isdisjoint(wanted) and not any(map(is_of_another, outputs.values())):
                break
        taken |= wanted
        found[path] = outputs
    return found


def natural_key(path: Location) -> tuple[list[str | int], str]:
    """Sort key: ``clip2`` before ``clip10``, case aside; the path itself settles ties."""
    parts = re.split("([0-9]+)", str(path).casefold())
    return [int(part) if part.isdecimal() and part.isascii() else part for part in parts], str(path)


def _precedence(path: Location) -> tuple[bool, tuple[list[str | int], str]]:
    return path.suffix.lower() != ".mp4", natural_key(path)


def _names(path: Location) -> Iterator[str]:
    yield path.stem
    yield path.name
    yield from (f"{path.name}.{number}" for number in count(2))


def _mirrored(
    paths: Sequence[Location], out_dir: Location, roots: Mapping[Location, Location]
) -> dict[Location, Location]:
    """Each path below ``out_dir``."""
    sharing: defaultdict[str, list[Location]] = defaultdict(list)
    found_under = {path: _absolute(roots.get(path, path.parent)) for path in paths}
    places = {}
    for path in paths:
        places[path] = out_dir.joinpath(*_below(path, found_under[path]))
        sharing[_identity(places[path])].append(path)
    for twins in sharing.values():
        # Paths found under one folder differ only in case, and no folder distinguishes them.
        if len({found_under[path] for path in twins}) > 1:
            folders = [_parts(path.parent) for path in twins]
            levels = zip(*folders, strict=False)
            common = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, levels))
            for path, folder in zip(twins, folders, strict=True):
                places[path] = out_dir.joinpath(*folder[common:], path.name)
    return places


def _below(path: Location, folder: Location) -> tuple[str, ...]:
    if isinstance(path, Address):
        return parts_below(path, folder)
    return _path(path).relative_to(folder).parts if isinstance(folder, Path) else (path.name,)


def _parts(folder: Location) -> tuple[str, ...]:
    """Its names, without any that leads outside of another folder, as the root or drive would."""
    if isinstance(folder, Address):
        return tuple("_" if part in (".", "..") else part for part in folder.parts)
    return _path(folder).parts[1:]


def _path(path: Path) -> Path:
    return Path(os.path.abspath(path))


def _absolute(path: Location) -> Location:
    return path if isinstance(path, Address) else _path(path)


def _identity(path: Location) -> str:
    """Equal for paths that some file system treats as the same."""
    text = path.url if isinstance(path, Address) else str(_path(path))
    return unicodedata.normalize("NFC", text.casefold())
