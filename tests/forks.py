"""``vidcaption`` in processes of their own, forked from one that has imported PyTorch.

It is imported once, and not used before the forks: each starts in a moment instead of seconds.
"""

import os
import sys
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

_CONTEXT = get_context("forkserver" if os.name == "posix" else None)
if os.name == "posix":
    _CONTEXT.set_forkserver_preload(["vidcaption.pipeline", "vidcaption.cli", "pytest"])


def start(*arguments: str, cwd: Path, stderr: str = os.devnull, before: str = "") -> BaseProcess:
    """A process and the first of its group. ``before``: Python that it runs first."""
    process = _CONTEXT.Process(target=_run, args=(arguments, cwd, stderr, before))
    process.start()
    return process


def _run(arguments: list[str], cwd: Path, stderr: str, before: str) -> None:
    from vidcaption.cli import main

    os.setsid()
    os.chdir(cwd)
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT), 2)
    exec(before, {})
    sys.exit(main([*arguments]))
