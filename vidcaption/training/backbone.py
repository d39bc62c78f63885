"""Initial weights of a CNN: from a file, or torchvision's, through PyTorch's cache."""

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import torch
import torchvision

from vidcaption.errors import ModelError, UsageError
from vidcaption.reasons import of_network

TIMEOUT_S = 10.0
_ALTERED = "what arrived is not the file of that name"


def find_weights(backbones: Sequence[str], choice: str) -> list[Path]:
    """The file of each backbone's ImageNet weights; empty for ``none``, which is random.

    ``choice``: ``imagenet`` is torchvision's, downloaded once and checked against the hash in its
    name; anything else is a file. For several backbones, one of these for each, joined by +, or
    ``imagenet`` for all. Raises UsageError if there is no such file, ModelError if the
    download fails.
    """
    if choice == "none":
        return []
    several = len(backbones) > 1 and choice != "imagenet"
    choices = choice.split("+") if several else [choice] * len(backbones)
    if len(choices) != len(backbones):
        raise UsageError(
            f"--backbone-weights is {choice!r}, and there are {len(backbones)} backbones; name a "
            "file for each, joined by +, or imagenet for all"
        )
    return [_find(*each) for each in zip(backbones, choices, strict=True)]


def _find(backbone: str, choice: str) -> Path:
    if choice == "imagenet" and backbone == "efficientnet_lite2":
        raise UsageError(
            "--backbone efficientnet_lite2 has no weights to download; name a file of TensorFlow's "
            "with --backbone-weights, or start from the built-in model with --init default"
        )
    if choice == "imagenet":
        return _torchvisions(torchvision.models.get_model_weights(backbone).DEFAULT.url)
    path = Path(os.path.expanduser(choice))
    if not path.is_file():
        raise UsageError(
            f"--backbone-weights is {choice!r}, which does not exist; name a state dict of "
            f"torchvision's {backbone}, imagenet to download it, or none for random weights"
        )
    return path


def _torchvisions(url: str) -> Path:
    name = Path(urlsplit(url).path).name  # resnet50-11ad3fa6.pth
    folder = torch.hub.get_dir()
    if folder.startswith("~"):
        raise ModelError(
            "ImageNet weights are kept in the home folder, and this user has none; set TORCH_HOME "
            "to a folder that can be written to, or give --backbone-weights"
        )
    path = Path(folder) / "checkpoints" / name
    if path.is_file():
        return path
    usual_s = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)  # PyTorch sets none, and would wait for minutes
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sha256 = path.stem.rpartition("-")[2]
        torch.hub.download_url_to_file(url, str(path), sha256, progress=sys.stderr.isatty())
    except (OSError, RuntimeError) as error:  # the latter for another hash
        reason = of_network(error) if isinstance(error, OSError) else _ALTERED
        raise ModelError(
            f"{url} cannot be downloaded ({reason}); put the file at {path}, or "
            "name another with --backbone-weights"
        ) from error
    finally:
        socket.setdefaulttimeout(usual_s)
    return path
