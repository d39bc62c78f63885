import sys
from pathlib import Path

import pytest

from vidcaption.errors import SetupError
from vidcaption.find.players import play
from vidcaption.find.search import Moment

MOMENT = Moment(Path("/videos/-a.mp4"), 4.5, 8.0, "A dog", 1.0, None, ())

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the players are shell scripts")


def install(folder: Path, name: str) -> Path:
    """A player that writes down what it was told."""
    path = folder / name
    path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{folder / "told"}"\necho noise\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("name, start", [("mpv", "--start=4.500"), ("vlc", "--start-time=4.500")])
def test_it_starts_at_the_moment(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    name: str,
    start: str,
) -> None:
    install(tmp_path, name)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr("shutil.which", lambda each: str(tmp_path / each) if each == name else None)
    play(MOMENT)
    assert (tmp_path / "told").read_text() == f"{start}\n/videos/-a.mp4\n"
    assert capfd.readouterr() == ("", "")


def test_without_a_player(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(SetupError, match="--open needs mpv or VLC, and neither is installed"):
        play(MOMENT)
