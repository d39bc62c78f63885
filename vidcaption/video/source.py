"""What can be watched while it is filmed: cameras, network streams, growing files, a pipe."""

import errno
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import av
from av.container import InputContainer
from av.error import (
    ArgumentError,
    ExitError,
    FFmpegError,
    HTTPUnauthorizedError,
    InvalidDataError,
)
from av.video.stream import VideoStream

from vidcaption.errors import InputError, UsageError
from vidcaption.reasons import ADDRESS, of_system
from vidcaption.video.container import MAX_PIXELS, PROTOCOL, TEXTS_AND_LISTS, best_stream
from vidcaption.video.names import pipe_hint

# Schemes of addresses, and whether they need a port. A server chooses what FFmpeg opens next (the
# parts of an HLS stream), which must not be a file.
SCHEMES = {
    "rtsp": False, "rtsps": False, "rtmp": False, "rtmps": False, "http": False, "https": False,
    "udp": True, "tcp": True, "rtp": True,
}  # fmt: skip
ANALYSIS_S = 5.0  # of a stream, at its beginning: FFmpeg's default
_NETWORK = ",".join([*SCHEMES, "tls", "rtcp", "httpproxy", "hls", "crypto", "data"])
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}:none")}


@dataclass(frozen=True)
class Source:
    """``name``: for messages, without a password. ``address``, ``format``, ``options``: FFmpeg's.

    ``grows``: whether it is a file. ``once``: whether it cannot be opened again.
    """

    name: str
    address: str
    options: dict[str, str] = field(default_factory=dict)
    format: str | None = None
    grows: bool = False
    once: bool = False

    @classmethod
    def of(cls, text: str) -> "Source":
        """The source that a user names. Raises UsageError if there is no such thing."""
        if not text:
            raise UsageError("SOURCE is empty; name a camera, an address, or - for standard input")
        if text == "-":
            return cls("standard input", "pipe:0", {"protocol_whitelist": "pipe"}, once=True)
        if text.isascii() and text.isdigit():
            return cls._camera(text)
        if (found := _ADDRESS.match(text)) and not os.path.exists(text):
            return cls._at(text, found[1].lower())
        return cls._file(text)

    @classmethod
    def _camera(cls, number: str) -> "Source":
        if sys.platform not in _CAMERAS:
            raise UsageError(
                f"cameras have no numbers on this system, and SOURCE is {number}; "
                "name the address of a stream"
            )
        format, address = _CAMERAS[sys.platform]
        address = address.format(int(number))
        if format == "v4l2" and not os.path.exists(address):
            raise UsageError(f"there is no camera {number}: {address} does not exist")
        return cls(f"camera {number}", address, format=format)

    @classmethod
    def _at(cls, text: str, scheme: str) -> "Source":
        if scheme not in SCHEMES:
            raise UsageError(
                f"SOURCE is an address of {scheme}://, which is not supported; "
                f"allowed are {', '.join(SCHEMES)}"
            )
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise UsageError(f"SOURCE is not a valid address; {ADDRESS}") from error
        name = text
        if parts.password:
            name = text.replace(f":{parts.password}@", ":***@", 1)
        if SCHEMES[scheme] and port is None:
            raise UsageError(f"{name} needs a port, such as {scheme}://192.168.1.5:5000")
        if parts.hostname is None and scheme not in ("udp", "rtp"):
            raise UsageError(f"{name} names no host; correct it")
        options = {
            "protocol_whitelist": _NETWORK,
            "rtsp_flags": "prefer_tcp",  # which loses nothing
            "overrun_nonfatal": "1",  # of UDP: lose packets rather than end
        }
        return cls(name, text, options)

    @classmethod
    def _file(cls, text: str) -> "Source":
        try:
            mode = os.stat(text).st_mode
        except OSError as error:
            raise UsageError(
                f"{text} cannot be opened ({(error.strerror or '').lower()}); SOURCE is a camera's "
                "number, a device, an address such as rtsp://, or a file that is being written"
            ) from error
        if stat.S_ISCHR(mode):
            return cls(text, text, format="v4l2")
        if stat.S_ISFIFO(mode):
            raise UsageError(pipe_hint(text).replace("vidcaption run -", "vidcaption live -"))
        if not stat.S_ISREG(mode):
            raise UsageError(f"{text} is a folder; name a file that is being written")
        # FFmpeg would look for an end, and wait for it
        options = {"protocol_whitelist": "file", "follow": "1", "seekable": "0"}
        return cls(text, PROTOCOL + text, options, grows=True)

    @contextmanager
    def connect(self, timeout_s: float) -> Iterator[tuple[InputContainer, VideoStream]]:
        """Its container and video stream, which wait ``timeout_s`` at most for data.

        Raises InputError.
        """
        # an interrupted analysis would leave it unusable
        analysis_s = min(ANALYSIS_S, timeout_s / 2)
        try:
            container = av.open(
                self.address,
                format=self.format,
                options={"max_pixels": str(MAX_PIXELS)},
                container_options={
                    "format_whitelist": ",".join(av.formats_available - TEXTS_AND_LISTS),
                    "analyzeduration": str(round(analysis_s * 1e6)),
                    **self.options,
                },
                metadata_errors="replace",
                timeout=(timeout_s, timeout_s),
            )
        except (OSError, FFmpegError) as error:
            raise InputError(self.why(error, timeout_s)) from error
        with container:
            yield container, best_stream(self.name, container)

    def size(self) -> int:
        """Bytes of a file, which were there before; 0 of anything else."""
        return os.path.getsize(self.address.removeprefix(PROTOCOL)) if self.grows else 0

    def why(self, error: OSError | FFmpegError, timeout_s: float) -> str:
        """A sentence that says why it cannot be opened, or read any further."""
        match error:
            case ExitError() if self.grows:
                return f"{self.name} has not grown for {timeout_s:g} s"
            case ExitError():
                return f"{self.name} has sent nothing for {timeout_s:g} s"
            case ConnectionRefusedError():
                return f"{self.name} refuses the connection (is it on, and the port right?)"
            case HTTPUnauthorizedError():
                return f"{self.name} needs a user name and password: SCHEME://USER:PASSWORD@HOST/"
            case InvalidDataError() | ArgumentError() | EOFError():
                return f"{self.name} gives no video that FFmpeg can read"
        if error.errno == errno.ENOTTY:
            return f"{self.name} is not a camera"
        if error.errno == errno.EIO:
            return f"{self.name} cannot be reached (is its name right, and the network up?)"
        return f"{self.name} cannot be read: {of_system(error).lower()}"
