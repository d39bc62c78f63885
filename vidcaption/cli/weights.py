"""How commands find the model they are told to use."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidcaption.cli.voice import Voice


def resolve_with_bar(name: str | None, offline: bool, voice: "Voice") -> Path:
    """The folder of a model, with a progress bar while it is fetched if ``voice`` wants one.

    Raises ModelError, OutputError.
    """
    from vidcaption.store import resolve

    bar = voice.make_bar()
    with bar or nullcontext():
        return resolve(name, offline=offline, watch=bar.begin if bar else None)
