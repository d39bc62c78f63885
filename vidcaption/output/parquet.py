"""A table of the segments of several videos in one Parquet file. Needs the extra "parquet"."""

import io
from collections.abc import Iterable, Iterator
from typing import Any

from vidcaption.output.table import batches, schema


def parquet(pieces: Iterable[str]) -> Iterator[bytes]:
    """The bytes of the file, from JSON lines, one row group in memory at a time; see ``table``."""
    from pyarrow.parquet import ParquetWriter

    sink = _Sink()
    with ParquetWriter(sink, schema(), compression="zstd") as writer:
        for batch in batches(pieces):
            writer.write_batch(batch)
            yield sink.taken()
    yield sink.taken()


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
