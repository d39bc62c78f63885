"""A table of the segments of several videos in one Parquet file. Needs the extra "parquet"."""

import io
import json
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from itertools import islice
from typing import Any

from vidcaption.errors import SetupError

ROWS = 50_000  # in a row group: some 10 MB


def require() -> None:
    """Raises SetupError if the library of the extra is not installed."""
    if find_spec("pyarrow") is None:
        raise SetupError(
            'a .parquet file needs the extra "parquet", and pyarrow is not installed; '
            "pip install 'vidcaption[parquet]'"
        )


def parquet(pieces: Iterable[str]) -> Iterator[bytes]:
    """The bytes of the file, from JSON lines as of ``--jsonl``, one row group in memory at a time.

    The columns are those of the lines: ``video``, ``start`` and ``end`` in seconds, ``text``,
    ``score``, ``confidence`` (null where the model gives none), ``below_min_confidence``, and lists
    ``words`` and ``concepts`` of ``text`` and ``probability``.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    words = pa.list_(pa.struct({"text": pa.string(), "probability": pa.float64()}))
    schema = pa.schema(
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
    sink = _Sink()
    # not splitlines, which knows more line ends than JSON escapes
    rows = (_row(line) for piece in pieces for line in piece.split("\n") if line)
    with ParquetWriter(sink, schema, compression="zstd") as writer:
        while some := list(islice(rows, ROWS)):
            writer.write_table(pa.Table.from_pylist(some, schema=schema))
            yield sink.taken()
    yield sink.taken()


def _row(line: str) -> dict[str, Any]:
    """Paths that are not UTF-8 are escaped, as in other files."""
    row: dict[str, Any] = json.loads(line)
    return row | {"video": row["video"].encode("utf-8", "backslashreplace").decode()}


class _Sink(io.RawIOBase):
    """A file of which only what was written since the last look is held."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        self._at += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        return self._at

    def taken(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data
