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
    """Run the command with ``args``, by default the process's own, and return its exit code.

    Errors are printed as one sentence on standard error. With ``VIDCAPTION_DEBUG=1`` unexpected
    ones are raised with their traceback.
    """
    settle()
    # Errors of the Hub are reported by this program; its library would also log them.
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    # PyTorch's threads would spin while they wait for each other, which takes several times as
    # long if another program uses the CPU: see benchmarks/threads.py.
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
        if isinstance(error.__context__, BrokenPipeError):  # Typer's, when printing help
            return PIPE_CLOSED
        raise
    except Exception as error:  # a bug: the user gets one sentence
        if os.environ.get("VIDCAPTION_DEBUG"):
            raise
        if os.strerror(errno.EMFILE) in str(error):  # from any library
            return _fail(
                "this process may not open as many files as it needs; raise the limit, as with "
                "ulimit -n 256",
                3,
            )
        return _fail(
            f"unexpected {type(error).__name__}: {error}. This is a bug: please report it, with "
            "the output of this command with VIDCAPTION_DEBUG=1 in the environment",
            1,
        )
    return int(code or 0)


def _notes(error: BaseException) -> list[str]:
    """The notes of an error, such as the source of an option."""
    return getattr(error, "__notes__", [])


def _fail(message: str, code: int) -> int:
    say(" ".join(message.split()))
    return code
