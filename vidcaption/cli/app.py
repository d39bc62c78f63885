"""The ``vidcaption`` command, its subcommands, and the messages for usage errors."""

import os
import re
import shlex
from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from pathlib import PurePath
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from vidcaption.addresses import Address, is_address
from vidcaption.cli.help import Helped, HelpedCommand, helped
from vidcaption.errors import SetupError, UsageError
from vidcaption.options.base import nearest
from vidcaption.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from vidcaption.version import __version__

_TOO_MANY = re.compile(r"Got unexpected extra argument.*? \((.*)\)")


def video_as_command(name: str, rest: Sequence[str]) -> str | None:
    """The message if a command is the name of a file: ``vidcaption clip.mp4``."""
    if is_address(name):
        name = str(Address(name))  # without secrets
        return f"to caption {name}, write: vidcaption run {shlex.join([name, *rest])}"
    known = PurePath(name).suffix.casefold() in VIDEO_SUFFIXES | IMAGE_SUFFIXES
    if known or name == "-" or os.path.exists(name):
        return f"to caption {name}, write: vidcaption run {shlex.join([name, *rest])}"
    return None


def explained(error: Any, args: Sequence[str]) -> str:
    """The message for an error of Typer, without a full stop. ``args``: of the command."""
    label = _label(error.param) if getattr(error, "param", None) else ""
    message: str = error.format_message().rstrip(".")
    match type(error).__name__:  # the classes are not public
        case "NoSuchOption":
            message = f"there is no option {error.option_name}"
            if error.possibilities:
                message += f"; did you mean {' or '.join(error.possibilities)}"
            if error.ctx is not None and error.ctx.parent is None:
                message += f"; options follow a command: vidcaption run INPUT {error.option_name}"
        case "MissingParameter":
            message = f"{label} is missing"
        case "BadOptionUsage":
            several = re.search(r"\d+", message.removeprefix(error.option_name))
            needs = f"needs {several[0]} values" if several else "needs a value"
            taken = "takes no value" if "not take" in message else needs
            message = f"{error.option_name} {taken}"
        case "BadParameter":
            message = f"{label} is wrong: {error.message.rstrip('.')}"
    if extra := _TOO_MANY.search(message):
        message = f"the command does not take {extra[1]}"
    if message == "Missing command":
        message = "a command is missing"
    dashed = [arg for arg in args if arg.startswith("-") and os.path.exists(arg)]
    return message + (f"; for the file write ./{dashed[0]}, or -- before it" if dashed else "")


def _label(parameter: Any) -> str:
    """The flags of an option, or the name of an argument in the help."""
    if parameter.param_type_name == "option":
        return " / ".join(parameter.opts)
    return str(parameter.metavar or parameter.name.upper())


class Group(Helped, TyperGroup):
    """A command with subcommands, each listed with the first sentence of its help."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for command in self.commands.values():
            command.short_help = (command.help or "").partition("\n\n")[0]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Without a subcommand, show the help."""
        return super().parse_args(ctx, args or ["--help"])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Raises UsageError for a subcommand that does not exist."""
        if args[0] not in self.commands and not ctx.resilient_parsing:
            raise UsageError(self.unknown(*args))
        return super().resolve_command(ctx, args)

    def unknown(self, name: str, *args: str) -> str:
        """The message for a subcommand that does not exist."""
        return f"there is no command {name!r}; {nearest(name, self.commands)}"

    def get_params(self, ctx: Any) -> Any:
        """The options; a switch that is not given is False, and not None.

        Typer would validate None with Pydantic, whose import takes longer than everything else.
        """
        params = super().get_params(ctx)
        for each in params:
            if isinstance(each, TyperOption) and each.is_flag and each.default is None:
                each.default = False
        return params


class Later(TyperCommand):
    """A subcommand that is imported when it is used, so that others need not load it.

    Its module defines it under its name: a function, or a Typer app with subcommands.
    ``help``: one sentence, the first of the function's docstring. ``configured``: whether files and
    the environment may set its options.
    """

    def __init__(self, name: str, help: str, *, configured: bool = False) -> None:
        super().__init__(name, short_help=help)
        self.configured = configured

    @cached_property
    def real(self) -> Any:
        """The actual command. It loads neither PyTorch nor a video library before it is called."""
        name = self.name or ""
        declared = getattr(import_module(f"vidcaption.cli.commands.{name}"), name)
        holder = typer.Typer(rich_markup_mode=None)
        if isinstance(declared, typer.Typer):
            holder.add_typer(declared, name=name, cls=Group, help=self.short_help)
        elif self.configured:
            from vidcaption.cli.settings import ConfiguredCommand

            holder.command(name, cls=ConfiguredCommand)(declared)
        else:
            holder.command(name, cls=HelpedCommand)(declared)
        return typer.main.get_group(holder).commands[name]

    def make_context(self, *args: Any, **attributes: Any) -> Any:
        """The context of the actual command, which parses the arguments and is invoked."""
        return self.real.make_context(*args, **attributes)


class Commands(Group):
    """All subcommands, in the order of the help."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for command in (
            Later(
                "run",
                "Caption videos: write files next to them, or print lines if no format is given.",
                configured=True,
            ),
            Later(
                "mux",
                "Put captions into copies of videos, as a subtitle track or drawn.",
                configured=True,
            ),
            Later(
                "report",
                "Write a web page for each video: a player with captions, thumbnails and a search.",
                configured=True,
            ),
            Later(
                "find",
                "Search indexed videos for moments, by what is seen in them.",
                configured=True,
            ),
            Later(
                "index",
                "Caption new files in folders, for vidcaption find.",
                configured=True,
            ),
            Later(
                "live",
                "Caption a camera or a stream while it is filmed, with the time of day.",
                configured=True,
            ),
            Later(
                "serve",
                "Caption videos for browsers and programs: a page, and an HTTP API.",
                configured=True,
            ),
            Later(
                "features",
                "Compute the CNN's features of a dataset, for any number of trainings.",
                configured=True,
            ),
            Later(
                "train",
                "Train a model on images and videos with captions, labels or scores.",
                configured=True,
            ),
            Later(
                "evaluate",
                "Score what a model says: captions by BLEU, METEOR, ROUGE-L and CIDEr, labels by "
                "accuracy, F1 and ROC curves, scores by correlation.",
                configured=True,
            ),
            Later(
                "status",
                "Summarize the manifests of runs, and list the inputs that failed.",
            ),
            Later("models", "List, fetch, check, remove and publish models."),
            Later("config", "Show the options set by files and the environment."),
            Later(
                "doctor",
                "Check that this installation works, and say what to do if not.",
            ),
        ):
            self.add_command(command)

    def unknown(self, name: str, *args: str) -> str:
        """``vidcaption clip.mp4`` means ``vidcaption run clip.mp4``."""
        return video_as_command(name, args) or super().unknown(name, *args)


# Plain help: the module that formats it with Rich takes longer to import than everything else.
app = typer.Typer(
    cls=Commands,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(asked: bool) -> None:
    if asked:
        from vidcaption.cli.console import put

        put(f"vidcaption {__version__}\n")
        raise typer.Exit


@app.callback()
@helped("""
    vidcaption run clip.mp4               print what is seen, with times
    vidcaption run clip.mp4 --srt         write clip.srt
    vidcaption run --help                 the options most people need
""")
def vidcaption(
    version: Annotated[
        bool,
        typer.Option(
            "-V", "--version", callback=_print_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    """Captions local videos: timed sentences about what is seen.

    Exit codes: 0 done, 1 some inputs failed, 2 wrong usage, 3 nothing can run, 130 interrupted.
    """
    try:
        os.getcwd()
    except OSError as error:
        raise SetupError("the working folder is gone; change to one that exists") from error
