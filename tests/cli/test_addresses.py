"""Addresses where a command takes only paths: none becomes a folder of that name."""

from pathlib import Path

import pytest
from clips import write_image

from vidcaption.cli import main


@pytest.mark.parametrize(
    "command",
    [
        ["report", "a.png", "--out-dir", "s3://b/x"],
        ["run", "a.png", "--manifest", "s3://b/x"],
        ["run", "a.png", "--log-file", "s3://b/x"],
        ["run", "a.png", "--index", "s3://b/x"],
        ["run", "a.png", "--model", "s3://b/x"],
        ["train", "s3://b/x", "--out", "model"],
        ["train", "data.csv", "--out", "s3://b/x"],
        ["evaluate", "default", "s3://b/x"],
    ],
)
def test_paths_only(
    command: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "a.png")
    assert main(command) == 2
    expected = "vidcaption: s3://b/x is an address, where only a path on this machine is allowed\n"
    assert capsys.readouterr().err == expected
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
