"""The base of all options, and their checks.

Each field has its help text, flag and bounds as metadata; ``cli/flags.py`` turns the classes into
Typer options, and ``__post_init__`` checks values wherever they come from.
"""

import math
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Self, TypeVar, get_args, get_origin

from vidcaption.addresses import Address, is_address
from vidcaption.errors import UsageError

T = TypeVar("T", bound="Options")

_CLOCK = re.compile(r"(?:(\d+):(?=[0-5]?\d:))?(\d+):([0-5]?\d(?:\.\d*)?)")
WHOLE = math.inf  # window length: the whole video
TABLES = tuple[dict[str, Any], ...]  # the type of an option that is given once for each table


def option(
    default: Any,
    help: str,
    *,
    flag: str | None = None,
    short: str | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    whole: bool = False,
    choices: Collection[str] = (),
    several: bool = False,
    addresses: bool = False,
) -> Any:
    """A dataclass field with metadata for its flag and check. Bounds other than ``above``
    are inclusive.

    ``flag``: if it does not follow from the name; "" is none. ``whole``: the value may be WHOLE,
    written as "whole". ``choices``: the allowed words of a field that is not a ``Literal``;
    ``several``: any of them, joined by +. ``addresses``: a path may also be an address.
    """
    metadata = {
        "help": help,
        "flag": flag,
        "short": short,
        "at_least": at_least,
        "at_most": at_most,
        "above": above,
        "whole": whole,
        "choices": choices,
        "several": several,
        "addresses": addresses,
    }
    return field(default=default, metadata=metadata)


def flag_of(f: Field[Any]) -> str:
    """The long flag of a field: ``--window`` for ``window_s``."""
    flag: str | None = f.metadata["flag"]
    return flag or "--" + f.name.removesuffix("_s").replace("_", "-")


def is_seconds(name: str) -> bool:
    """Whether a field of that name is a time or a duration."""
    return name.endswith("_s")


def parse(f: Field[Any], value: Any) -> Any:
    """The value of a field as typed: strings are converted to numbers if the field is one.

    Seconds may be written as 90, 90s, 1:30 or 00:01:30.5; a table as in TOML. Raises UsageError.
    """
    if f.type == TABLES and isinstance(value, str):
        return _table(f, value)
    kinds = {f.type, *get_args(f.type)}
    if not isinstance(value, str) or not {int, float}.intersection(kinds):
        return value
    if value == "whole" and f.metadata["whole"]:
        return WHOLE
    try:
        if int in kinds:
            return int(value)
        return _seconds(value) if is_seconds(f.name) else float(value)
    except ValueError as error:
        kind = "a whole number" if int in kinds else "a number"
        if is_seconds(f.name):
            kind = "seconds, such as 90 or 90s, or a time, such as 1:30 or 00:01:30.5"
        raise UsageError(f"{flag_of(f)} is {value!r}; it must be {kind}") from error


def _table(f: Field[Any], text: str) -> dict[str, Any]:
    """Raises UsageError."""
    try:
        table = tomllib.loads(f"table = {text}")["table"]
    except tomllib.TOMLDecodeError:
        table = None
    if not isinstance(table, dict):
        raise UsageError(f'{flag_of(f)} is {text!r}; it must be a TOML table: {{name = "value"}}')
    return table


def _seconds(text: str) -> float:
    """Raises ValueError."""
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, seconds = clock.groups(default="0")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    return float(text.removesuffix("s"))


def nearest(name: str, known: Collection[str]) -> str:
    """The hint for an unknown name: the most similar known ones, or all."""
    if near := get_close_matches(name, known):
        return f"did you mean {' or '.join(near)}"
    return f"known {'is' if len(known) == 1 else 'are'} {', '.join(sorted(known))}"


def plain(value: Any) -> Any:
    """A value as in JSON and TOML."""
    return "whole" if value == WHOLE else value


def from_plain(kind: type[T], values: Mapping[str, Any]) -> T:
    """The options whose values were made ``plain``. Raises UsageError, TypeError, ValueError."""
    whole = {f.name for f in fields(kind) if f.metadata["whole"]}
    return kind(
        **{
            name: WHOLE if value == "whole" and name in whole else value
            for name, value in dict(values).items()
        }
    )


def choices_of(f: Field[Any]) -> tuple[str, ...]:
    """The allowed words of a field; empty if it has no fixed choices."""
    return get_args(f.type) if get_origin(f.type) is Literal else tuple(f.metadata["choices"])


def group_of(f: Field[Any]) -> "type[Options] | None":
    """The class of a field that holds further options."""
    return f.type if isinstance(f.type, type) and issubclass(f.type, Options) else None


def _fits(value: Any, kind: Any) -> bool:
    """Whether ``value`` is of type ``kind``; an int is also a float, a bool is neither."""
    if get_origin(kind) is UnionType:
        return any(_fits(value, one) for one in get_args(kind))
    if get_origin(kind) is dict:
        return isinstance(value, dict)
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        if inner[1:] == (...,):
            return isinstance(value, tuple | list) and all(_fits(one, inner[0]) for one in value)
        return (
            isinstance(value, tuple) and len(value) == len(inner) and all(map(_fits, value, inner))
        )
    if kind is int or kind is float:
        return isinstance(value, int if kind is int else int | float) and not isinstance(
            value, bool
        )
    return isinstance(value, kind)


def check(f: Field[Any], value: Any) -> None:
    """Raises UsageError if ``value`` does not fit the field's type, choices and bounds."""
    if not f.metadata["addresses"]:
        check_local(value)
    if choices := choices_of(f):
        several = f.metadata["several"] and isinstance(value, str)
        given = value.split("+") if several else [value]
        if not all(each in choices for each in given) or len(set(given)) < len(given):
            joined = ", or several of them joined by +" if f.metadata["several"] else ""
            raise UsageError(f"{flag_of(f)} is {value!r}; allowed are {', '.join(choices)}{joined}")
    elif not _fits(value, f.type):
        kind = "a whole number" if f.type is int else getattr(f.type, "__name__", str(f.type))
        raise UsageError(f"{flag_of(f)} is {value!r}; it must be {kind}")
    else:
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, int | float) and not isinstance(one, bool):
                _check_bounds(f, _as_float(one))


def check_local(value: Any) -> None:
    """Raises UsageError if ``value`` is or has a path that is an address: it would be a new folder
    of that name."""
    for one in value if isinstance(value, tuple | list) else (value,):
        if isinstance(one, Path) and is_address(str(one)):
            raise UsageError(
                f"{Address(one.as_posix())} is an address, where only a path on this machine is "
                "allowed"
            )


def _as_float(value: float) -> float:
    """A number as a float; integers that are too large become infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value > 0 or -1)


def _check_bounds(f: Field[Any], value: float) -> None:
    low, high, above = (f.metadata[key] for key in ("at_least", "at_most", "above"))
    if value == WHOLE and f.metadata["whole"]:
        return
    if (
        not math.isfinite(value)
        or (low is not None and value < low)
        or (high is not None and value > high)
        or (above is not None and value <= above)
    ):
        wanted = [f"at least {low:.15g}"] if low is not None else []
        wanted += [f"above {above:.15g}"] if above is not None else []
        wanted += [f"at most {high:.15g}"] if high is not None else []
        allowed = " and ".join(wanted) or "finite"
        allowed += ", or whole" if f.metadata["whole"] else ""
        raise UsageError(f"{flag_of(f)} is {value:.15g}; it must be {allowed}")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base: checks each field against the bounds in its metadata. Raises UsageError."""

    def __post_init__(self) -> None:
        for f in fields(self):
            check(f, getattr(self, f.name))

    @classmethod
    def flat_fields(cls) -> list[Field[Any]]:
        """Its fields that have a flag: those of groups instead of the groups."""
        found: list[Field[Any]] = []
        for f in fields(cls):
            group = group_of(f)
            found += group.flat_fields() if group else [f] if f.metadata["flag"] != "" else []
        return found

    @classmethod
    def flat(cls, **values: Any) -> Self:
        """Options by the names of ``flat_fields``; others take their defaults.

        Raises UsageError.
        """
        for f in fields(cls):
            if group := group_of(f):
                own = {each.name for each in group.flat_fields()} & values.keys()
                values[f.name] = group.flat(**{name: values.pop(name) for name in own})
        return cls(**values)

    def flat_values(self) -> dict[str, Any]:
        """The value of each of ``flat_fields``, by flag."""
        found: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Options):
                found |= value.flat_values()
            elif f.metadata["flag"] != "":
                found[flag_of(f)] = value
        return found

    def with_flags(self, flags: Mapping[str, Any]) -> Self:
        """A copy with other values, by the names of their flags: ``window`` for ``window_s``.

        Seconds may also be strings, see ``parse``. Raises UsageError.
        """
        known = {flag_of(f).removeprefix("--").replace("-", "_"): f for f in fields(self)}
        if unknown := [name for name in flags if name not in known]:
            raise UsageError(f"there is no option {unknown[0]!r}; {nearest(unknown[0], known)}")
        values = {known[name]: value for name, value in flags.items()}
        return replace(
            self,
            **{f.name: parse(f, v) if is_seconds(f.name) else v for f, v in values.items()},
        )
