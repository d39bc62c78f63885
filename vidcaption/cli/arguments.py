"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Datasets = Annotated[list[Path], typer.Argument(metavar="DATASET", help="Datasets, used together.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Offline = Annotated[
    bool, typer.Option("--offline", help="Never use the network: the model is here, or it fails.")
]
