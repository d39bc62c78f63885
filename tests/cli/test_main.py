import errno
import os
import subprocess
import sys
from collections.abc import Callable
from inspect import cleandoc
from pathlib import Path

import pytest
from runs import Apart

import vidcaption
from vidcaption.cli import main
from vidcaption.cli.app import Commands, Later

HEAVY = {"torch", "torchvision", "numpy", "cv2", "av", "huggingface_hub", "rich", "pydantic"}
SUBCOMMANDS = [each for each in Commands().commands.values() if isinstance(each, Later)]
COMMANDS = [
    [str(each.name), *words]
    for each in SUBCOMMANDS
    for words in [[], *([name] for name in getattr(each.real, "commands", {}))]
]


@pytest.mark.parametrize("words", COMMANDS)
def test_help_loads_no_heavy_library(words: list[str], tmp_path: Path) -> None:
    help = Apart(*words, "--help", cwd=tmp_path)
    assert (help.code, help.lines) == (0, []) and f"Usage: vidcaption {words[0]}" in help.out
    assert HEAVY & help.loaded == set()


@pytest.mark.parametrize("args", [[], ["--help"], ["--version"]])
def test_what_concerns_all_commands_loads_none(args: list[str], tmp_path: Path) -> None:
    shown = Apart(*args, cwd=tmp_path)
    assert (shown.code, shown.lines) == (0, []) and "vidcaption" in shown.out
    modules = {f"vidcaption.cli.{each.name}" for each in SUBCOMMANDS}
    assert not (HEAVY | modules | {"vidcaption.cli.configured"}) & shown.loaded


def test_a_command_loads_no_other(tmp_path: Path) -> None:
    (tmp_path / "vidcaption.toml").write_text("[train]\nepochs = 2\n[run]\nbeam = 2\n")
    run = Apart("run", "missing.mp4", cwd=tmp_path)
    assert run.lines == ["vidcaption: no such file or folder: missing.mp4"]
    others = {f"vidcaption.cli.{each.name}" for each in SUBCOMMANDS if each.name != "run"}
    assert not others & run.loaded


@pytest.mark.parametrize("command", SUBCOMMANDS, ids=lambda command: str(command.name))
def test_a_command_is_listed_as_it_tells_of_itself(command: Later) -> None:
    said = cleandoc(command.real.help).partition("\n\n")[0]
    assert " ".join(said.split()) == command.short_help


def test_a_run_of_the_default_model_loads_no_more_than_it_needs(tmp_path: Path) -> None:
    clip = Path(__file__).parents[2] / "examples/clip.mp4"
    run = Apart("run", str(clip), "--end", "4", "--quiet", cwd=tmp_path)
    assert (run.code, run.lines) == (0, []) and run.out.startswith("[00:00.000 --> 00:04.000] ")
    needless = {"torchvision", "torch._dynamo", "sympy", "scenedetect", "cv2", "httpx2", "rich"}
    assert "torch" in run.loaded and not needless & run.loaded


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"vidcaption {vidcaption.__version__}\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--frobnicate"], "No such option: --frobnicate (see vidcaption --help)"),
        (["frobnicate"], "No such command 'frobnicate' (see vidcaption --help)"),
        (["run"], "no INPUT is given; name videos or folders, or a list of them with --from-file"),
        (["status"], "Missing argument 'MANIFEST' (see vidcaption status --help)"),
        (["run", "x", "--beam", "1.5"], "Invalid value for '--beam'"),
        (["run", "x", "--beam", "0"], "--beam is 0; it must be at least 1 and at most 50"),
        (["run", "x", "--segment", "odd"], "Invalid value for '--segment'"),
    ],
)
def test_wrong_commands(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"vidcaption: {message}") and err.count("\n") == 1


def raise_(error: BaseException) -> Callable[..., None]:
    def discover(*args: object, **kwargs: object) -> None:
        raise error

    return discover


def test_unexpected_errors_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = raise_(RuntimeError("it\nbroke \x1b[31m"))
    monkeypatch.setattr("vidcaption.cli.selection.discover", broken)
    assert main(["run", "x"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("vidcaption: unexpected RuntimeError: it broke \\u001b[31m. This is a")
    assert err.count("\n") == 1 and "please report" in err


def test_too_few_open_files_are_no_defect(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error in (
        OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
        RuntimeError("unable to open file <x>: Too many open files (24)"),  # as PyTorch says it
    ):
        monkeypatch.setattr("vidcaption.cli.selection.discover", raise_(error))
        assert main(["run", "x"]) == 3
        err = capsys.readouterr().err
        assert err.startswith("vidcaption: this process may not open as many files as it needs;")


def test_debug_lets_unexpected_errors_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidcaption.cli.selection.discover", raise_(RuntimeError("it broke")))
    monkeypatch.setenv("VIDCAPTION_DEBUG", "1")
    with pytest.raises(RuntimeError, match="it broke"):
        main(["run", "x"])


def test_interrupt(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("vidcaption.cli.selection.discover", raise_(KeyboardInterrupt()))
    assert main(["run", "x"]) == 130
    assert capsys.readouterr() == ("", "")


def test_module_is_the_command() -> None:
    command = [sys.executable, "-m", "vidcaption", "run", "missing.mp4"]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert result.returncode == 2
    assert result.stderr == "vidcaption: no such file or folder: missing.mp4\n"
