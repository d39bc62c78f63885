"""Shared by the readers of third-party formats.

Such files refer to an image or video by a bare name, or by a name that another system wrote, often
once per caption; the reader has to find the file and, in lists beside it, the split.
"""

import gzip
import os
import re
import unicodedata
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath

from vidcaption.datasets.samples import Sample
from vidcaption.errors import UsageError
from vidcaption.reasons import unparsed
from vidcaption.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES, is_hidden

# Names of splits, and the names used here.
SPLITS = {"val": "dev", "valid": "dev", "validate": "dev", "validation": "dev"}
_SPLIT_IN_NAME = re.compile(
    "(?<![A-Za-z])((?i:train|dev|validation|validate|valid|val|test))"
    "(?i:list|images|videos|ids|set)?(?![a-z])"
)

_TIMES = re.compile(r"\d[.,]\d+ *--> *\d")


@dataclass(frozen=True)
class Item:
    """One image or video as a dataset names it; ``where``: its first place in the dataset.

    Both are for finding the file, and for error messages.
    """

    name: str
    where: str
    captions: tuple[str, ...]
    split: str | None = None


def read_text(path: Path) -> str:
    """A file as text in UTF-8, with or without a byte order mark; ``.gz`` is decompressed.

    Raises UsageError.
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"{unparsed(path, 'text', error)}; convert it to UTF-8") from error
    except gzip.BadGzipFile as error:
        raise UsageError(f"{path} is named .gz but is not gzip data") from error
    except (EOFError, zlib.error) as error:
        raise UsageError(f"{path} is truncated or damaged; download it again") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, as an editor counts them. Raises UsageError."""
    return read_text(path).split("\n")  # not splitlines, which also splits at U+2028 and others


def list_folder(folder: Path) -> list[Path]:
    """The content of a folder, sorted by name. Raises UsageError."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise UsageError(f"cannot read the folder {folder}: {error.strerror}") from error


def holds_times(caption: str) -> bool:
    """Whether a text contains times, like subtitles and the lines that ``run`` prints."""
    return _TIMES.search(caption) is not None


def locate(folder: Path, name: str) -> Path:
    """The file or folder that ``name`` refers to in ``folder``, which may not exist.

    Names come from other systems: with backslashes from Windows, and with decomposed accents from
    macOS.
    """
    if (place := folder / name).exists():
        return place
    place = folder
    for part in PurePosixPath(name.replace("\\", "/")).parts:
        if not (place / part).exists() and place.is_dir():
            part = _names_in(place, place.stat().st_mtime_ns).get(_plain(part), part)
        place /= part
    return place


@lru_cache(maxsize=16)
def _names_in(folder: Path, changed_ns: int) -> dict[str, str]:
    """The names in a folder, by their normal forms. ``changed_ns``: for the cache only."""
    return {_plain(name): name for name in os.listdir(folder)}


def _plain(name: str) -> str:
    """The normal form: equal for names of one file from different systems."""
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


def gather(path: Path, rows: Iterable[tuple[str, str, str]]) -> list[Item]:
    """The items of rows of (where, name, caption), in the order of their first captions.

    Raises UsageError for an empty caption, and if there are no rows.
    """
    captions: dict[str, list[str]] = {}
    places: dict[str, str] = {}
    for where, name, caption in rows:
        if not caption.strip():
            raise UsageError(f"{path}, {where}: the caption of {name} is empty")
        places.setdefault(name, where)
        captions.setdefault(name, []).append(" ".join(caption.split()))
    if not captions:
        raise UsageError(f"{path} has no captions")
    return [Item(name, places[name], tuple(said)) for name, said in captions.items()]


def split_in_name(stem: str) -> str | None:
    """The split in the name of a file, if any.

    >>> split_in_name("Flickr_8k.devImages"), split_in_name("captions_val2017")
    ('dev', 'dev')
    """
    found = _SPLIT_IN_NAME.search(stem)
    return canonical_split(found[1].lower()) if found else None


def canonical_split(name: str) -> str:
    """``dev`` for all names of the validation split; other names unchanged."""
    return SPLITS.get(name.lower(), name)


def with_lists(path: Path, items: Sequence[Item]) -> list[Item]:
    """The items with the splits of the lists beside ``path``, without those in no list.

    A list is a text file with a split in its name and an item's name on each line. Without lists
    the items are returned unchanged. Raises UsageError for a line that names no item, and for one
    that puts an item into a second split.
    """
    names = {_bare(item.name) for item in items}
    splits: dict[str, str] = {}
    lists = [
        (file, split)
        for file in sorted(path.parent.glob("*.txt"))
        if file != path and (split := split_in_name(file.stem))
    ]
    for file, split in lists:
        for number, line in enumerate(read_lines(file), 1):
            name = _bare(line.strip())
            if not name:
                continue
            if name not in names:
                raise UsageError(
                    f"{file}, line {number}: {line.strip()} has no caption in {path.name}; "
                    f"remove it, or rename the file if it is not a list of the {split} split"
                )
            if splits.setdefault(name, split) != split:
                raise UsageError(
                    f"{file}, line {number}: {line.strip()} is in the {splits[name]} split already"
                )
    if not lists:
        return list(items)
    return [
        replace(item, split=splits[name]) for item in items if (name := _bare(item.name)) in splits
    ]


def find_files(path: Path, items: Sequence[Item], *, above: bool = False) -> list[Sample]:
    """Samples of the items: their files are searched for beside ``path`` and in the folders there.

    ``above`` adds the folders beside the one that contains ``path``. Names may have a suffix or
    not, and may be paths relative to any of these folders. Raises UsageError for items whose file
    is missing, or exists in two places.
    """
    here, parent = path.parent, path.parent.resolve().parent
    beside = list_folder(here) + (list_folder(parent) if above else [])
    folders = [here, *(each for each in beside if each.is_dir() and not is_hidden(each.name))]
    folders = list({each.resolve(): each for each in folders}.values())
    roots = [here, parent, *folders] if above else folders
    media = cache(_media)

    @cache
    def inside(inner: str) -> list[Path]:
        return [place for root in roots if (place := locate(root, inner)).is_dir()]

    def places(name: str) -> set[Path]:
        found = set().union(*(media(folder).get(name, ()) for folder in folders))
        inner, _, last = name.rpartition("/")
        if found or not inner:
            return found
        return next(filter(None, (media(folder).get(last) for folder in inside(inner))), set())

    found = [places(_plain(item.name)) for item in items]
    for item, files in zip(items, found, strict=True):
        if len(files) > 1:
            raise UsageError(
                f"{path}, {item.where}: {item.name} matches several files, "
                f"{' and '.join(sorted(map(str, files)))}; keep one"
            )
    if missing := [item for item, files in zip(items, found, strict=True) if not files]:
        others = f" ({len(missing)} are missing in all)" if len(missing) > 1 else ""
        raise UsageError(
            f"{path}, {missing[0].where}: {missing[0].name} is not in the folder of the file, or "
            f"one beside it{others}; put the files there, or remove their captions"
        )
    return [sample(item, *files) for item, files in zip(items, found, strict=True)]


def _media(folder: Path) -> dict[str, set[Path]]:
    """The images and videos in a folder, each by its name with and without the suffix."""
    files: defaultdict[str, set[Path]] = defaultdict(set)
    for file in list_folder(folder):
        if file.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES:
            for name in (file.name, file.stem):
                files[_plain(name)].add(file)
    return files


def sample(item: Item, file: Path) -> Sample:
    """An item whose file is known; the suffix distinguishes images and videos."""
    if file.suffix.lower() in IMAGE_SUFFIXES:
        return Sample(item.name, item.captions, item.split, stills=(file,))
    return Sample(item.name, item.captions, item.split, video=file)


def _bare(name: str) -> str:
    """A name without the suffix of an image or video, which lists often omit."""
    name = _plain(name)
    stem, dot, suffix = name.rpartition(".")
    return stem if dot + suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES else name
