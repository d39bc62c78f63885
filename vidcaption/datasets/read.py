"""Any dataset, told by the name of its file."""

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

# The first pattern that fits the name, in lower case, decides.
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

    ``without``: files with captions in the folder that are not to be read. Raises UsageError that
    names file and line.
    """
    if not path.exists():
        raise UsageError(f"no such dataset: {path}")
    samples = read_folder(path, without) if path.is_dir() else _reader(path)(path)
    for sample in samples:
        if timed := next(filter(holds_times, sample.captions), None):
            raise UsageError(
                f"{path}: a caption of {sample.id} has times in it, {timed[:60]!r}, which are no "
                "words; take them out, or keep the captions in a .srt file"
            )
    return samples


def _reader(path: Path) -> Callable[[Path], list[Sample]]:
    for pattern, read in READERS.items():
        if fnmatchcase(path.name.lower(), pattern):
            return read
    raise UsageError(
        f"{path} is in no known format; a dataset is a folder of videos with .txt or .srt files, "
        f"or a file named {', '.join(READERS)}"
    )
