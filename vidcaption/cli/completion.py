"""What the shell offers where a name is to be typed. Uses no network, and loads no PyTorch."""

import os
from contextlib import suppress
from pathlib import Path

import typer

from vidcaption.cli.configured import configured, presets
from vidcaption.errors import VidcaptionError


def complete_model(incomplete: str) -> list[str]:
    """Models on this machine: the embedded one, those in the Hub's cache, and folders.

    A cached commit is offered by its branches and tags, ``owner/name`` standing for ``main``.
    """
    from vidcaption.store import DEFAULT, cache

    names, cached = [DEFAULT], list[cache.Cached]()
    with suppress(VidcaptionError):  # there may be no home, or an odd setting of the Hub
        cached = list(cache.models())
    for each in cached:
        if each.complete:
            at = (
                each.repo if name == cache.MAIN else f"{each.repo}@{name}"
                for name in each.revisions
            )
            names += list(at) or [f"{each.repo}@{each.commit}"]
    return sorted(name for name in names if name.startswith(incomplete)) + _folders(incomplete)


def complete_preset(incomplete: str) -> list[str]:
    """Presets of ``train``."""
    return [name for name in presets() if name.startswith(incomplete)]


def complete_command(context: typer.Context, incomplete: str) -> list[str]:
    """Commands that options can be set for."""
    return [name for name in configured(context) if name.startswith(incomplete)]


def _folders(incomplete: str) -> list[str]:
    """Folders whose path begins so, hidden ones only if the dot is there."""
    start = Path(os.path.expanduser(incomplete))
    parent, beginning = (start, "") if incomplete.endswith("/") else (start.parent, start.name)
    prefix = incomplete[: len(incomplete) - len(beginning)]
    try:
        names = sorted(each.name for each in parent.iterdir() if each.is_dir())
    except OSError:
        return []
    shown = (name for name in names if beginning.startswith(".") or not name.startswith("."))
    return [prefix + name for name in shown if name.startswith(beginning)]
