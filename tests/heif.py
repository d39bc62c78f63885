"""Tiled HEIC and AVIF pictures as phones write them (ISO/IEC 23008-12), with tiles by FFmpeg."""

import struct
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from clips import every, write_clip
from film import own_priority
from numpy.typing import NDArray

SIDE = 64  # pixels of a tile
X265 = {"x265-params": "log-level=none:keyint=1"}


def write_grid(
    path: Path,
    image: NDArray[np.uint8],
    rows: int,
    columns: int,
    orientation: tuple[int, int] = (0, -1),
) -> Path:
    """``image``: (H, W, 3) RGB, cut into tiles; the last ones may hang over its edges.

    ``orientation``: how often the viewer has to turn it by 90 degrees counterclockwise, and whether
    it is mirrored top to bottom (0) after that, left to right (1), or not at all (-1).
    """
    height, width = image.shape[:2]
    whole = np.zeros((rows * SIDE, columns * SIDE, 3), np.uint8)
    whole[:height, :width] = image
    tiles = [
        whole[y : y + SIDE, x : x + SIDE]
        for y in range(0, rows * SIDE, SIDE)
        for x in range(0, columns * SIDE, SIDE)
    ]
    kind = b"av01" if path.suffix == ".avif" else b"hvc1"
    config, data = _encode(path.with_suffix(".mp4"), tiles, kind)
    turns, axis = orientation
    properties = [
        _box({b"av01": b"av1C", b"hvc1": b"hvcC"}[kind], config),
        _full(b"ispe", struct.pack(">II", SIDE, SIDE)),
        _full(b"ispe", struct.pack(">II", width, height)),
        _box(b"irot", bytes([turns])),
        _box(b"imir", bytes([max(axis, 0)])),
    ]
    of_grid = [3] + [0x80 | 4] * (turns > 0) + [0x80 | 5] * (axis >= 0)
    grid = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)
    items = range(2, 2 + len(tiles))
    entries = _infe(1, b"grid") + b"".join(_infe(each, kind) for each in items)
    uses = _uses(1, of_grid) + b"".join(_uses(each, [0x80 | 1, 2]) for each in items)
    tiled = struct.pack(f">HH{len(tiles)}H", 1, len(tiles), *items)

    def head(offset: int) -> bytes:
        places = _place(1, 1, 0, len(grid))
        for each, tile in zip(items, data, strict=True):
            places += _place(each, 0, offset, len(tile))
            offset += len(tile)
        count = struct.pack(">H", len(tiles) + 1)
        return _box(b"ftyp", *_brands(kind)) + _full(
            b"meta",
            _full(b"hdlr", bytes(4) + b"pict" + bytes(13)),
            _full(b"pitm", b"\0\1"),
            _full(b"iloc", b"\x44\0", count, places, version=1),
            _full(b"iinf", count, entries),
            _full(b"iref", _box(b"dimg", tiled)),
            _box(b"iprp", _box(b"ipco", *properties), _full(b"ipma", bytes(2), count, uses)),
            _box(b"idat", grid),
        )

    path.write_bytes(head(len(head(0)) + 8) + _box(b"mdat", *data))
    return path


def _encode(
    path: Path, tiles: Sequence[NDArray[np.uint8]], kind: bytes
) -> tuple[bytes, list[bytes]]:
    """The decoder's configuration, and each tile as one key frame."""
    codec, options = ("libx265", X265) if kind == b"hvc1" else ("libsvtav1", {"g": "1"})
    with own_priority():
        write_clip(
            path, every(0.1, len(tiles)), tiles, codec=codec, size=(SIDE, SIDE), options=options
        )
    with av.open(str(path)) as container:
        data = [bytes(packet) for packet in container.demux(video=0) if packet.size]
        config = bytes(container.streams.video[0].codec_context.extradata or b"")
    path.unlink()
    return config, data


def _brands(kind: bytes) -> tuple[bytes, ...]:
    brand = b"avif" if kind == b"av01" else b"heic"
    return brand, bytes(4), b"mif1", brand


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def _full(kind: bytes, *parts: bytes, version: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24), *parts)


def _infe(item: int, kind: bytes) -> bytes:
    return _full(b"infe", struct.pack(">HH", item, 0), kind, b"\0", version=2)


def _uses(item: int, properties: Sequence[int]) -> bytes:
    return struct.pack(">HB", item, len(properties)) + bytes(properties)


def _place(item: int, method: int, offset: int, length: int) -> bytes:
    return struct.pack(">HHHHII", item, method, 0, 1, offset, length)
