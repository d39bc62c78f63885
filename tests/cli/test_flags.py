from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from typer.testing import CliRunner, Result

from vidcaption.cli.flags import with_options
from vidcaption.cli.settings import ConfiguredCommand
from vidcaption.errors import UsageError
from vidcaption.options.base import Options, option


@dataclass(frozen=True, kw_only=True)
class Base(Options):
    """Not a panel."""

    size: int = option(3, "How large.", short="-s", at_least=1, at_most=9)
    pace_s: float = option(0.5, "How slow.", above=0)


@dataclass(frozen=True, kw_only=True)
class Toy(Base):
    """The toy panel: not this."""

    colour: Literal["red", "blue"] = option("red", "Which colour.")
    lid: bool = option(True, "With a lid.")
    loud: bool = option(False, "With noise.")
    place: Path | None = option(None, "Where.", flag="--at")


@dataclass(frozen=True, kw_only=True)
class Buyer(Options):
    """Who buys. Nor this."""

    name: str = option("nobody", "The name.")


def call(*args: str) -> tuple[Result, dict[str, Any]]:
    got: dict[str, Any] = {}
    app = typer.Typer(rich_markup_mode=None)

    @app.command(cls=ConfiguredCommand)
    @with_options
    def make(
        things: Annotated[list[str], typer.Argument()], toy: Toy, buyer: Buyer, fast: bool = False
    ) -> None:
        """Make toys."""
        got.update(things=things, toy=toy, buyer=buyer, fast=fast)

    return CliRunner().invoke(app, args, env={"COLUMNS": "100"}), got


def test_defaults_are_those_of_the_dataclasses() -> None:
    result, got = call("a", "b")
    assert result.exit_code == 0
    assert got == {"things": ["a", "b"], "toy": Toy(), "buyer": Buyer(), "fast": False}


def test_every_flag_reaches_its_field() -> None:
    flags = "-s 4 --pace 2 --colour blue --no-lid --loud --at here --name me --fast"
    _, got = call("a", *flags.split())
    toy = Toy(size=4, pace_s=2.0, colour="blue", lid=False, loud=True, place=Path("here"))
    assert got == {"things": ["a"], "toy": toy, "buyer": Buyer(name="me"), "fast": True}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--size 10", "--size is 10; it must be at least 1 and at most 9"),
        ("--size 9999999", "--size is 9999999; it must be at least 1 and at most 9"),
        ("--pace 0", "--pace is 0; it must be above 0"),
        ("--pace nan", "--pace is nan; it must be above 0"),
        (
            "--pace -0:01",
            "--pace is '-0:01'; it must be seconds, such as 90 or 90s, or a time, such "
            "as 1:30 or 00:01:30.5",
        ),
        ("--size x", "--size is 'x'; it must be a whole number"),
        ("--size 1.5", "--size is '1.5'; it must be a whole number"),
        ("--colour green", "--colour is 'green'; allowed are red, blue"),
    ],
)
def test_values_the_dataclass_refuses(flags: str, message: str) -> None:
    result, got = call("a", *flags.split())
    assert isinstance(result.exception, UsageError)
    assert str(result.exception) == message
    assert not got


@pytest.mark.parametrize("flags", ["--no-size", "--lid=1", "--at"])
def test_values_typer_refuses(flags: str) -> None:
    result, got = call("a", *flags.split())
    assert result.exit_code == 2
    assert not got


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), (".5", 0.5), ("1:05", 65), ("00:01:05.5", 65.5), ("0:01.25", 1.25),
     ("2:00:00", 7200), ("75:00", 4500)],
)  # fmt: skip
def test_seconds_as_people_write_them(text: str, seconds: float) -> None:
    assert call("a", "--pace", text)[1]["toy"].pace_s == seconds


@pytest.mark.parametrize(
    "text", ["1:75", "1:61:00", "1:2:3:4", ":30", "1:", "90m", "s", "1:05s", ""]
)
def test_what_is_no_time(text: str) -> None:
    result, _ = call("a", "--pace", text)
    assert f"--pace is {text!r}; it must be seconds" in str(result.exception)


def test_the_last_word_on_a_switch_counts() -> None:
    assert call("a", "--loud", "--no-loud", "--no-lid", "--lid")[1]["toy"] == Toy()


def test_help_shows_choices_bounds_defaults_and_classes() -> None:
    result, _ = call("--help")
    usage, *sections = result.stdout.split("\n\n")
    assert usage == "Usage: make [OPTIONS] {things}..."
    assert [each.splitlines()[0] for each in sections] == [
        "  Make toys.", "Arguments:", "Options:", "The toy panel:", "Who buys:"
    ]  # fmt: skip
    arguments, options, toy, buyer = sections[1:]
    assert arguments.splitlines()[1].split() == ["things...", "[required]"]
    assert "--name TEXT" in buyer
    assert "--fast" in options and "--config FILE" in options and "--help" in options
    assert [line.split("  ")[1] for line in toy.splitlines()[1:]] == [
        "-s, --size 1..9", "--pace >0..", "--colour red|blue", "--lid / --no-lid", "--loud",
        "--at PATH",
    ]  # fmt: skip
    assert "How large.  [default: 3]" in toy and "default" not in toy.partition("--loud")[2]
