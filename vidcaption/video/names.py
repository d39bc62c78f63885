"""Checks of an input that do not open it."""

import os
import re
import shlex
import stat

_ADDRESS = re.compile(r"(https?|ftps?|rtsp|rtmps?|s3|gs):/+(.*)", re.IGNORECASE | re.DOTALL)


def is_address(name: str) -> bool:
    """Whether it is a network address rather than the name of a file."""
    return _ADDRESS.match(name) is not None and not os.path.exists(name)


def address_hint(name: str) -> str:
    """What to do with an address."""
    name = _ADDRESS.sub(r"\1://\2", name)  # a path has only one slash
    return (
        f"{name} is an address, and vidcaption reads files; download it first, for example with "
        f"yt-dlp -f mp4 -o clip.mp4 {shlex.quote(name)}"
    )


def is_pipe(name: str) -> bool:
    """Whether it is a FIFO or a process substitution. Raises OSError if it does not exist."""
    return stat.S_ISFIFO(os.stat(name).st_mode)


def pipe_hint(name: str) -> str:
    """What to do with a pipe."""
    return (
        f"{name} is a pipe, which can be read only once; save the video to a file first, or pipe "
        "it into vidcaption run -"
    )
