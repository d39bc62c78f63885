import errno
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from inspect import cleandoc
from pathlib import Path

import pytest
from runs import Apart, check_arguments

import vidcaption
from vidcaption.cli import main
from vidcaption.cli.app import Commands, Later
from vidcaption.options.base import flag_of
from vidcaption.options.batch import BatchOptions
from vidcaption.options.captioning import CaptionOptions, MachineOptions
from vidcaption.options.output import LogOptions, OutputOptions

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
    modules = {f"vidcaption.cli.commands.{each.name}" for each in SUBCOMMANDS}
    assert not (HEAVY | modules | {"vidcaption.cli.settings"}) & shown.loaded


def test_a_command_loads_no_other(tmp_path: Path) -> None:
    (tmp_path / "vidcaption.toml").write_text("[train]\nepochs = 2\n[run]\nbeam = 2\n")
    run = Apart("run", "missing.mp4", cwd=tmp_path)
    assert run.lines == ["vidcaption: no such file or folder: missing.mp4"]
    others = {f"vidcaption.cli.commands.{each.name}" for each in SUBCOMMANDS if each.name != "run"}
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


def test_help_names_the_exit_codes_and_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    told = {}
    for args in ([], ["evaluate"], ["find"], ["train", "--help-all"]):
        assert main(["help", *args] if "--help-all" not in args else args) == 0
        told[" ".join(args[:1])] = " ".join(capsys.readouterr().out.split())
    assert "Exit codes: 0 done, 1 some inputs failed, 2 wrong usage, 3 nothing can" in told[""]
    assert "[OPTIONS] {MODEL} {DATASET} Score" in told["evaluate"]
    assert "[OPTIONS] [QUERY] [FOLDER]... Search" in told["find"]
    assert "--mean R G B Normalization" in told["train"]


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_version(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([flag]) == 0
    assert capsys.readouterr().out == f"vidcaption {vidcaption.__version__}\n"


@pytest.mark.parametrize(
    ("args", "usage"),
    [
        ([], "vidcaption "), (["help"], "vidcaption "), (["help", "run"], "vidcaption run "),
        (["models"], "vidcaption models "), (["config"], "vidcaption config "),
        (["help", "models", "path"], "vidcaption models path "),
    ],
)  # fmt: skip
def test_help_where_it_is_wanted(
    args: list[str], usage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(args) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"Usage: {usage}") and err == ""


def test_a_file_that_looks_like_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-dash.mp4").touch()
    assert main(["run", "-dash.mp4", "--srt"]) == 2
    assert "; for the file write ./-dash.mp4, or -- before it (see" in capsys.readouterr().err
    for args in (["--", "-dash.mp4"], ["./-dash.mp4"]):
        assert main(["run", "--dry-run", *args]) == 0
        assert capsys.readouterr().out == "run   -dash.mp4\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["--srt"],
            "there is no option --srt; options follow a command: vidcaption run INPUT --srt (see",
        ),
        (["--versoin"], "there is no option --versoin; did you mean --version"),
        (["frobnicate"], "there is no command 'frobnicate'; known are config, doctor, evaluate,"),
        (["rnu"], "there is no command 'rnu'; did you mean run"),
        (["config", "foo"], "there is no command 'foo'; known is show"),
        (["models", "pth"], "there is no command 'pth'; did you mean path"),
        (["clip.mp4", "--srt"], "to caption clip.mp4, write: vidcaption run clip.mp4 --srt"),
        (["my clip.JPG"], "to caption my clip.JPG, write: vidcaption run 'my clip.JPG'"),
        (["/"], "to caption /, write: vidcaption run /"),
        (["-"], "to caption -, write: vidcaption run -"),
        (
            ["https://me:pw@a.b/c?d"],
            "to caption https://me:***@a.b/c?d, write: vidcaption run 'https://me:***@a.b/c?d'",
        ),
        (["run", "x", "--bean", "3"], "there is no option --bean; did you mean --beam"),
        (["run", "x", "--beam"], "--beam needs a value (see vidcaption run --help)"),
        (["run", "x", "--srt=1"], "--srt takes no value (see vidcaption run --help)"),
        (["run", "-x.mp4"], "there is no option -x (see vidcaption run --help)"),
        (["doctor", "x", "y"], "the command does not take x y (see vidcaption doctor --help)"),
        (["run"], "no INPUT is given; name videos or folders, or a list of them with --from-file"),
        (["status"], "MANIFEST is missing (see vidcaption status --help)"),
        (["run", "x", "--beam", "1.5"], "--beam is '1.5'; it must be a whole number"),
        (["run", "x", "--beam", "0"], "--beam is 0; it must be at least 1 and at most 50"),
        (["run", "x", "--segment", "odd"], "--segment is 'odd'; allowed are auto, fixed, scenes"),
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
    monkeypatch.setattr("vidcaption.batch.inputs.discover", broken)
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
        monkeypatch.setattr("vidcaption.batch.inputs.discover", raise_(error))
        assert main(["run", "x"]) == 3
        err = capsys.readouterr().err
        assert err.startswith("vidcaption: this process may not open as many files as it needs;")


def test_debug_lets_unexpected_errors_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidcaption.batch.inputs.discover", raise_(RuntimeError("it broke")))
    monkeypatch.setenv("VIDCAPTION_DEBUG", "1")
    with pytest.raises(RuntimeError, match="it broke"):
        main(["run", "x"])


def test_interrupt(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("vidcaption.batch.inputs.discover", raise_(KeyboardInterrupt()))
    assert main(["run", "x"]) == 130
    assert capsys.readouterr() == ("", "")


def test_module_is_the_command() -> None:
    command = [sys.executable, "-m", "vidcaption", "run", "missing.mp4"]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert result.returncode == 2
    assert result.stderr == "vidcaption: no such file or folder: missing.mp4\n"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_fits_and_ends_in_examples_that_work(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """On a screen of 50 lines of 80 characters."""
    assert main([*words, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 50
    assert sum(line.startswith("  -") for line in lines) <= 12 or words == ["models"]
    if words[0] in ("models", "config") and len(words) == 1:
        return
    examples = lines[lines.index("Examples:") + 1 :]
    assert examples
    for example in examples:
        [command] = re.findall(r"vidcaption (.+?)(?=    |\)$|$)", example)
        check_arguments(shlex.split(command))


def test_help_all_shows_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"]) == 0
    short = capsys.readouterr().out
    assert "--beam" not in short and "Exit codes" not in short and "--help-all" in short
    assert main(["run", "--help-all"]) == 0
    whole = capsys.readouterr().out
    assert "Exit codes" in whole
    for kind in (OutputOptions, BatchOptions, CaptionOptions, MachineOptions, LogOptions):
        assert all(flag_of(f) in whole for f in fields(kind))


@pytest.mark.parametrize(
    ("no_color", "force_color", "coloured"),
    [("", "", False), ("", "1", True), ("1", "1", False), ("1", "", False)],
)
@pytest.mark.parametrize("args", [["--help"], ["run", "--help-all"], ["models", "--help"]])
def test_help_in_colour(
    args: list[str],
    no_color: str,
    force_color: str,
    coloured: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("FORCE_COLOR", force_color)
    main(args)
    out = capsys.readouterr().out
    assert ("\x1b[1mOptions:\x1b[0m" in out) is coloured
    assert ("\x1b[" in out) is coloured
