"""``vidcaption config``: which options hold, and who says so."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vidcaption.cli.flags import Json, bundles_of, complete_command
from vidcaption.cli.help import HelpedCommand, helped
from vidcaption.cli.settings import (
    ConfiguredCommand,
    Setting,
    configured,
    settings,
    sources_told,
    to_toml,
)
from vidcaption.errors import UsageError
from vidcaption.options.base import check, nearest

config = typer.Typer()


@config.command(cls=HelpedCommand)
@helped("""
    vidcaption config show run
    vidcaption config show train --json
""")
def show(
    context: typer.Context,
    command: Annotated[
        str | None,
        typer.Argument(help="Only those of this command.", autocompletion=complete_command),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="As the command would be given it."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Each command's options, as they are without flags, and where each comes from."""
    from vidcaption.cli.console import put_json, put_table

    known = configured(context)
    if command is not None and command not in known:
        raise UsageError(f"there is no command {command!r} with options; {nearest(command, known)}")
    rows = [
        {"command": name, "key": each.key, "value": each.value, "source": each.source}
        for name in ([command] if command else known)
        for each in resolved(name, context.find_root(), file)
    ]
    if as_json:
        put_json(rows)
        return 0
    put_table(
        ("COMMAND", "OPTION", "VALUE", "FROM"),
        [
            (
                row["command"],
                row["key"],
                "-" if row["value"] is None else to_toml(row["value"]),
                row["source"],
            )
            for row in rows
        ],
    )
    return 0


def resolved(name: str, root: Any, file: Path | None = None) -> list[Setting]:
    """The settings of a command when nothing but ``--config`` is typed. Raises UsageError."""
    command: ConfiguredCommand = root.command.commands[name].real
    for parameter in command.params:
        parameter.required = False  # inputs and the like may be missing here
    args = ["--config", str(file)] if file else []
    context: Any = command.make_context(name, args, parent=root)
    with sources_told(context):
        for kind in bundles_of(command.callback).values() if command.callback else ():
            for field in kind.flat_fields():
                check(field, context.params[field.name])
    return settings(context)
