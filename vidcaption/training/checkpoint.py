"""The state of a training on disk, from which it goes on."""

import pickle
from pathlib import Path
from typing import Any

import torch

from vidcaption.errors import OutputError, UsageError


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint at ``path`` whole. Raises OutputError."""
    partial = path.with_suffix(".part")
    try:
        torch.save(state, partial)
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # PyTorch's writer raises the latter on a full disk
        partial.unlink(missing_ok=True)
        raise OutputError(f"cannot write {path}: {str(error).splitlines()[0]}") from error


def read_checkpoint(path: Path, fingerprint: str) -> dict[str, Any]:
    """The state at ``path``, its tensors on the CPU.

    Raises UsageError where there is none, where it is broken, and where its own ``fingerprint`` is
    another one.
    """
    if not path.is_file():
        raise UsageError(
            f"{path} does not exist; there is nothing to resume, so leave out --resume"
        )
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        own = state["fingerprint"]
    # what PyTorch raises depends on where the file is broken
    except (OSError, EOFError, RuntimeError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise UsageError(
            f"{path} is broken and cannot be resumed; train into another folder"
        ) from error
    if own != fingerprint:
        raise UsageError(
            f"{path} belongs to a training with other data, options or precision; give the same "
            "again"
        )
    return state
