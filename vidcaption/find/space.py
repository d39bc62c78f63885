"""The joint space of an index: that of the model which it was last made with. Loads no NumPy."""

from pathlib import Path
from typing import NamedTuple

from vidcaption.errors import ModelError, UsageError
from vidcaption.find.index import Index
from vidcaption.model.manifest import WEIGHTS, read_config, read_rows
from vidcaption.store import resolve


class Space(NamedTuple):
    """The joint space of the model in ``folder``, whose weights have this ``sha256``."""

    folder: Path
    sha256: str


def space_of(index: Index) -> Space:
    """Never uses the network. Raises UsageError if the model is not here, or not the one that the
    index was made with, or has no head joint."""
    latest = index.latest_model()
    if latest is None:
        raise UsageError("nothing is indexed yet; run vidcaption index FOLDER first")
    name, sha256 = latest
    try:
        folder = resolve(name, offline=True)
        config = read_config(folder)
        current = read_rows(folder)[WEIGHTS]["sha256"]
    except ModelError as error:
        raise UsageError(str(error)) from error
    if "joint" not in config.heads.split("+"):
        raise UsageError(f"the model {name or 'default'} has no joint space")
    if current != sha256:
        raise UsageError(
            f"the model {name or 'default'} has changed since the files were indexed; vidcaption "
            "index --redo indexes them again"
        )
    return Space(folder, sha256)
