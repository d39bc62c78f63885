"""``vidcaption config``: the options in effect and their sources."""

from pathlib import Path
from typing import Annotated

import typer

from vidcaption.cli.flags import Json, complete_command, resolved
from vidcaption.cli.help import HelpedCommand, helped
from vidcaption.cli.settings import (
    configured,
    to_toml,
)
from vidcaption.errors import UsageError
from vidcaption.options.base import nearest

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
        typer.Argument(help="Only the options of this command.", autocompletion=complete_command),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="The TOML file that the command would get."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Show each command's options without flags, and where each value comes from."""
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
