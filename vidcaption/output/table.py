"""The segments of several videos as one table, from JSON lines as of ``--jsonl``."""

import json
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any

from vidcaption.errors import SetupError
from vidcaption.options.output import LANCE, PARQUET

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 50_000  # in memory at a time: some 10 MB
_LIBRARIES = {PARQUET: ("pyarrow", "pyarrow"), LANCE: ("lance", "pylance")}  # module, package


def require(format: str) -> None:
    """Raises SetupError if the library of the format's extra is not installed."""
    module, package = _LIBRARIES[format]
    if find_spec(module) is None:
        raise SetupError(
            f'-o NAME.{format} needs the extra "{format}", and {package} is not installed; '
            f"pip install 'vidcaption[{format}]'"
        )


def schema() -> "pa.Schema":
    """The columns, which are those of the lines.

    ``video``, ``start`` and ``end`` in seconds, ``text``, ``score``, ``confidence`` (null where the
    model gives none), ``below_min_confidence``, and lists ``words`` and ``concepts`` of ``text``
    and ``probability``.
    """
    import pyarrow as pa

    words = pa.list_(pa.struct({"text": pa.string(), "probability": pa.float64()}))
    return pa.schema(
        {
            "video": pa.string(),
            "start": pa.float64(),
            "end": pa.float64(),
            "text": pa.string(),
            "score": pa.float64(),
            "confidence": pa.float64(),
            "below_min_confidence": pa.bool_(),
            "words": words,
            "concepts": words,
        }
    )


def batches(pieces: Iterable[str]) -> "Iterator[pa.RecordBatch]":
    """The rows of the lines in ``pieces``, at most ``ROWS`` at a time."""
    import pyarrow as pa

    columns = schema()
    # not splitlines, which knows more line ends than JSON escapes
    rows = (_row(line) for piece in pieces for line in piece.split("\n") if line)
    while some := list(islice(rows, ROWS)):
        yield pa.RecordBatch.from_pylist(some, schema=columns)


def _row(line: str) -> dict[str, Any]:
    """Paths that are not UTF-8 are escaped, as in other files."""
    row: dict[str, Any] = json.loads(line)
    return row | {"video": row["video"].encode("utf-8", "backslashreplace").decode()}
