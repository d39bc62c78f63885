"""The state of a training on disk, for resuming it."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vidcaption.errors import OutputError, UsageError
from vidcaption.reasons import of_system


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint at ``path`` atomically. Raises OutputError."""
    partial = path.with_suffix(".part")
    try:
        torch.save(state, partial)
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # the latter from PyTorch's writer on a full disk
        partial.unlink(missing_ok=True)
        reason = (
            of_system(error)
            if isinstance(error, OSError)
            else "the disk is full, or its folder is gone"
        )
        raise OutputError(f"cannot write {path}: {reason}") from error


def read_checkpoint(path: Path, fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """The state at ``path``, its tensors on the CPU.

    ``fingerprint``: by flag or name, everything that must not change. Raises UsageError if there is
    no checkpoint, if it is broken, or if it has another fingerprint.
    """
    if not path.is_file():
        raise UsageError(f"{path} does not exist, so there is nothing to resume; remove --resume")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        own = state["fingerprint"]
    # the exception depends on where the file is broken
    except (OSError, EOFError, RuntimeError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise UsageError(
            f"{path} is broken and cannot be resumed; train into another folder"
        ) from error
    if own != fingerprint:
        raise UsageError(
            f"{path} belongs to a training with {_differences(own, fingerprint)}; use the same "
            "again, or train into another folder"
        )
    return state


def _differences(own: Any, fingerprint: Mapping[str, Any]) -> str:
    """The values of the training, and those given now."""
    if not isinstance(own, dict) or own.keys() != fingerprint.keys():
        return "other options, of another version"
    return ", ".join(
        f"{name} {own[name]} instead of {now}" if name.startswith("--") else f"another {name}"
        for name, now in fingerprint.items()
        if own[name] != now
    )
