"""Files that mean harm, beside the broken ones of clips.py: each is a small change to a small clip.

``LIES`` are files whose headers or contents are absurd, ``LARGEST`` are of the largest pictures
that are taken, ``cuts`` ends a file at each of its boxes
or elements, and ``mutations`` are what chance does to it.
"""

import math
import os
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
from clips import IN_ORDER, every, picture, write_clip, write_image
from hypothesis import strategies as st

MOST_32, MOST_64 = 2**32 - 1, 2**63 - 1
CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl", b"edts", b"udta", b"moof"}
MASTERS = {
    0x18538067, 0x1549A966, 0x1654AE6B, 0xAE, 0xE0, 0x1F43B675, 0xA0, 0x1C53BB6B, 0xBB, 0xB7,
    0x114D9B74, 0x4DBB, 0x1254C367, 0x7373, 0x67C8,
}  # fmt: skip


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[int]:
    """Where the boxes of an MP4 start, and where they end."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        yield from (start, start + size)
        if kind in CONTAINERS:
            yield from boxes(data, start + 8, start + size)
        start += max(size, 8)


def elements(data: bytes, start: int = 0, end: int | None = None) -> Iterator[int]:
    """Where the elements of a Matroska file start, and where they end."""
    end = len(data) if end is None else end
    while start < end:
        at = start + 9 - data[start].bit_length()
        identity = int.from_bytes(data[start:at], "big")
        length = 9 - data[at].bit_length()
        size = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
        at += length
        yield from (start, at + size)
        if identity in MASTERS:
            yield from elements(data, at, at + size)
        start = at + size


def cuts(path: Path) -> Iterator[bytes]:
    """The file up to each boundary in it, within it and within the header that follows."""
    data = path.read_bytes()
    walk = boxes if path.suffix == ".mp4" else elements
    for at in sorted(set(walk(data))):
        yield from (data[:at], data[: at + 6])


def _box(data: bytes, kind: bytes, offset: int, form: str, *values: int) -> bytes:
    """A field of the first box of that kind made another; ``offset`` counts from its body."""
    at, new = data.index(kind) + 4 + offset, struct.pack(form, *values)
    return data[:at] + new + data[at + len(new) :]


def _mp4(kind: bytes, offset: int, form: str, *values: int) -> Callable[[Path], object]:
    """A clip with one field changed."""

    def write(path: Path) -> None:
        data = write_clip(path, every(0.1, 20)).read_bytes()
        path.write_bytes(_box(data, kind, offset, form, *values))

    return write


def _long(kind: str, timescale: int, duration: int) -> Callable[[Path], object]:
    """A clip with a header of version 1, whose times have 64 bits; the boxes around it grow."""
    more = 12

    def write(path: Path) -> None:
        data = bytearray(write_clip(path, every(0.1, 20)).read_bytes())
        for name in ("moov",) if kind == "mvhd" else ("moov", "trak", "mdia"):
            at = data.index(name.encode()) - 4
            data[at : at + 4] = struct.pack(">I", struct.unpack_from(">I", data, at)[0] + more)
        at = data.index(kind.encode()) - 4
        size = struct.unpack_from(">I", data, at)[0] + more
        header = struct.pack(">I4sIQQIQ", size, kind.encode(), 1 << 24, 0, 0, timescale, duration)
        data[at : at + 28] = header
        path.write_bytes(data)

    return write


def _tracks(path: Path, number: int) -> None:
    """An MP4 with its track so many times."""
    data = write_clip(path, every(0.1, 20), mux={"movflags": "faststart"}).read_bytes()
    at, trak = data.index(b"moov") - 4, data.index(b"trak") - 4
    size, own = (struct.unpack_from(">I", data, start)[0] for start in (at, trak))
    more = data[trak : trak + own] * (number - 1)
    moov = struct.pack(">I", size + len(more)) + data[at + 4 : trak] + more + data[trak:]
    path.write_bytes(data[:at] + moov)


def _streams(path: Path, number: int) -> None:
    """A file with so many streams of one frame each."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("mpeg2video", rate=25) for _ in range(number)]
        for stream in streams:
            stream.width = stream.height = 16
            stream.pix_fmt, stream.thread_count = "yuv420p", 1
        frame = av.VideoFrame.from_ndarray(picture(1, (16, 16)), "rgb24")
        for stream in streams:
            container.mux([*stream.encode(frame), *stream.encode(None)])


def _zeros(number: int) -> bytes:
    """So many zeros, or a few more, packed by zlib (RFC 1950) without packing them all."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    count = -(-number // 2**20)
    check = struct.pack(">HH", count * 2**20 % 65521, 1)
    return b"\x78\xda" + block * count + packer.flush() + check


def _png(width: int, height: int, rows: int) -> bytes:
    """A black PNG that says it is so large, and holds so many rows of it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", _zeros(rows * (1 + 3 * width))), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def _gif(screen: tuple[int, int], picture: tuple[int, int], frames: int) -> bytes:
    """A GIF of one colour whose pictures hold a single pixel of what they say."""
    delay = b"\x21\xf9\x04\0\x0a\0\0\0"
    image = b"\x2c" + struct.pack("<HHHHB", 0, 0, *picture, 0) + b"\x02\x02\x44\x01\0"
    header = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return header + (delay + image) * frames + b"\x3b"


def _bits(*values: int) -> bytes:
    """Numbers in Exp-Golomb code (Rec. ITU-T H.264, 9.1), and the bit that ends them."""
    coded = "".join(f"{value + 1:b}".zfill(2 * (value + 1).bit_length() - 1) for value in values)
    padded = coded + "1" + "0" * (-(len(coded) + 1) % 8)
    return int(padded, 2).to_bytes(len(padded) // 8, "big")


def _large_h264(path: Path) -> None:
    """H.264 whose own header says that it is 131,072 pixels wide and high."""
    data = write_clip(path, every(0.1, 20), format="h264").read_bytes()
    # id, frame number, order type and its size, references, gaps and, as bits, width and height
    settings = b"\x67\x42\x00\x1e" + _bits(0, 0, 0, 0, 1, 0, 8191, 8191)
    after = data.index(b"\0\0\0\1\x68")
    path.write_bytes(b"\0\0\0\1" + settings + data[after:])


def _apart(step_s: float, number: int) -> Callable[[Path], object]:
    """A clip with so many frames, so many seconds apart."""
    return lambda path: write_clip(path, every(step_s, number), options=IN_ORDER)


def _remux(path: Path, *, attached: bool = False) -> None:
    """A Matroska file with subtitles, and perhaps an attachment, alone."""
    source = path.with_suffix(".srt")
    source.write_text(CUE)
    with av.open(str(path), "w") as container, av.open(str(source)) as subtitles:
        stream = container.add_stream_from_template(subtitles.streams.subtitles[0])
        if attached:
            container.add_attachment("a.mp4", "video/mp4", b"\0\0\0\x18ftypisom")
        for packet in subtitles.demux():
            if packet.size:
                packet.stream = stream
                container.mux(packet)


def _data(path: Path) -> None:
    """A transport stream with a stream of data alone."""
    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_data_stream("bin_data")
        for i in range(20):
            packet = av.Packet(bytes(100))
            packet.stream, packet.pts, packet.dts = stream, i * 900, i * 900
            packet.time_base = Fraction(1, 90_000)
            container.mux(packet)


def _mkv(duration: float) -> Callable[[Path], object]:
    """A Matroska file that says it lasts so many milliseconds."""

    def write(path: Path) -> None:
        data = write_clip(path, every(0.1, 20)).read_bytes()
        at = data.index(b"\x44\x89\x88") + 3
        path.write_bytes(data[:at] + struct.pack(">d", duration) + data[at + 8 :])

    return write


def _jpeg(path: Path) -> None:
    """A JPEG that says it has 65,500 pixels per side."""
    data = bytearray(write_image(path).read_bytes())
    struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, 65_500, 65_500)
    path.write_bytes(data)


def _commented(path: Path) -> None:
    """A PNG with two comments of 50 MB each, packed."""
    data = write_image(path).read_bytes()
    chunk = b"zTXt" + b"a\0\0" + _zeros(50 * 2**20)
    packed = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(data[:33] + packed * 2 + data[33:])  # after the header


def _deep(path: Path) -> None:
    """An MP4 of 20,000 boxes, each in the one before."""
    data = b""
    for number in range(20_000):
        data = struct.pack(">I4s", len(data) + 8, (b"moov", b"trak")[number % 2]) + data
    path.write_bytes(b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + data)


def _sparse(path: Path, head: bytes = b"") -> None:
    with path.open("wb") as file:
        file.write(head)
        file.truncate(10 * 2**30)


def _socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path must be short
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(path.name)
    finally:
        os.chdir(here)


LARGEST: dict[str, Callable[[Path], object]] = {
    "largest.png": lambda path: path.write_bytes(_png(16_384, 8_192, 8_192)),
    "largest_short.png": lambda path: path.write_bytes(_png(16_384, 8_192, 1)),
    "largest.gif": lambda path: path.write_bytes(_gif((16_000, 8_000), (16_000, 8_000), 2)),
}

CUE = "1\n00:00:00,000 --> 00:00:02,000\nHello\n"

LIES: dict[str, Callable[[Path], object]] = {
    # dimensions: 16.16 in the track header, 16 bits in the sample description
    "track_65535.mp4": _mp4(b"tkhd", 76, ">II", MOST_32, MOST_32),
    "sample_65535.mp4": _mp4(b"avc1", 24, ">HH", 65535, 65535),
    "sample_0.mp4": _mp4(b"avc1", 24, ">HH", 0, 0),
    "parameters.mp4": _mp4(b"avcC", 6, ">H", 65535),
    "stream_131072.h264": _large_h264,
    "30000.png": lambda path: path.write_bytes(_png(30_000, 30_000, 1)),
    "bomb.png": lambda path: path.write_bytes(_png(30_000, 30_000, 30_000)),
    "screen_65535.gif": lambda path: path.write_bytes(_gif((65535, 65535), (1, 1), 1)),
    "picture_65535.gif": lambda path: path.write_bytes(_gif((16, 16), (65535, 65535), 1)),
    "bomb.gif": lambda path: path.write_bytes(_gif((30_000, 30_000), (30_000, 30_000), 50)),
    "side_65500.jpg": _jpeg,
    "side_65535.y4m": lambda path: path.write_bytes(b"YUV4MPEG2 W65535 H65535 F25:1\nFRAME\n"),
    "comments.png": _commented,
    "frames.gif": lambda path: path.write_bytes(_gif((16, 16), (16, 16), 5000)),
    "frames.png": lambda path: write_clip(
        path, every(0.1, 2000), codec="apng", pix_fmt="rgb24", size=(16, 16), format="apng"
    ),
    # times: version and flags, then creation, modification, timescale, duration
    "movie_scale_0.mp4": _mp4(b"mvhd", 12, ">I", 0),
    "movie_scale_negative.mp4": _mp4(b"mvhd", 12, ">I", 2**31),
    "movie_long.mp4": _mp4(b"mvhd", 12, ">II", 1, MOST_32),
    "track_scale_0.mp4": _mp4(b"mdhd", 12, ">I", 0),
    "track_scale_1.mp4": _mp4(b"mdhd", 12, ">II", 1, MOST_32),
    "track_scale_most.mp4": _mp4(b"mdhd", 12, ">I", MOST_32),
    "track_long.mp4": _mp4(b"mdhd", 16, ">I", MOST_32),
    "movie_64.mp4": _long("mvhd", 1000, MOST_64),
    "track_64.mp4": _long("mdhd", 1, MOST_64),
    "track_64_negative.mp4": _long("mdhd", 10, 1 << 63),
    # the counts and entries of tables
    "times_many.mp4": _mp4(b"stts", 4, ">III", 1, MOST_32, 1),
    "times_entries.mp4": _mp4(b"stts", 4, ">I", MOST_32),
    "times_apart.mp4": _mp4(b"stts", 4, ">III", 1, 20, MOST_32),
    "times_negative.mp4": _mp4(b"stts", 4, ">III", 1, 20, 2**31 + 5),
    "order_many.mp4": _mp4(b"ctts", 4, ">III", MOST_32, MOST_32, 2**31),
    "sizes_many.mp4": _mp4(b"stsz", 4, ">II", 1, MOST_32),
    "sizes_large.mp4": _mp4(b"stsz", 4, ">II", MOST_32, 20),
    "chunks_many.mp4": _mp4(b"stsc", 4, ">IIII", MOST_32, 1, MOST_32, 1),
    "offsets.mp4": _mp4(b"stco", 4, ">II", 1, MOST_32),
    "keys.mp4": _mp4(b"stss", 4, ">I", MOST_32),
    "descriptions.mp4": _mp4(b"stsd", 4, ">I", MOST_32),
    "edit_long.mp4": _mp4(b"elst", 4, ">IIi", 1, MOST_32, 0),
    "edit_empty.mp4": _mp4(b"elst", 4, ">IIi", 1, MOST_32, -1),
    "edit_late.mp4": _mp4(b"elst", 4, ">IIi", 1, 2000, 2**31 - 1),
    "edit_64.mp4": _mp4(b"elst", 0, ">IIQq", 1 << 24, 1, MOST_64, MOST_64),
    "deep.mp4": _deep,
    "size_0.mp4": _mp4(b"moov", -8, ">I", 0),
    "size_1.mp4": _mp4(b"trak", -8, ">I", 1),
    "size_most.mp4": _mp4(b"stbl", -8, ">I", MOST_32),
    "long.mkv": _mkv(1e12),
    "longest.mkv": _mkv(1e300),
    "negative.mkv": _mkv(-5e3),
    "no_number.mkv": _mkv(math.nan),
    "apart.mkv": _apart(1e8, 2),
    "apart_often.mkv": _apart(80_000, 40),
    "apart.mp4": _apart(1e5, 2),
    "apart.y4m": lambda path: path.write_bytes(
        b"YUV4MPEG2 W16 H16 F1:1000000000 C420\n" + (b"FRAME\n" + bytes(384)) * 20
    ),
    # streams
    "tracks.mp4": lambda path: _tracks(path, 3000),
    "streams.mkv": lambda path: _streams(path, 1000),
    "streams.ts": lambda path: _streams(path, 150),
    "subtitles.mkv": _remux,
    "subtitles.mp4": lambda path: path.write_text(CUE),
    "attachment.mkv": lambda path: _remux(path, attached=True),
    "data.ts": _data,
    # lists of files
    "list.m3u8": lambda path: path.write_text("#EXTM3U\n#EXTINF:9,\nlist.m3u8\n"),
    "list_named.mp4": lambda path: path.write_text("#EXTM3U\n#EXTINF:9,\nlist_named.mp4\n"),
    "list.pls": lambda path: path.write_text("[playlist]\nFile1=/etc/passwd\n"),
    "list.mpd": lambda path: path.write_text('<?xml version="1.0"?><MPD></MPD>'),
    # not quite files
    "one_byte.mp4": lambda path: path.write_bytes(b"\0"),
    "sparse.mp4": _sparse,
    "sparse_box.mp4": lambda path: _sparse(path, b"\0\0\0\x18ftypisom\0\0\2\0isomiso2"),
    "sparse_mkv.mkv": lambda path: _sparse(path, b"\x1a\x45\xdf\xa3"),
    "sparse.ts": lambda path: _sparse(path, b"\x47"),
    "list_named.mkv": lambda path: path.write_text("ffconcat version 1.0\nfile /etc/passwd\n"),
    "session.sdp": lambda path: path.write_text("v=0\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n"),
    "new\nline.mp4": lambda path: path.write_bytes(b"no video" * 9),
    "\x1b]0;title\x07\x1b[31m.mp4": lambda path: path.write_bytes(b"no video" * 9),
    "\udcff\udcfe.mp4": lambda path: write_image(path.with_suffix(".png")).rename(path),
}
if os.name == "posix":
    LIES |= {
        "pipe.mp4": lambda path: os.mkfifo(path),
        "socket.mp4": _socket,
        "zero.mp4": lambda path: path.symlink_to("/dev/zero"),
        "terminal.mp4": lambda path: path.symlink_to("/dev/tty"),
        "loop.mp4": lambda path: path.symlink_to(path),
    }

Change = tuple[str, int, int, bytes]


def mutations() -> st.SearchStrategy[list[Change]]:
    """Changes to a file; places are counted in 1/65536 of its length."""
    change = st.tuples(
        st.sampled_from(["flip", "put in", "take out", "repeat"]),
        st.integers(0, 65535),
        st.integers(1, 300),
        st.binary(min_size=1, max_size=16),
    )
    return st.lists(change, min_size=1, max_size=12)


def mutated(data: bytes, changes: list[Change]) -> bytes:
    for kind, place, length, new in changes:
        at = place * len(data) >> 16
        part, rest = data[at : at + length], data[at + length :]
        middle = {
            "flip": bytes(byte ^ new[i % len(new)] for i, byte in enumerate(part[: len(new)]))
            + part[len(new) :],
            "put in": new + part,
            "take out": b"",
            "repeat": part * (2 + new[0] % 30),
        }[kind]
        data = data[:at] + middle + rest
    return data
