"""``vidcaption`` as tests run it: here, or in a process of its own that tells what it loaded."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from vidcaption.cli import main
from vidcaption.cli.app import Group, Later, app

# two windows
QUICK = ["--beam", "1", "--frames", "1", "--max-words", "6", "--window", "1", "--end", "2"]
LOADED = """
import sys
from vidcaption.cli import main
try:
    sys.exit(main(sys.argv[1:]))
finally:
    print(*sys.modules, file=sys.stderr)
"""


class Run:
    """What one ``vidcaption run`` did."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *args: str) -> None:
        self.code = main(["run", *QUICK, *args])
        self.out, self.err = capsys.readouterr()
        self.lines = self.err.splitlines()


class Apart:
    """What one command did in a process of its own. ``loaded``: the modules it had at the end."""

    def __init__(self, *args: str, cwd: Path, environment: dict[str, str] | None = None) -> None:
        command = [sys.executable, "-c", LOADED, *args]
        result = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)
        *lines, modules = result.stderr.splitlines()
        self.code, self.out, self.lines = result.returncode, result.stdout, lines
        self.loaded = set(modules.split())


def install(folder: Path) -> Path:
    """``vidcaption`` in ``folder``, as a shell finds it: that of this checkout."""
    folder.mkdir(exist_ok=True)
    path = folder / "vidcaption"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m vidcaption "$@"\n')
    path.chmod(0o755)
    return path


def command_of(args: list[str]) -> Any:
    """The command that ``args`` begin with, whose words are taken off."""
    command: Any = typer.main.get_command(app)
    while isinstance(command, Group):
        command = command.commands[args.pop(0)]
        command = command.real if isinstance(command, Later) else command
    return command


def check_arguments(args: list[str]) -> None:
    """Raise an error of Typer's for an option or a number of arguments that does not exist."""
    command = command_of(args)
    context = command.make_context(command.name, [*args], resilient_parsing=True)
    context.resilient_parsing = False
    assert command.make_parser(context).parse_args([*args])[1] == []


def all_options() -> set[str]:
    """The flags of every command."""
    found: set[str] = set()
    commands: list[Any] = [typer.main.get_command(app)]
    while commands:
        command = commands.pop()
        command = command.real if isinstance(command, Later) else command
        commands += getattr(command, "commands", {}).values()
        context = typer.Context(command)
        for each in command.get_params(context):
            found |= {*each.opts, *each.secondary_opts}
    return found
