"""Opens a video file, or explains in one sentence why it cannot be opened."""

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.error import ArgumentError, FFmpegError, InvalidDataError
from av.stream import Disposition
from av.video.stream import VideoStream

from vidcaption.errors import InputError
from vidcaption.options.captioning import VideoDecoder
from vidcaption.video.clock import origin_of
from vidcaption.video.names import address_hint, is_address, pipe_hint

PROTOCOL = "file:"
MAX_SIDE = 16_384  # pixels
MAX_PIXELS = 2**27  # 134 million in a frame: 400 MB as RGB
# Text, which FFmpeg renders as video, lists of other files, and of streams, for which it may wait
# forever.
TEXTS_AND_LISTS = {"tty", "bin", "xbin", "idf", "adf", "concat", "sdp", "imf"}
REFUSED = TEXTS_AND_LISTS | {"hls", "dash"}


@contextmanager
def open_video(
    path: str, decoder: VideoDecoder = "cpu"
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its best video stream. FFmpeg may open local files only.

    If there is no GPU, or it does not support the codec, the CPU decodes. Raises InputError if the
    file is not a video. PyAV silences FFmpeg by default.
    """
    try:
        _check_file(path)
        container = _open(path, decoder)
    except (OSError, FFmpegError) as error:
        raise _unreadable(path, error) from error
    with container:
        yield container, best_stream(path, container)


def undecodable(path: str) -> InputError:
    """The error of a video without a single frame."""
    return InputError(
        f"{path} has no frame that FFmpeg can decode; it may be damaged, cut off, "
        f"an animated WebP, or over {MAX_PIXELS / 1e6:.0f} million pixels in size"
    )


def is_still(container: InputContainer, stream: VideoStream) -> bool:
    """Whether this is an image: FFmpeg reads those as videos of one frame at 25 per second."""
    name = container.format.name
    alone = stream.frames == 1 and (name == "gif" or said_end(container, stream) is None)
    return name == "image2" or name.endswith("_pipe") or alone


def said_end(container: InputContainer, stream: VideoStream) -> float | None:
    """Seconds from the container's start to the end of the video, by its header, or None."""
    start_s = Fraction(container.start_time or 0, av.time_base)
    if stream.duration and stream.time_base:
        late = max((stream.start_time or 0) - (origin_of(container, stream) or 0), 0)
        end_s = (late + stream.duration) * stream.time_base
    elif container.format.name.startswith("matroska"):
        # The tag counts from zero, and the container may start later.
        whole_s = Fraction(container.duration or 0, av.time_base)
        own_s = _seconds(stream.metadata.get("DURATION", "")) or whole_s
        end_s = min(own_s, whole_s) - max(start_s, Fraction(0))
    else:
        end_s = Fraction(container.duration or 0, av.time_base)
    return float(end_s) if end_s > 0 else None


def encrypted(container: InputContainer) -> InputError:
    """The error for a video that needs a key to play."""
    path = container.name.removeprefix(PROTOCOL)
    return InputError(f"{path} is encrypted (DRM); only a copy without encryption can be captioned")


def check_size(path: str, width: int, height: int) -> None:
    """Raise InputError for pictures with too many pixels."""
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise InputError(
            f"{path} has frames of {width}x{height} pixels; scale it down to at most "
            f"{MAX_SIDE} per side and {MAX_PIXELS / 1e6:.0f} million in all"
        )


def _open(path: str, decoder: VideoDecoder) -> InputContainer:
    if decoder != "cpu":
        with suppress(FFmpegError):
            return _open_with(path, HWAccel(decoder))
    return _open_with(path, None)


def _open_with(path: str, hardware: HWAccel | None) -> InputContainer:
    return av.open(
        PROTOCOL + path,  # or FFmpeg would read `10:30.mp4` as a protocol
        options={"max_pixels": str(MAX_PIXELS)},
        container_options={
            "protocol_whitelist": "file",
            "format_whitelist": ",".join(av.formats_available - REFUSED),
            "pattern_type": "none",  # `100%d.jpg` is one image
        },
        metadata_errors="replace",
        hwaccel=hardware,
    )


def _check_file(path: str) -> None:
    """Raise OSError or InputError unless this is a readable file that is not empty."""
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        os.scandir(path).close()  # a folder that can be listed was named by mistake
        raise InputError(f"{path} is a folder; name the videos in it")
    if stat.S_ISFIFO(status.st_mode):
        raise InputError(pipe_hint(path))
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path} is not a regular file; save the video to a file first")
    if status.st_size == 0:
        raise InputError(f"{path} is empty; download or record it again")
    os.close(os.open(path, os.O_RDONLY))


def _unreadable(path: str, error: OSError | FFmpegError) -> InputError:
    if is_address(path):
        return InputError(address_hint(path))
    if isinstance(error, ArgumentError):  # not one of the formats allowed
        return InputError(f"{path} is a text file or a playlist, not a video")
    if isinstance(error, MemoryError):
        return InputError(
            f"{path} has more than 1,000 streams, or needs more memory than there is; it "
            "may be damaged"
        )
    if isinstance(error, EOFError) or error.errno == errno.EIO:
        return InputError(
            f"{path} cannot be read to its end: it is cut off, or its disk or network fails; "
            "download or record it again"
        )
    if not isinstance(error, InvalidDataError):
        return InputError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}")
    with open(path, "rb") as file:
        is_mp4 = file.read(8)[4:] == b"ftyp"
    if is_mp4:
        return InputError(f"{path} is an MP4 cut off before its index; download or record it again")
    return InputError(f"{path} is not a video or picture, or is too damaged to be recognised")


def _seconds(text: str) -> Fraction | None:
    """Seconds of a time such as 00:01:02.500000000; None for anything else."""
    found = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", text)
    if not found:
        return None
    return int(found[1]) * 3600 + int(found[2]) * 60 + Fraction(found[3])


def best_stream(path: str, container: InputContainer) -> VideoStream:
    """FFmpeg's choice, unless that is a cover picture. Raises InputError."""
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        holds = "sound but no video" if container.streams.audio else "no video"
        raise InputError(f"{path} holds {holds}")
    best = container.streams.best("video")
    stream = next((s for s in streams if s is best), streams[0])
    codec = stream.codec_context
    if codec is None:
        raise InputError(f"{path} has a codec that FFmpeg cannot decode; convert it to H.264 first")
    if "enc_key_id" in stream.metadata:  # of WebM; MP4 says it with each packet
        raise encrypted(container)
    check_size(path, codec.width, codec.height)
    return stream
