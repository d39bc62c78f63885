"""The ``vidcaption`` command and its subcommands.

A subcommand has a module of its own, and imports the rooms below inside its function: ``--help``
loads neither PyTorch nor a video library.
"""

from typing import Annotated

import typer

from vidcaption import __version__
from vidcaption.cli.config import config
from vidcaption.cli.configured import ConfiguredCommand
from vidcaption.cli.doctor import doctor
from vidcaption.cli.evaluate import evaluate
from vidcaption.cli.features import features
from vidcaption.cli.models import models
from vidcaption.cli.run import run
from vidcaption.cli.status import status
from vidcaption.cli.train import train

app = typer.Typer(
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        from vidcaption.cli.voice import put

        put(f"vidcaption {__version__}\n")
        raise typer.Exit


@app.callback()
def vidcaption(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Captions local videos: timed sentences about what is seen."""


app.command(cls=ConfiguredCommand)(run)
app.command(cls=ConfiguredCommand)(features)
app.command(cls=ConfiguredCommand)(train)
app.command(cls=ConfiguredCommand)(evaluate)
app.command()(status)
app.add_typer(models, name="models")
app.add_typer(config, name="config")
app.command()(doctor)
