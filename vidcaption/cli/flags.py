"""Typer options: from options dataclasses, and those shared by several commands.

Shell completion uses no network and does not load PyTorch.
"""

import functools
import inspect
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import Field
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import typer

from vidcaption.cli.help import show_all
from vidcaption.cli.settings import (
    ConfiguredCommand,
    Setting,
    configured,
    presets,
    settings,
    sources_told,
    use_files,
)
from vidcaption.errors import VidcaptionError
from vidcaption.options.base import TABLES, Options, check, check_local, choices_of, flag_of, parse
from vidcaption.options.output import VoiceOptions

R = TypeVar("R")


def complete_model(incomplete: str) -> list[str]:
    """Models on this machine: the built-in one, those in the Hub's cache, and folders.

    Cached commits are listed by their branches and tags, with ``owner/name`` for ``main``.
    """
    from vidcaption.store import DEFAULT, cache

    names, cached = [DEFAULT], list[cache.Cached]()
    with suppress(VidcaptionError):  # there may be no home folder, or invalid settings of the Hub
        cached = list(cache.models())
    for each in cached:
        if each.complete:
            at = (
                each.repo if name == cache.MAIN else f"{each.repo}@{name}"
                for name in each.revisions
            )
            names += list(at) or [f"{each.repo}@{each.commit}"]
    return sorted(name for name in names if name.startswith(incomplete)) + _folders(incomplete)


def complete_preset(incomplete: str) -> list[str]:
    """Presets of ``train``."""
    return [name for name in presets() if name.startswith(incomplete)]


def complete_command(context: typer.Context, incomplete: str) -> list[str]:
    """Commands with configurable options."""
    return [name for name in configured(context) if name.startswith(incomplete)]


def _folders(incomplete: str) -> list[str]:
    """Folders whose path starts like this, hidden ones only if the dot was typed."""
    start = Path(os.path.expanduser(incomplete))
    parent, beginning = (start, "") if incomplete.endswith("/") else (start.parent, start.name)
    prefix = incomplete[: len(incomplete) - len(beginning)]
    try:
        names = sorted(each.name for each in parent.iterdir() if each.is_dir())
    except OSError:
        return []
    shown = (name for name in names if beginning.startswith(".") or not name.startswith("."))
    return [prefix + name for name in shown if name.startswith(beginning)]


LabelField = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="Field of JSON lines, or column of CSV, that has a sample's label."
    ),
]
Datasets = Annotated[list[Path], typer.Argument(metavar="DATASET", help="Datasets, used together.")]
Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUT",
        help="Videos, images, folders, patterns, also as addresses such as s3://bucket/clips; "
        "- is a video on standard input.",
    ),
]
Folders = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FOLDER",
        help="Folders, including subfolders, or files.  [default: the indexed folders]",
    ),
]
Videos = Annotated[
    list[str], typer.Argument(metavar="INPUT", help="Videos, folders of them, patterns.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never use the network.")]
Model = Annotated[  # of an index, which has captions of a single one
    str | None,
    typer.Option(
        autocompletion=complete_model,
        help="A model folder, or owner/name or owner/name@revision on the Hub.  [default: the "
        "built-in model]",
    ),
]
Models = Annotated[
    list[Path] | None,  # as with paths, several in a variable are separated by colons
    typer.Option(
        "--model",
        metavar="MODEL",
        autocompletion=complete_model,
        help="A model folder, or owner/name or owner/name@revision on the Hub; several "
        "are averaged, with the weights of MODEL=WEIGHT.  [default: the built-in model]",
    ),
]


_CONFIG = inspect.Parameter(
    "config_file",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="TOML file with options; --no-NAME overrides a switch in it.",
            is_eager=True,
            callback=use_files,
        ),
    ],
)
_HELP_ALL = inspect.Parameter(
    "help_all",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool,
        typer.Option("--help-all", is_eager=True, callback=show_all, help="Show all options."),
    ],
)


def with_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give ``command`` one flag per field of each parameter annotated with an Options class.

    Typer gets the flags, ``--config`` and ``--help-all``; ``command`` gets the dataclasses, built
    and checked. Invalid values raise UsageError before ``command`` is entered. While it runs, the
    package logs according to its VoiceOptions, or their defaults.

    >>> @app.command()
    ... @with_options
    ... def evaluate(data: Path, search: SearchOptions, machine: MachineOptions) -> None: ...
    """
    signature = inspect.signature(command)
    bundles = bundles_of(command)

    @functools.wraps(command)
    def with_flags(**values: Any) -> R:
        for parameter in (_CONFIG, _HELP_ALL):  # already handled
            del values[parameter.name]
        voice = VoiceOptions()
        for name in signature.parameters.keys() - bundles.keys():
            check_local(values[name])
        for name, kind in bundles.items():
            values[name] = kind.flat(**{f.name: values.pop(f.name) for f in kind.flat_fields()})
            if isinstance(values[name], VoiceOptions):
                voice = values[name]
        from vidcaption.cli.console import logging_as

        with logging_as(voice):
            return command(**values)

    parameters = []
    for name, parameter in signature.parameters.items():
        if name in bundles:
            parameters += [_parameter(bundles[name], f) for f in bundles[name].flat_fields()]
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
    parameters += [_CONFIG, _HELP_ALL]
    vars(with_flags)["__signature__"] = signature.replace(parameters=parameters)
    return with_flags


def bundles_of(command: Callable[..., Any]) -> dict[str, type[Options]]:
    """The parameters of a command that are options dataclasses, decorated or not."""
    parameters = inspect.signature(inspect.unwrap(command)).parameters
    return {
        name: parameter.annotation
        for name, parameter in parameters.items()
        if inspect.isclass(parameter.annotation) and issubclass(parameter.annotation, Options)
    }


def resolved(name: str, root: Any, file: Path | None = None) -> list[Setting]:
    """The settings of a command with ``--config`` as its only flag. Raises UsageError."""
    command: ConfiguredCommand = root.command.commands[name].real
    for parameter in command.params:
        parameter.required = False  # such as inputs, which are not needed here
    args = ["--config", str(file)] if file else []
    context: Any = command.make_context(name, args, parent=root)
    with sources_told(context):
        for kind in bundles_of(command.callback).values() if command.callback else ():
            for field in kind.flat_fields():
                check(field, context.params[field.name])
    return settings(context)


def _parameter(kind: type[Options], f: Field[Any]) -> inspect.Parameter:
    """A field as a keyword parameter for Typer."""
    long = flag_of(f)
    short = f.metadata["short"]
    switch = f"{long}/--no-{long.removeprefix('--')}" if f.default is True else long
    info = typer.Option(
        *([short] if short else []),
        switch,
        help=f.metadata["help"],
        metavar=_metavar(f),
        show_default=f.default is not False and f.default is not None,
        rich_help_panel=_panel(kind),
        parser=_parser(f),
    )
    return inspect.Parameter(
        f.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=f.default,
        annotation=Annotated[_kind(f), info],
    )


def _kind(f: Field[Any]) -> Any:
    """The type for Typer, which takes no dict[str, Any], and a list where there may be several."""
    if f.type == TABLES:
        return list[dict]  # type: ignore[type-arg]
    return list[str] if f.type == tuple[str, ...] else f.type


def _parser(f: Field[Any]) -> Callable[[str], Any] | None:
    """None for switches, paths and strings, which Typer parses; others are parsed here."""
    number = {int, float}.intersection((f.type, *get_args(f.type)))
    ours = number or choices_of(f) or f.type == TABLES
    return functools.partial(parse, f) if ours else None


def _metavar(f: Field[Any]) -> str | None:
    """The placeholder of the value in the help: choices or bounds; None: Typer's own."""
    low, high, above = (f.metadata[key] for key in ("at_least", "at_most", "above"))
    if choices := choices_of(f):
        return "|".join(choices)
    if get_origin(f.type) is tuple and float in get_args(f.type):
        return "R G B"
    if low is None and above is None:
        return "TABLE" if f.type == TABLES else None
    floor = f">{above:g}" if low is None else f"{low:g}"
    bounds = f"{floor}..{high:g}" if high is not None else f"{floor}.."
    return f"{bounds}|whole" if f.metadata["whole"] else bounds


def _panel(kind: type[Options]) -> str:
    """The heading of its flags: the beginning of its docstring."""
    return re.split("[.:]", inspect.getdoc(kind) or kind.__name__)[0]
