"""Tiny videos for tests, made with PyAV. Each frame shows its own number, as bright and dark bars.

Bit 0 is the leftmost of eight bars, so a frame that was turned, or is not the one that was asked
for, does not read as expected.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

BITS = 8
MILLISECOND = Fraction(1, 1000)
LIVE_LIST = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n"
VFR_TIMES_S = [0.0, 0.1, 0.15, 0.5, 0.55, 1.2]  # and 0.1 s for the last frame


def picture(number: int, size: tuple[int, int] = (64, 48)) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB with the number in it; ``size`` is (width, height)."""
    width, height = size
    bits = number >> (np.arange(width) * BITS // width) & 1
    row = np.where(bits, 220, 30).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(row[:, None], (height, width, 3)))


def number_of(image: NDArray[np.uint8]) -> int:
    """The number in a picture, whatever its size."""
    columns = ((np.arange(BITS) + 0.5) * image.shape[1] / BITS).astype(int)
    return sum(1 << i for i, level in enumerate(image[:, columns].mean((0, 2))) if level > 125)


def every(step_s: float, count: int, start_s: float = 0.0) -> list[float]:
    """``count`` times in seconds, ``step_s`` apart."""
    return [start_s + i * step_s for i in range(count)]


def write_clip(
    path: Path,
    times_s: Sequence[float],
    pictures: Iterable[NDArray[np.uint8]] | None = None,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (64, 48),
    format: str | None = None,
    options: dict[str, str] | None = None,
    mux: dict[str, str] | None = None,
) -> Path:
    """A video with one frame at each of the times, numbered from 0 unless pictures are given."""
    with av.open("file:" + str(path), "w", format=format, container_options=mux or {}) as container:
        stream = cast(av.VideoStream, container.add_stream(codec, rate=10, options=options or {}))
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.thread_count = 1
        timed = format is None and path.suffix not in {".avi", ".gif", ".webp"}
        tick = MILLISECOND if timed else Fraction(1, 10)
        stream.codec_context.time_base = tick
        for i, image in enumerate(pictures or (picture(i, size) for i in range(len(times_s)))):
            frame = av.VideoFrame.from_ndarray(image, "rgb24" if image.shape[2] == 3 else "rgba")
            frame.pts, frame.time_base = round(times_s[i] / tick), tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_image(path: Path, size: tuple[int, int] = (64, 48), number: int = 5) -> Path:
    """A still image; the suffix chooses the format."""
    codec, pix_fmt = {
        ".jpg": ("mjpeg", "yuvj420p"),
        ".png": ("png", "rgb24"),
        ".gif": ("gif", "rgb8"),
        ".webp": ("libwebp", "yuv420p"),
    }[path.suffix]
    format = None if path.suffix in {".gif", ".webp"} else "image2pipe"
    return write_clip(
        path, [0.0], [picture(number, size)], codec=codec, pix_fmt=pix_fmt, size=size, format=format
    )


def write_sound(path: Path, cover: bool = False) -> Path:
    """A file with half a second of silence, and a cover picture if asked for."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        art = container.add_stream("mjpeg", rate=1) if cover else None
        if art:
            art.width, art.height, art.pix_fmt = 64, 48, "yuvj420p"
            art.disposition = av.stream.Disposition.attached_pic
            frame = av.VideoFrame.from_ndarray(picture(1), "rgb24")
            container.mux(art.encode(frame))
            container.mux(art.encode(None))
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 4000), np.float32), "fltp", "mono")
        samples.sample_rate = 8000
        container.mux(stream.encode(samples))
        container.mux(stream.encode(None))
    return path


def write_late(path: Path, start_s: float, count: int = 20, codec: str = "libx264") -> Path:
    """A video whose sound starts at 0 and lasts 4 s, and whose frames start later."""
    with av.open(str(path), "w") as container:
        stream = cast(av.VideoStream, container.add_stream(codec, rate=10))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.thread_count, stream.codec_context.time_base = 1, MILLISECOND
        track = container.add_stream(
            "libopus" if path.suffix == ".webm" else "aac", rate=48_000, layout="mono"
        )
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 4 * 48_000), np.float32), "fltp", "mono")
        sound.sample_rate, sound.pts = 48_000, 0
        container.mux([*track.encode(sound), *track.encode(None)])
        for i, time_s in enumerate(every(0.1, count, start_s)):
            frame = av.VideoFrame.from_ndarray(picture(i), "rgb24")
            frame.pts, frame.time_base = round(time_s / MILLISECOND), MILLISECOND
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def turn(path: Path, clockwise: int, mirrored: bool = False) -> Path:
    """Write into an MP4's track header how the picture is to be shown.

    It is mirrored left to right first, and then turned by so many degrees.
    """
    a, b, c, d = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[
        clockwise
    ]
    if mirrored:
        a, b = -a, -b
    matrix = struct.pack(">9i", *(v << 16 for v in (a, b, 0, c, d, 0, 0, 0)), 1 << 30)
    data = path.read_bytes()
    at = data.index(b"tkhd") + 44
    path.write_bytes(data[:at] + matrix + data[at + len(matrix) :])
    return path


def encrypt_webm(path: Path) -> Path:
    """Say in a live WebM's only track that it is encrypted, as WebM's DRM does."""

    def element(name: str, *parts: bytes) -> bytes:
        body = b"".join(parts)
        return bytes.fromhex(name) + (len(body) | 1 << 56).to_bytes(8, "big") + body

    def body(at: int) -> tuple[int, int]:
        length = 9 - data[at].bit_length()
        size = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
        return at + length, at + length + size

    data = path.read_bytes()
    tracks = data.rindex(b"\x16\x54\xae\x6b")
    entry, end = body(tracks + 4)
    start, stop = body(entry + 1)
    key = element("47e1", b"\5"), element("47e2", bytes(range(16)))
    coding = element("6240", element("5033", b"\1"), element("5035", *key))
    track = element("ae", data[start:stop], element("6d80", coding))
    path.write_bytes(data[:tracks] + element("1654ae6b", track) + data[end:])
    return path


def cut(path: Path, keep: float) -> Path:
    """Drop the end of an MP4's media data, keeping a part of it."""
    data = path.read_bytes()
    start = data.index(b"mdat") + 4
    path.write_bytes(data[: start + round((len(data) - start) * keep)])
    return path


def blank(path: Path, packets: Iterable[int]) -> Path:
    """Overwrite packets with zeros, by their number in the file."""
    with av.open(str(path)) as container:
        spans = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for i in packets:
        start, size = spans[i]
        assert start is not None
        data[start + 8 : start + size] = bytes(size - 8)
    path.write_bytes(data)
    return path


def replace(path: Path, old: bytes, new: bytes) -> Path:
    """Change some bytes of a file."""
    path.write_bytes(path.read_bytes().replace(old, new))
    return path


def _mp4(change: Callable[[Path], object] = lambda path: None) -> Callable[[Path], object]:
    return lambda path: change(write_clip(path, every(0.1, 20)))


INTRA = {"g": "1"}  # every frame stands alone
IN_ORDER = {"bf": "0"}  # frames are stored in the order shown
INDEX_FIRST = {"movflags": "faststart"}


ENCRYPTED = {
    "encryption_scheme": "cenc-aes-ctr",
    "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
    "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
}


RECIPES: dict[str, Callable[[Path], object]] = {
    "h264.mp4": _mp4(),
    "clip ü 動画 #1.mp4": _mp4(),
    "10:30.mp4": _mp4(),
    "turned_90.mp4": _mp4(lambda path: turn(path, 90)),
    "turned_180.mp4": _mp4(lambda path: turn(path, 180)),
    "turned_270.mp4": _mp4(lambda path: turn(path, 270)),
    "encrypted.mp4": lambda path: write_clip(path, every(0.1, 20), mux=ENCRYPTED),
    "encrypted_parts.mp4": lambda path: write_clip(
        path, every(0.1, 20), mux=ENCRYPTED | {"movflags": "frag_keyframe+empty_moov"}
    ),
    "encrypted.webm": lambda path: encrypt_webm(
        write_clip(path, every(0.1, 10), codec="libvpx-vp9", mux={"live": "1"})
    ),
    "truncated.mp4": lambda path: cut(
        write_clip(path, every(0.1, 20), options=INTRA, mux=INDEX_FIRST), 0.75
    ),
    "no_index.mp4": _mp4(lambda path: cut(path, 0.5)),
    "undecodable.mp4": _mp4(lambda path: blank(path, range(20))),
    "unknown_codec.mp4": _mp4(
        lambda path: replace(replace(path, b"avc1", b"?1?1"), b"avcC", b"?C?C")
    ),
    "vfr.mp4": lambda path: write_clip(path, VFR_TIMES_S, options=IN_ORDER),
    # The muxer takes the time of the last packets for the duration, not that of the last frames.
    "longer_than_said.mp4": lambda path: write_clip(path, VFR_TIMES_S),
    "negative.mkv": lambda path: write_clip(path, every(0.1, 10, start_s=-0.3), options=IN_ORDER),
    "delayed.mp4": lambda path: write_clip(path, every(0.1, 10, start_s=2.0)),
    "delayed.mkv": lambda path: write_clip(path, every(0.1, 10, start_s=2.0)),
    "one_frame.mp4": lambda path: write_clip(path, [0.0]),
    "odd.mp4": lambda path: write_clip(path, every(0.1, 5), pix_fmt="yuv444p", size=(63, 47)),
    "ten_bit.mp4": lambda path: write_clip(path, every(0.1, 5), pix_fmt="yuv420p10le"),
    "alpha.mov": lambda path: write_clip(path, every(0.1, 5), codec="png", pix_fmt="rgba"),
    "interlaced.mp4": lambda path: write_clip(
        path, every(0.1, 5), options={"flags": "+ildct+ilme", "x264-params": "tff=1"}
    ),
    "vp9.webm": lambda path: write_clip(path, every(0.1, 10), codec="libvpx-vp9"),
    "mjpeg.avi": lambda path: write_clip(path, every(0.1, 10), codec="mjpeg", pix_fmt="yuvj420p"),
    "damaged.avi": lambda path: blank(
        write_clip(path, every(0.1, 10), codec="mjpeg", pix_fmt="yuvj420p"), [3, 7]
    ),
    "damaged.webm": lambda path: blank(write_clip(path, every(0.1, 30), codec="libvpx-vp9"), [12]),
    "h264.avi": lambda path: write_clip(path, every(0.1, 20)),
    "in_order.avi": lambda path: write_clip(path, every(0.1, 20), options=IN_ORDER),
    "mpeg4.avi": lambda path: write_clip(path, every(0.1, 20), codec="mpeg4", options={"bf": "2"}),
    "late.mp4": lambda path: write_late(path, 1.0),
    "late.mov": lambda path: write_late(path, 1.0),
    "late.ts": lambda path: write_late(path, 1.0),
    "late.mkv": lambda path: write_late(path, 1.0),
    "late.webm": lambda path: write_late(path, 1.0, codec="libvpx-vp9"),
    "late.flv": lambda path: write_late(path, 1.0),
    "raw.h264": lambda path: write_clip(path, every(0.1, 10), format="h264"),
    "live.webm": lambda path: write_clip(
        path, every(0.1, 10), codec="libvpx-vp9", mux={"live": "1"}
    ),
    "animated.gif": lambda path: write_clip(path, every(0.1, 5), codec="gif", pix_fmt="rgb8"),
    "still.jpg": write_image,
    "still.png": write_image,
    "still.gif": write_image,
    "still.webp": write_image,
    "100%d.jpg": write_image,
    "too_wide.png": lambda path: write_image(path, size=(16_400, 2)),
    "sound.mp4": write_sound,
    "cover.mp4": lambda path: write_sound(path, cover=True),
    "text.mp4": lambda path: path.write_text("no video\n" * 100),
    "text.txt": lambda path: path.write_text("no video\n" * 100),
    # FFmpeg would wait for the rest of this one.
    "live.m3u8": lambda path: path.write_text(LIVE_LIST),
    "list.mp4": lambda path: path.write_text("ffconcat version 1.0\nfile 'h264.mp4'\n"),
    "page.mp4": lambda path: path.write_text("<!DOCTYPE html><html>404 Not Found</html>"),
    "noise.mp4": lambda path: path.write_bytes(np.random.default_rng(0).bytes(20_000)),
    "empty.mp4": lambda path: path.touch(),
    "folder.mp4": lambda path: path.mkdir(),
}


class Clips:
    """``clips["h264.mp4"]`` is the path of that clip, which is made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            RECIPES[name](path)
        return path
