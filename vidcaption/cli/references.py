"""Datasets of commands."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidcaption.datasets.samples import Sample

logger = logging.getLogger(__name__)


def read_references(path: Path, label_field: str = "label") -> "list[Sample]":
    """The samples of a dataset, without captions that ``run`` wrote: a model would score itself.

    ``label_field``: see ``read_dataset``. Logs how many of those are skipped. Raises UsageError,
    OutputError.
    """
    from vidcaption.batch.ledger import unchanged_in
    from vidcaption.datasets.read import read_dataset
    from vidcaption.datasets.sidecars import SIDECARS

    written = unchanged_in(path) if path.is_dir() else set()
    own = {file for file in written if file.suffix in SIDECARS}
    if own:
        files = "1 file" if len(own) == 1 else f"{len(own)} files"
        logger.warning(
            f"{path}: skipped {files} that 'vidcaption run' wrote; its captions are only "
            "references if a person has edited them"
        )
    return read_dataset(path, own, label_field)
