"""What ``vidcaption serve`` says before it serves."""

import socket
from pathlib import Path

import pytest
from filelock import FileLock
from runs import Apart
from tiny import write_tiny

from vidcaption.cli import main

pytest.importorskip("uvicorn", reason='the extra "serve" is not installed')


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (["--host", "0.0.0.0"], 2, "which other machines can reach; give --token"),
        (["--host", "nowhere.invalid", "--token", "x" * 16], 2, "there is no host of that name"),
        (["--host", "999.1.1.1"], 2, "'999.1.1.1', and there is no host of that name; give an"),
        (["--host", "a..b"], 2, "there is no host of that name"),
        (["--host", "192.0.2.1", "--token", "x" * 16], 3, "this machine has no such address; give"),
        (["--token", "short"], 2, "--token must have at least 16 characters"),
        (["--token", "é" * 16], 2, "--token must have at least 16 characters"),
        (["--port", "99999"], 2, "--port is 99999; it must be at least 0 and at most 65535"),
        (["none"], 2, "no such folder: none"),
        (["--device", "cuda:0,cuda:1"], 2, "serve uses one"),
        (["--port", "0", "--model", "none"], 3, "none"),
    ],
)
def test_wrong_commands(
    args: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *args]) == code
    out, err = capsys.readouterr()
    assert told in err and out == "" and len(err.splitlines()) == 1


def test_what_is_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = [
        "serve",
        "--model",
        str(write_tiny(tmp_path / "tiny")),
        "--data",
        str(tmp_path / "data"),
    ]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main([*args, "--port", str(taken.getsockname()[1])]) == 3
    assert "the port is in use; choose another, or stop what uses it" in capsys.readouterr().err
    (tmp_path / "data").mkdir()
    with FileLock(tmp_path / "data" / "lock"):
        assert main([*args, "--port", "0"]) == 3
    assert "is in use by another vidcaption serve; stop that one" in capsys.readouterr().err
    (tmp_path / "file").write_text("x")
    assert main([*args, "--port", "0", "--data", str(tmp_path / "file")]) == 3
    assert "cannot be written: " in capsys.readouterr().err


def test_help_loads_nothing(tmp_path: Path) -> None:
    done = Apart("serve", "--help", cwd=tmp_path)
    assert done.code == 0 and "vidcaption serve ~/Videos" in done.out
    assert not {"torch", "av", "cv2", "starlette", "uvicorn"} & done.loaded


def test_config_does_not_show_the_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIDCAPTION_SERVE_TOKEN", "a token that nobody knows")
    for more in ((), ("--json",)):
        assert main(["config", "show", "serve", *more]) == 0
        out, _ = capsys.readouterr()
        assert "nobody" not in out and "(hidden)" in out and "VIDCAPTION_SERVE_TOKEN" in out
