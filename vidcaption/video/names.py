"""Checks of an input that do not open it."""

import os
import shlex
import stat


def page_hint(name: str) -> str:
    """What to do with the address of a web page."""
    return (
        f"{name} is a web page, and no video; name the address of the file itself, or download it "
        f"first, for example with yt-dlp -f mp4 -o clip.mp4 {shlex.quote(name)}"
    )


def files_only(name: str) -> str:
    """What to do with an address where only files of this machine are taken."""
    return (
        f"{name} is an address, and this command reads files; download it first (vidcaption run "
        "reads addresses)"
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
