"""The command line: options in, one library call, an exit code out."""

import errno
import os
import sys
from collections.abc import Sequence

import typer

from vidcaption.cli.app import app, explained
from vidcaption.cli.console import INTERRUPTED, PIPE_CLOSED, say, settle
from vidcaption.errors import VidcaptionError

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> int:
    """Run the command with ``args``, the process's own unless given, and return its exit code.

    Errors come out as one sentence on standard error. ``VIDCAPTION_DEBUG=1`` lets those that are
    not raised on purpose through, with their traceback.
    """
    settle()
    # What goes wrong with the Hub is said by us; the library that talks to it would log it as well.
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    # PyTorch's threads would keep their cores while they wait for each other, and where another
    # program wants one that takes several times as long: see benchmarks/threads.py.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    args = list(sys.argv[1:] if args is None else args)
    if args[:1] == ["help"]:
        args = [*args[1:], "--help"]
    try:
        command = typer.main.get_command(app)
        code = command.main(args, prog_name="vidcaption", standalone_mode=False)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command_path = context.command_path if context else " ".join(["vidcaption", *args[:1]])
        notes = "; ".join((*_notes(error), f"see {command_path} --help"))
        return _fail(f"{explained(error, args)} ({notes})", 2)
    except VidcaptionError as error:
        notes = "; ".join(_notes(error))
        return _fail(f"{error} ({notes})" if notes else str(error), error.exit_code)
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # Typer's, whose help nobody reads
            return PIPE_CLOSED
        raise
    except Exception as error:  # a defect, of any class: one sentence is for whoever runs it
        if os.environ.get("VIDCAPTION_DEBUG"):
            raise
        if os.strerror(errno.EMFILE) in str(error):  # whichever library says so
            return _fail(
                "this process may not open as many files as it needs; raise the limit, as with "
                "ulimit -n 256",
                3,
            )
        return _fail(
            f"unexpected {type(error).__name__}: {error}. This is a defect: please report it, with "
            "what VIDCAPTION_DEBUG=1 in the environment makes this command say",
            1,
        )
    return int(code or 0)


def _notes(error: BaseException) -> list[str]:
    """What was added to an error on its way: where an option comes from."""
    return getattr(error, "__notes__", [])


def _fail(message: str, code: int) -> int:
    say(" ".join(message.split()))
    return code
