"""Opens a video file and says what is wrong with it, in one sentence, if it cannot be opened."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.error import ArgumentError, FFmpegError, InvalidDataError
from av.stream import Disposition
from av.video.stream import VideoStream

from vidcaption.errors import InputError
from vidcaption.options import VideoDecoder
from vidcaption.video.names import address_hint, is_address, pipe_hint

MAX_SIDE = 16_384  # pixels
MAX_PIXELS = 2**27  # 134 million in a frame: 400 MB as RGB
# Lists of other files, which FFmpeg may wait for without end, and text, which it draws as video.
REFUSED = {"hls", "dash", "concat", "sdp", "imf"} | {"tty", "bin", "xbin", "idf", "adf"}


@contextmanager
def open_video(
    path: str, decoder: VideoDecoder = "cpu"
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its best video stream. FFmpeg may open local files only.

    Where a GPU cannot be had, or does not know the codec, the CPU decodes. Raises InputError if the
    file is not a video. PyAV keeps FFmpeg silent unless told otherwise.
    """
    try:
        _check_file(path)
        container = _open(path, decoder)
    except (OSError, FFmpegError) as error:
        raise _unreadable(path, error) from error
    with container:
        yield container, _best_stream(path, container)


def undecodable(path: str) -> InputError:
    """The error of a video without a single frame."""
    return InputError(
        f"{path} has no frame that FFmpeg can decode; it may be damaged, cut off, "
        f"an animated WebP, or over {MAX_PIXELS / 1e6:.0f} million pixels in size"
    )


def is_still(container: InputContainer, stream: VideoStream) -> bool:
    """Whether this is an image: FFmpeg reads those as videos of one frame at 25 per second."""
    name = container.format.name
    alone = stream.frames == 1 and (name == "gif" or said_duration(container, stream) is None)
    return name == "image2" or name.endswith("_pipe") or alone


def said_duration(container: InputContainer, stream: VideoStream) -> float | None:
    """Seconds of video as the container says, or None."""
    if stream.duration and stream.time_base:
        said_s = float(stream.duration * stream.time_base)
    else:
        # Matroska's duration counts from zero, and the stream may start later.
        late = container.start_time if container.format.name.startswith("matroska") else 0
        said_s = ((container.duration or 0) - max(late or 0, 0)) / av.time_base
    return said_s if said_s > 0 else None


def _open(path: str, decoder: VideoDecoder) -> InputContainer:
    if decoder != "cpu":
        with suppress(FFmpegError):
            return _open_with(path, HWAccel(decoder))
    return _open_with(path, None)


def _open_with(path: str, hardware: HWAccel | None) -> InputContainer:
    return av.open(
        "file:" + path,  # or FFmpeg would take `10:30.mp4` for a protocol
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
    """Raise OSError or InputError unless this is a file that may be read, with something in it."""
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        os.scandir(path).close()  # one that may be listed was named by mistake
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
            f"{path} has more than FFmpeg's 1,000 streams, or takes more memory than there is; it "
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
    return InputError(f"{path} is not a video, or is too damaged to be recognised as one")


def _best_stream(path: str, container: InputContainer) -> VideoStream:
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
    if max(codec.width, codec.height) > MAX_SIDE or codec.width * codec.height > MAX_PIXELS:
        raise InputError(
            f"{path} has frames of {codec.width}x{codec.height} pixels; scale it down to at most "
            f"{MAX_SIDE} per side and {MAX_PIXELS / 1e6:.0f} million in all"
        )
    return stream
