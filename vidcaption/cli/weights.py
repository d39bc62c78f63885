"""How commands find the model they are told to use."""

from contextlib import nullcontext
from pathlib import Path

from vidcaption.options import VoiceOptions


def resolve_with_bar(name: str | None, offline: bool, voice: VoiceOptions) -> Path:
    """The folder of a model, with a progress bar while it is fetched if ``voice`` wants one.

    Raises ModelError, OutputError.
    """
    from vidcaption.cli.voice import make_bar
    from vidcaption.store import resolve

    bar = make_bar(voice)
    with bar or nullcontext():
        return resolve(name, offline=offline, watch=bar.begin if bar else None)
