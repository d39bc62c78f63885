"""Reads any dataset; the name of its file decides the format."""

from collections.abc import Callable, Set
from fnmatch import fnmatchcase
from pathlib import Path

from vidcaption.datasets.annotations import read_annotations
from vidcaption.datasets.folders import read_labelled
from vidcaption.datasets.genome import read_genome
from vidcaption.datasets.items import holds_times
from vidcaption.datasets.jsonl import read_jsonl
from vidcaption.datasets.samples import Sample
from vidcaption.datasets.sidecars import read_folder
from vidcaption.datasets.tables import read_csv
from vidcaption.datasets.texts import read_flickr, read_msvd
from vidcaption.errors import UsageError

# The first pattern that matches the name, in lower case, decides.
READERS: dict[str, Callable[..., list[Sample]]] = {
    "*.jsonl": read_jsonl,
    "*.csv": read_csv,
    "region_descriptions*.json": read_genome,
    "*.json": read_annotations,
    "captions.txt": read_csv,
    "*.token.txt": read_flickr,
    "*.token": read_flickr,
    "allvideodescriptions.txt": read_msvd,
}


def read_dataset(
    path: Path, without: Set[Path] = frozenset(), label_field: str = "label"
) -> list[Sample]:
    """The samples of a dataset: a folder of captioned or labelled videos, or a file in a format of
    READERS.

    ``without``: caption files in the folder to skip. ``label_field``: the field of JSON lines, or
    column of CSV, that has the label. Raises UsageError that names file and line.
    """
    if not path.exists():
        raise UsageError(f"no such dataset: {path}")
    if path.is_dir():
        samples = read_labelled(path) or read_folder(path, without)
    elif (read := _reader(path)) in (read_jsonl, read_csv):
        samples = read(path, label_field)
    elif label_field == "label":
        samples = read(path)
    else:
        raise UsageError(
            f"{path} has no field {label_field!r} to read; --label-field is for .jsonl and .csv "
            "files"
        )
    for sample in samples:
        if sample.label is not None and not sample.label.isprintable():
            raise UsageError(
                f"{path}: the label of {sample.id} is {sample.label!r}; labels are printable, on "
                "one line"
            )
        if timed := next(filter(holds_times, sample.captions), None):
            raise UsageError(
                f"{path}: a caption of {sample.id} contains times, {timed[:60]!r}; remove "
                "them, or save the captions as a .srt file"
            )
    return samples


def _reader(path: Path) -> Callable[..., list[Sample]]:
    for pattern, read in READERS.items():
        if fnmatchcase(path.name.lower(), pattern):
            return read
    raise UsageError(
        f"{path} has no known format; a dataset is a folder of videos with .txt or .srt files, "
        f"or of folders named by label, "
        f"or a file named {', '.join(READERS)}"
    )
