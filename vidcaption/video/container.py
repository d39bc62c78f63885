"""Opens a video file, or explains in one sentence why it cannot be opened."""

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from io import BufferedReader
from typing import BinaryIO

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.error import ArgumentError, FFmpegError, InvalidDataError
from av.stream import Disposition
from av.video.stream import VideoStream

from vidcaption.addresses import Address, is_address
from vidcaption.errors import InputError, SetupError, UsageError
from vidcaption.options.captioning import VideoDecoder
from vidcaption.reasons import of_system
from vidcaption.remote import PAGE_TYPES, RemoteError, RemoteFile, open_binary
from vidcaption.video.clock import origin_of
from vidcaption.video.names import page_hint, pipe_hint

PROTOCOL = "file:"
MAX_SIDE = 16_384  # pixels
MAX_PIXELS = 2**27  # 134 million in a frame: 400 MB as RGB
# Text, which FFmpeg renders as video, lists of other files, and of streams, for which it may wait
# forever.
TEXTS_AND_LISTS = {"tty", "bin", "xbin", "idf", "adf", "concat", "sdp", "imf"}
REFUSED = TEXTS_AND_LISTS | {"hls", "dash"}
_NO_SUFFIX = "#"  # after it, or FFmpeg's reader of pictures by name would open a file of that name


@contextmanager
def open_video(
    path: str, decoder: VideoDecoder = "cpu"
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its best video stream; ``path`` may be an address, with its secrets, which
    is read by ranges. FFmpeg itself may open local files only.

    If there is no GPU, or it does not support the codec, the CPU decodes. Raises InputError if the
    file is not a video. PyAV silences FFmpeg by default.
    """
    with ExitStack() as stack:
        source = stack.enter_context(open_remote(path)) if is_address(path) else None
        try:
            if source is None:
                _check_file(path)
            container = stack.enter_context(_open(path, source, decoder))
        except (OSError, FFmpegError) as error:
            raise _unreadable(path, source, error) from error
        try:
            yield container, best_stream(path, container)
        except RemoteError as error:
            raise _broken_off(path, error) from error
        if source is not None and source.failure is not None:  # FFmpeg took it for the end
            raise _broken_off(path, source.failure) from source.failure


def open_bytes(path: str) -> BinaryIO:
    """A file or an address, for reading in binary mode. Raises OSError."""
    if is_address(path):
        return BufferedReader(open_binary(Address(path)))
    return open(path, "rb")


def open_remote(path: str) -> RemoteFile:
    """The file at an address, which is not empty. Until it is closed, what was read of it is shared
    with whoever opens it. Raises InputError."""
    try:
        source = open_binary(Address(path))
    except (SetupError, UsageError) as error:
        raise InputError(str(error)) from error
    except RemoteError as error:
        if error.errno == errno.EISDIR:
            raise InputError(f"{path} is a folder; name the videos in it") from error
        raise _broken_off(path, error) from error
    if source.kind in PAGE_TYPES or source.size == 0:
        source.close()
        raise InputError(
            f"{path} is empty; upload it again" if source.size == 0 else page_hint(path)
        )
    source.name = f"{path}{_NO_SUFFIX}"
    return source


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
    path = container.name.removeprefix(PROTOCOL).removesuffix(_NO_SUFFIX)
    return InputError(f"{path} is encrypted (DRM); only a copy without encryption can be captioned")


def check_size(path: str, width: int, height: int) -> None:
    """Raise InputError for pictures with too many pixels."""
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise InputError(
            f"{path} has frames of {width}x{height} pixels; scale it down to at most "
            f"{MAX_SIDE} per side and {MAX_PIXELS / 1e6:.0f} million in all"
        )


def _open(path: str, source: RemoteFile | None, decoder: VideoDecoder) -> InputContainer:
    if decoder != "cpu":
        with suppress(FFmpegError):
            return _open_with(path, source, HWAccel(decoder))
    return _open_with(path, source, None)


def _open_with(path: str, source: RemoteFile | None, hardware: HWAccel | None) -> InputContainer:
    if source is not None:
        source.seek(0)
    return av.open(  # type: ignore[return-value]  # for reading, by default
        source or PROTOCOL + path,  # or FFmpeg would read `10:30.mp4` as a protocol
        options={"max_pixels": str(MAX_PIXELS)},
        container_options={
            "protocol_whitelist": "none" if source else "file",
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


def _broken_off(path: str, error: RemoteError) -> InputError:
    return InputError(f"{path} cannot be read: {error.strerror}")


def _unreadable(path: str, source: RemoteFile | None, error: OSError | FFmpegError) -> InputError:
    if source is not None and source.failure is not None:
        return _broken_off(path, source.failure)
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
        return InputError(f"{path} cannot be read: {of_system(error).lower()}")
    with open_bytes(path) as file:
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
