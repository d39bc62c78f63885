"""Commands whose options can also be set in the environment and in TOML files.

In order of precedence: flag, environment, what ``--resume`` continues with, ``--config FILE``,
``vidcaption.toml`` in the working directory, the user's file, a preset, the default. A file has a
table per command, whose keys are its flags without the leading dashes:

    [run]
    beam = 5
    out-dir = "captions"
"""

import inspect
import json
import os
import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from typer.core import TyperArgument, TyperOption

from vidcaption.cli.help import HelpedCommand, key_of
from vidcaption.errors import UsageError, VidcaptionError
from vidcaption.options.base import is_seconds, nearest, plain
from vidcaption.reasons import unparsed

PROJECT_FILE = Path("vidcaption.toml")  # in the working directory
RECIPE = "training.toml"  # in a model's folder: the options of its training
_BARE = re.compile(r"[A-Za-z0-9_-]+")  # a key that needs no quotes
_WORDS = {bool: "true or false", int: "a whole number", float: "a number"}


def user_file() -> Path | None:
    """``config.toml`` in the user's settings folder, which may not exist; None without a home."""
    from platformdirs import user_config_path

    try:
        return user_config_path("vidcaption", appauthor=False) / "config.toml"
    except RuntimeError:
        return None


def read_table(
    path: Path, command: str, commands: Collection[str], kinds: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The options of ``command`` in the file at ``path``, by key; None if there is no file.

    ``commands``: the allowed tables. ``kinds``: the Python type of each allowed key of the
    command. Paths are not resolved. Raises UsageError if the file cannot be read, is not TOML, or
    contains anything else.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); correct or move it") from error
    except (ValueError, RecursionError) as error:  # not TOML, or not UTF-8
        raise UsageError(f"{unparsed(path, 'TOML', error)}; correct it") from error
    for name, value in content.items():
        if name not in commands or not isinstance(value, dict):
            known = ", ".join(f"[{each}]" for each in commands)
            raise UsageError(f"{path} has {name!r} at the top; allowed are only {known}")
    table: dict[str, Any] = content.get(command, {})
    for key, value in table.items():
        if key not in kinds:
            raise UsageError(
                f"{path}: [{command}] has {key!r}, which is unknown; {nearest(key, kinds)}"
            )
        if not _fits(value, kinds[key]):
            raise UsageError(
                f"{path}: [{command}] {key} is {to_toml(value)}; it must be {_words(kinds[key])}"
            )
    return table


def to_toml(value: Any) -> str:
    """A string, number, boolean, list or table of these, as TOML."""
    if isinstance(value, Mapping):
        names = (key if _BARE.fullmatch(key) else to_toml(key) for key in value)
        pairs = zip(names, map(to_toml, value.values()), strict=True)
        return f"{{ {', '.join(f'{name} = {each}' for name, each in pairs)} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(to_toml, value))}]"
    if isinstance(value, bool | int | float):
        return str(value).lower()
    # JSON strings are TOML strings, except for one character
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _fits(value: Any, kind: Any) -> bool:
    """Whether a TOML value is valid for the Python type ``kind``, such as a string for a Path."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return any(_fits(value, one) for one in inner)
    if origin is Literal:
        return value in inner
    if origin is list:  # one value may be given without brackets
        return all(_fits(one, inner[0]) for one in _several(value))
    if origin is tuple:
        return (
            isinstance(value, list) and len(value) == len(inner) and all(map(_fits, value, inner))
        )
    if kind in (int, float, str):  # a string option may be a number: --workers takes auto or 2
        number = {int: int, float: int | float, str: int | str}[kind]
        return isinstance(value, number) and not isinstance(value, bool)
    return isinstance(value, kind if kind in (bool, dict) else str) and kind is not type(None)


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _words(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return " or ".join(_words(one) for one in inner if one is not type(None))
    if origin is Literal:
        return f"one of {', '.join(map(to_toml, inner))}"
    if origin is tuple:
        return f"a list of {len(inner)} numbers"
    if origin is list and inner[0] is dict:
        return "a list of tables"
    return _WORDS.get(kind, "a string or a list of strings" if origin is list else "a string")


DEFAULT, COMMAND_LINE = "default", "command line"
_SOURCES = "vidcaption.sources."
_RECORDED = "vidcaption.recorded"
_OF_ITSELF = ("config_file", "preset", "help_all")  # not set in files
_SECRET = ("token",)

Parameter = TyperArgument | TyperOption


@dataclass(frozen=True)
class Setting:
    """The final value of an option. ``source``: where it comes from."""

    key: str
    value: Any
    source: str


class ConfiguredCommand(HelpedCommand):
    """A command whose options have variables, such as VIDCAPTION_RUN_BEAM, and keys in files."""

    configured = True

    def __init__(self, name: str | None, **attributes: Any) -> None:
        super().__init__(name, **attributes)
        for option in self.params:
            if isinstance(option, TyperOption):
                option.envvar = f"{_prefix(name)}{key_of(option).replace('-', '_').upper()}"
                option.show_envvar = False  # documented as a rule, to keep the help short

    @property
    def keys(self) -> dict[str, Parameter]:
        """Settings allowed in a file: every option, and the arguments that are lists."""
        return {
            key_of(each): each
            for each in self.params
            if each.expose_value
            and each.name not in _OF_ITSELF
            and (
                isinstance(each, TyperOption)
                or (isinstance(each, TyperArgument) and each.nargs < 0)
            )
        }

    def make_parser(self, ctx: Any) -> Any:
        """Also accepts ``--no-srt``, so that the command line can override switches."""
        parser = super().make_parser(ctx)
        for key, each in self.keys.items():
            if isinstance(each, TyperOption) and each.is_bool_flag and not each.secondary_opts:
                parser.add_option(
                    obj=each,
                    opts=[f"--no-{key}"],
                    dest=each.name,
                    action="store_const",
                    const=False,
                )
        return parser

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with sources_told(ctx):
            typed = self.make_parser(ctx).parse_args(list(args))[0]
            if typed.get("resume") and "out" in typed:
                ctx.meta[_RECORDED] = Path(os.path.expanduser(typed["out"])) / RECIPE
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        with sources_told(ctx):
            return super().invoke(ctx)


def use_files(ctx: typer.Context, given: Path | None) -> Path | None:
    """Apply the options from files: of the user, of the working directory, ``given``, and of the
    training that is resumed.

    Raises UsageError for an invalid file, and for a variable that is not an option.
    """
    if ctx.resilient_parsing:  # shell completion
        return given
    _check_variables(ctx)
    for path in filter(None, (user_file(), PROJECT_FILE)):
        _take(ctx, _read(ctx, path) or {}, str(path))
    if given is not None:
        table = _read(ctx, given)
        if table is None:
            raise UsageError(f"--config is {given}, which does not exist")
        _take(ctx, table, str(given))
    if (recorded := ctx.meta.get(_RECORDED)) is not None:
        _take(ctx, _read(ctx, recorded) or {}, str(recorded))
    return given


def use_preset(ctx: typer.Context, name: str | None) -> str | None:
    """Apply the options of a preset, a file with lower precedence than all others.

    Raises UsageError.
    """
    if name is None or ctx.resilient_parsing:
        return name
    path = Path(os.path.expanduser(name)) if name.endswith(".toml") else presets().get(name)
    if path is None:
        raise UsageError(
            f"--preset is {name!r}, which is unknown; {nearest(name, presets())}; "
            "or give a file, NAME.toml"
        )
    table = _read(ctx, path)
    if table is None:
        raise UsageError(f"--preset is {name!r}, which does not exist")
    _take(ctx, table, f"preset {name}", below=True)
    return name


def presets() -> dict[str, Path]:
    """The file of each built-in preset, by name."""
    folder = Path(__file__).parent.parent / "training" / "presets"
    return {path.stem: path for path in sorted(folder.glob("*.toml"), key=lambda path: path.stem)}


def preset_lines() -> list[tuple[str, str]]:
    """Each built-in preset with the first line of its file, which says what it is."""
    return [
        (name, path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# "))
        for name, path in presets().items()
    ]


def settings(ctx: typer.Context) -> list[Setting]:
    """Every option of a parsed command, with the source of its value. Secrets are not shown."""
    return [
        Setting(
            key,
            "(hidden)" if key in _SECRET and ctx.params[key] else plain(ctx.params.get(each.name)),
            _source(ctx, each),
        )
        for key, each in _command(ctx).keys.items()
    ]


def apart_from_recorded(ctx: typer.Context) -> list[tuple[Setting, Any]]:
    """The settings that neither come from the training that is resumed nor are defaults, each with
    the value in its file; none without such a file."""
    path = ctx.meta.get(_RECORDED)
    if path is None or not path.exists():
        return []
    values = _read(ctx, path) or {}
    return [
        (each, values.get(str(_command(ctx).keys[each.key].name)))
        for each in settings(ctx)
        if each.source not in (DEFAULT, str(path))
    ]


def configured(ctx: typer.Context) -> list[str]:
    """The names of all commands of this kind."""
    root = ctx.find_root().command
    commands: Mapping[str, Any] = getattr(root, "commands", {root.name: root})
    return [name for name, each in commands.items() if getattr(each, "configured", False)]


@contextmanager
def sources_told(ctx: typer.Context) -> Iterator[None]:
    """Add the source of a flag's value to errors that name the flag, unless it was typed."""
    try:
        yield
    except (VidcaptionError, typer.TyperException) as error:
        told: Callable[[], str] = getattr(error, "format_message", error.__str__)
        flags = set(re.findall(r"--[\w-]+", told()))
        for key, each in _command(ctx).keys.items():
            source = _source(ctx, each)
            if flags & set(each.opts) and source not in (DEFAULT, COMMAND_LINE):
                error.add_note(f"--{key} comes from {source}")
        raise


def _prefix(command: str | None) -> str:
    return f"VIDCAPTION_{(command or '').upper()}_"


def _kinds(command: ConfiguredCommand) -> dict[str, Any]:
    """The type of each key, from the annotations of the command's function."""
    declared = inspect.signature(command.callback).parameters if command.callback else {}
    kinds = {key: declared[each.name].annotation for key, each in command.keys.items()}
    kinds = {
        key: get_args(kind)[0] if get_origin(kind) is Annotated else kind
        for key, kind in kinds.items()
    }
    seconds = {key for key, each in command.keys.items() if is_seconds(str(each.name))}
    return {key: kind | str if key in seconds else kind for key, kind in kinds.items()}


def _command(ctx: typer.Context) -> ConfiguredCommand:
    assert isinstance(ctx.command, ConfiguredCommand)
    return ctx.command


def _read(ctx: typer.Context, path: Path) -> dict[str, Any] | None:
    """The values in a file by the names of their parameters; None if there is no file."""
    command = _command(ctx)
    table = read_table(path, command.name or "", configured(ctx), _kinds(command))
    if not table:
        return table
    read = {}
    for key, value in table.items():
        each: Any = command.keys[key]
        is_list = isinstance(each, TyperArgument) or each.multiple
        read[str(each.name)] = _several(value) if is_list else value
    return read


def _take(ctx: typer.Context, values: dict[str, Any], source: str, *, below: bool = False) -> None:
    """Put ``values`` above or below the defaults that the context already has."""
    sources = ctx.meta.setdefault(f"{_SOURCES}{ctx.info_name}", {})
    told = dict.fromkeys(values, source)
    present = dict(ctx.default_map or {})
    ctx.default_map = values | present if below else present | values
    ctx.meta[f"{_SOURCES}{ctx.info_name}"] = told | sources if below else sources | told


def _source(ctx: typer.Context, parameter: Any) -> str:
    source = ctx.get_parameter_source(parameter.name)
    match source.name if source else "DEFAULT":
        case "COMMANDLINE":
            return COMMAND_LINE
        case "ENVIRONMENT":
            return str(parameter.envvar)
        case "DEFAULT_MAP":
            return str(ctx.meta[f"{_SOURCES}{ctx.info_name}"][parameter.name])
    return DEFAULT


def _check_variables(ctx: typer.Context) -> None:
    """Variables of other commands are checked by them; those of no command are checked here."""
    known = {str(each.envvar) for each in ctx.command.params if isinstance(each, TyperOption)}
    own = _prefix(ctx.command.name)
    others = tuple(prefix for prefix in map(_prefix, configured(ctx)) if prefix != own)
    for name in sorted(os.environ):
        ours = name.startswith("VIDCAPTION_") and not name.startswith(others)
        if ours and name not in known and name != "VIDCAPTION_DEBUG":
            raise UsageError(f"{name} in the environment is not an option; {nearest(name, known)}")
