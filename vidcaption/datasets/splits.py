"""The splits that a training drew for datasets without any, kept beside its model."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from vidcaption.datasets.samples import Sample
from vidcaption.errors import UsageError
from vidcaption.output.write import write_atomic

SPLITS = "splits.json"


def write_splits(folder: Path, drawn: Mapping[Path, Iterable[Sample]]) -> None:
    """``splits.json`` in a model's folder: the split of each sample, by dataset and id.

    Raises OutputError.
    """
    table = {
        str(dataset.resolve()): {sample.id: sample.split for sample in samples}
        for dataset, samples in drawn.items()
    }
    write_atomic(folder / SPLITS, f"{json.dumps(table)}\n")


def read_splits(folder: Path, dataset: Path) -> dict[str, str | None]:
    """The split of each sample by id, if the training of the model in ``folder`` drew splits for
    ``dataset``; otherwise empty. Raises UsageError."""
    path = folder / SPLITS
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        splits: dict[str, str | None] = dict(table.get(str(dataset.resolve()), {}))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{path} is not the record of splits that 'vidcaption train' wrote; restore it, or "
            "remove it to score any sample"
        ) from error
    return splits
