"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from vidcaption.cli.completion import complete_model

Datasets = Annotated[list[Path], typer.Argument(metavar="DATASET", help="Datasets, used together.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Offline = Annotated[
    bool, typer.Option("--offline", help="Never use the network: the model is here, or it fails.")
]
Model = Annotated[
    str | None,
    typer.Option(
        autocompletion=complete_model,
        help="A model folder, or owner/name or owner/name@revision on the Hub; the embedded model "
        "unless given.",
    ),
]
