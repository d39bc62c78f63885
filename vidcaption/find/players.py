"""Plays a moment in an installed video player."""

import shutil
import subprocess
import sys
from pathlib import Path

from vidcaption.errors import SetupError
from vidcaption.find.search import Moment

_MAC_VLC = "/Applications/VLC.app/Contents/MacOS/VLC"


def play(moment: Moment) -> None:
    """Play a video from a moment until the player is closed. Raises SetupError without one."""
    command = _command(moment)
    try:
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    except OSError as error:
        raise SetupError(f"{command[0]} cannot be run: {error.strerror}") from error


def _command(moment: Moment) -> list[str]:
    """Paths are absolute, so that none is parsed as an option."""
    path, start = str(moment.path), f"{moment.start_s:.3f}"
    if mpv := shutil.which("mpv"):
        return [mpv, f"--start={start}", path]
    vlc = shutil.which("vlc")
    if vlc is None and sys.platform == "darwin" and Path(_MAC_VLC).exists():
        vlc = _MAC_VLC
    if vlc is not None:
        return [vlc, f"--start-time={start}", path]
    raise SetupError("--open needs mpv or VLC, and neither is installed; install one of them")
