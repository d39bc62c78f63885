"""What ``--ray`` refuses, without starting Ray; ``tests/scale`` has the rest."""

import sys
from pathlib import Path

import pytest
from clips import write_image

from vidcaption.cli import main


@pytest.mark.parametrize("command", ["run", "index"])
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--ray-address", "auto"], "--ray-address needs --ray; add it, or remove --ray-address"),
        (["--ray-networks", "2"], "--ray-networks needs --ray; add it, or remove --ray-networks"),
        (["--ray", "--ray-networks", "0"], "--ray-networks is 0; it must be"),
        (["--ray", "--ray-address", "ray://head:10001"], "it must be auto, or HOST:PORT of the"),
        (["--ray", "--ray-address", "head"], "--ray-address is 'head'; it must be auto, or"),
        (["--ray", "--device", "cuda:0,cuda:1"], "--ray gives each process one device, and"),
    ],
)
def test_wrong_flags(
    command: str, flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = write_image(tmp_path / "a.png")
    assert main([command, str(image), *flags]) == 2
    assert message in capsys.readouterr().err


def test_the_address_in_the_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    assert main(["run", str(write_image(tmp_path / "a.png")), "--ray"]) == 2
    assert "RAY_ADDRESS is 'ray://head:10001'; it must be auto, or" in capsys.readouterr().err


def test_standard_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with write_image(tmp_path / "a.png").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert main(["run", "-", "--ray"]) == 2
    expected = "--ray captions files, and - is standard input; remove one of them"
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "index"])
def test_without_the_extra(
    command: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    image = write_image(tmp_path / "a.png")
    flags = ["-q", *(["--index", str(tmp_path / "index.sqlite")] if command == "index" else [])]
    assert main([command, str(image), "--ray", *flags]) == 3
    assert capsys.readouterr().err == (
        'vidcaption: --ray needs the extra "ray", and ray is not installed; '
        "pip install 'vidcaption[ray]'\n"
    )
