"""Folders of videos and images that are named by the label of what they hold."""

from dataclasses import replace
from pathlib import Path

from vidcaption.datasets.items import Item, canonical_split, list_folder, sample
from vidcaption.datasets.samples import Sample
from vidcaption.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES, is_hidden

_SPLITS = {"train", "dev", "test"}


def read_labelled(folder: Path) -> list[Sample]:
    """The samples of ``LABEL/clip.mp4``, or of ``SPLIT/LABEL/clip.mp4`` if the folders are named
    train, dev (or val) and test. Empty if ``folder`` itself holds videos or images."""
    inner = _folders(folder)
    if _media(folder) or not inner:
        return []
    splits = {each: canonical_split(each.name.lower()) for each in inner}
    if not _SPLITS.issuperset(splits.values()):
        return _of_labels(folder, folder, None)
    return [s for each, split in splits.items() for s in _of_labels(folder, each, split)]


def _of_labels(root: Path, folder: Path, split: str | None) -> list[Sample]:
    """Those of the folders in ``folder``; their ids are paths relative to ``root``."""
    return [
        replace(
            sample(Item(file.relative_to(root).as_posix(), "", (), split), file), label=label.name
        )
        for label in _folders(folder)
        for file in _media(label)
    ]


def _folders(folder: Path) -> list[Path]:
    return [each for each in list_folder(folder) if each.is_dir() and not is_hidden(each.name)]


def _media(folder: Path) -> list[Path]:
    return [
        each
        for each in list_folder(folder)
        if each.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES
        and not is_hidden(each.name)
        and each.is_file()
    ]
