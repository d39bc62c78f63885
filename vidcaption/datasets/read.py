"""Reads any dataset; the name of its file decides the format."""

from collections.abc import Callable, Set
from fnmatch import fnmatchcase
from pathlib import Path

from vidcaption.datasets.annotations import read_annotations
from vidcaption.datasets.items import holds_times
from vidcaption.datasets.jsonl import read_jsonl
from vidcaption.datasets.samples import Sample
from vidcaption.datasets.sidecars import read_folder
from vidcaption.datasets.tables import read_csv
from vidcaption.datasets.texts import read_flickr, read_msvd
from vidcaption.errors import UsageError

# The first pattern that matches the name, in lower case, decides.
READERS: dict[str, Callable[[Path], list[Sample]]] = {
    "*.jsonl": read_jsonl,
    "*.csv": read_csv,
    "*.json": read_annotations,
    "captions.txt": read_csv,
    "*.token.txt": read_flickr,
    "*.token": read_flickr,
    "allvideodescriptions.txt": read_msvd,
}


def read_dataset(path: Path, without: Set[Path] = frozenset()) -> list[Sample]:
    """The samples of a dataset: a folder of captioned videos, or a file in a format of READERS.

    ``without``: caption files in the folder to skip. Raises UsageError that names file and line.
    """
    if not path.exists():
        raise UsageError(f"no such dataset: {path}")
    samples = read_folder(path, without) if path.is_dir() else _reader(path)(path)
    for sample in samples:
        if timed := next(filter(holds_times, sample.captions), None):
            raise UsageError(
                f"{path}: a caption of {sample.id} contains times, {timed[:60]!r}; remove "
                "them, or save the captions as a .srt file"
            )
    return samples


def _reader(path: Path) -> Callable[[Path], list[Sample]]:
    for pattern, read in READERS.items():
        if fnmatchcase(path.name.lower(), pattern):
            return read
    raise UsageError(
        f"{path} has no known format; a dataset is a folder of videos with .txt or .srt files, "
        f"or a file named {', '.join(READERS)}"
    )
