"""A table of the segments of several videos in one Lance dataset. Needs the extra "lance".

A dataset is a folder of files that never change, and of versions that name some of them. A version
is there as a whole or not at all, and readers keep the one that they have opened.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vidcaption.addresses import Location
from vidcaption.errors import OutputError, VidcaptionError
from vidcaption.options.output import LANCE
from vidcaption.output.table import batches, schema

if TYPE_CHECKING:
    import pyarrow as pa
    from lance.fragment import FragmentMetadata


def is_dataset(path: Location) -> bool:
    """Whether a dataset would have such a name."""
    return path.suffix.lower() == f".{LANCE}"


def identity(folder: Path) -> str | None:
    """A digest that changes with the rows and columns of a dataset; None if there is none.

    Raises OutputError if it cannot be read.
    """
    if not any(folder.glob("_versions/*.manifest")):  # also after a kill before the first one
        return None
    import lance

    try:
        latest = lance.dataset(folder)
        return _identity(latest.schema, [each.metadata for each in latest.get_fragments()])
    except (OSError, ValueError) as error:
        raise OutputError(
            f"{folder} cannot be read as a Lance dataset; make sure that it may be read, or choose "
            "another name"
        ) from error


def write(folder: Path, pieces: Iterable[str], before: Callable[[str], None]) -> None:
    """Write a version of the dataset in this folder with the rows of JSON lines alone.

    ``before`` is called with its identity before it is there. Raises OutputError; the dataset is
    then unchanged.
    """
    import lance
    import pyarrow as pa
    from lance.fragment import write_fragments

    columns, failures = schema(), list[VidcaptionError]()

    def rows() -> "Iterator[pa.RecordBatch]":
        try:
            yield from batches(pieces)
        except VidcaptionError as error:  # of which Lance would keep the text alone
            failures.append(error)
            raise

    try:
        reader = pa.RecordBatchReader.from_batches(columns, rows())
        mode = "overwrite" if identity(folder) else "create"
        fragments = write_fragments(reader, folder, schema=columns, mode=mode)
        before(_identity(columns, fragments))
        lance.LanceDataset.commit(folder, lance.LanceOperation.Overwrite(columns, fragments))
    except OSError as error:
        if failures:
            raise failures[0] from error
        raise OutputError(
            f"{folder} cannot be written as a Lance dataset; make sure that its folder may be "
            "written to and has space, or choose another place"
        ) from error


def _identity(columns: "pa.Schema", fragments: "Sequence[FragmentMetadata]") -> str:
    """Files have random names, and deletions are files, too."""
    files = [
        [[each.path for each in fragment.files], str(fragment.deletion_file)]
        for fragment in fragments
    ]
    return hashlib.sha256(json.dumps([columns.names, files]).encode()).hexdigest()
