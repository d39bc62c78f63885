"""Help pages: short by default, with examples, coloured on terminals."""

import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import typer
from typer.core import TyperArgument, TyperCommand

C = TypeVar("C", bound=Callable[..., Any])
Rows = Callable[[], list[tuple[str, str]]]
_ALL = "vidcaption.help_all"
_HEADING = re.compile(r"^(\S.*:|Usage:)(?=$| )", re.MULTILINE)
_TYPE = re.compile(r" <(?:list\[)?(\w+)\]?>")  # Typer's placeholder for a value without a name
_TERM = re.compile(r"^  (-\S.*?|[a-z][\w-]*)(?=  |$)", re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """``examples``: commands, a line each. ``first``: keys of the options that ``--help`` shows.
    ``lists``: more names and what they mean, by heading, read when the page is shown."""

    examples: str
    first: tuple[str, ...] = ()
    lists: Mapping[str, Rows] = field(default_factory=dict)


def helped(examples: str, first: str = "", **lists: Rows) -> Callable[[C], C]:
    """Give a command examples, the options of its short help, by default all, and lists."""

    def decorate(command: C) -> C:
        vars(command)["page"] = Page(inspect.cleandoc(examples), tuple(first.split()), lists)
        return command

    return decorate


class Helped:
    """Shared by the help pages of commands and groups."""

    callback: Any

    @property
    def page(self) -> Page:
        page: Page = getattr(self.callback, "page", Page(""))
        return page

    def get_help(self, ctx: Any) -> str:
        text: str = super().get_help(ctx)  # type: ignore[misc]
        if not coloured():
            return text
        ctx.color = True  # or Typer removes it again
        text = _HEADING.sub(lambda match: typer.style(match[0], bold=True), text)
        return _TERM.sub(lambda match: "  " + typer.style(match[1], fg="cyan"), text)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        for heading, rows in self.page.lists.items():
            with formatter.section(heading):
                formatter.write_dl(rows())
        if self.page.examples:
            with formatter.section("Examples"):
                formatter.write("".join(f"  {line}\n" for line in self.page.examples.splitlines()))


def _value(kind: re.Match[str]) -> str:
    return " TEXT" if kind[1] == "str" else f" {kind[1].upper()}"


class HelpedCommand(Helped, TyperCommand):
    """A command whose ``--help`` has examples, and only its first options if it has any."""

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """The first paragraph; all of them if all options are shown."""
        if not self._is_short(ctx):
            super().format_help_text(ctx, formatter)
            return
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(inspect.cleandoc(self.help or "").partition("\n\n")[0])

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The first options; or all, with those of each class under a heading at the end."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        shown = (*self.page.first, "help-all", "help")
        for each in self.get_params(ctx):
            argument = isinstance(each, TyperArgument)
            heading = "Arguments" if argument else "Options"
            if not self._is_short(ctx):
                heading = getattr(each, "rich_help_panel", None) or heading
            elif not argument and key_of(each) not in shown:
                continue
            for term, text in filter(None, [each.get_help_record(ctx)]):
                value = "" if argument else _value
                sections.setdefault(heading, []).append((_TYPE.sub(value, term), text))
        for heading, rows in sections.items():
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)

    def _is_short(self, ctx: Any) -> bool:
        return bool(self.page.first) and _ALL not in ctx.meta


def key_of(parameter: Any) -> str:
    """An option's long flag without its dashes, or an argument's name."""
    long = (flag[2:] for flag in parameter.opts if flag.startswith("--"))
    return next(long, str(parameter.name))


def show_all(ctx: typer.Context, asked: bool) -> None:
    """``--help-all``."""
    if asked and not ctx.resilient_parsing:
        ctx.meta[_ALL] = True
        text = ctx.get_help()
        typer.echo(text, color=getattr(ctx, "color", None))
        raise typer.Exit


def coloured() -> bool:
    """Whether to use colours: see https://no-color.org and force-color.org."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
