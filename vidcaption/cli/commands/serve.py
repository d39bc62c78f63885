"""``vidcaption serve``."""

import functools
import logging
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from vidcaption.cli.captioning import recipe_of, resolve_with_bar
from vidcaption.cli.console import closing_words, interruptible
from vidcaption.cli.flags import Model, Offline, with_options
from vidcaption.cli.help import helped
from vidcaption.errors import SetupError, UsageError
from vidcaption.events import event
from vidcaption.options.batch import BatchOptions
from vidcaption.options.captioning import CaptionOptions, MachineOptions
from vidcaption.options.output import LogOptions
from vidcaption.options.serve import ServeOptions

logger = logging.getLogger(__name__)


@helped(
    """
    vidcaption serve                        a page at http://127.0.0.1:8765/
    vidcaption serve ~/Videos               whose videos can be picked there, too
    vidcaption serve --host 0.0.0.0         for other machines; set VIDCAPTION_SERVE_TOKEN
    """,
    first="host port token data model device",
)
@with_options
def serve(
    options: ServeOptions,
    machine: MachineOptions,
    voice: LogOptions,
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FOLDER", help="Folders whose videos can be picked."),
    ] = None,
    model: Model = None,
    offline: Offline = False,
) -> int:
    """Caption videos for browsers and programs: a page, and an HTTP API.

    Videos are dropped on the page or sent to the API, and captioned one after the other. Jobs
    survive a restart, and go on where they were. The API is described at /openapi.json. Only this
    machine can reach the server, unless --host says otherwise, which needs --token.

    Exit codes: 2 the command is wrong, 3 it cannot run, 130 stopped by Ctrl-C or a signal.
    """
    from vidcaption.batch import Captioners

    with closing_words(), interruptible(), ExitStack() as stack:
        if missing := [str(folder) for folder in folders or [] if not folder.is_dir()]:
            raise UsageError(f"no such folder: {', '.join(missing)}")
        if "," in machine.device:
            raise UsageError(f"--device is {machine.device!r}, and serve uses one; name that")
        _require()
        from vidcaption.serve.listening import address_of, listen

        listening = stack.enter_context(listen(options))
        folder = resolve_with_bar(model, offline, voice)
        (captioner,) = stack.enter_context(Captioners(folder, machine, BatchOptions()))()
        from vidcaption.serve.app import serve as answer
        from vidcaption.serve.place import Place

        root = (options.data or _default_data()).absolute()
        address = address_of(listening)
        answer(
            options,
            Place(root, (options.index or root / "index.sqlite").absolute()),
            folders or [],
            captioner,
            recipe_of(model, folder, CaptionOptions()),
            listening,
            functools.partial(logger.info, f"listening at {address}", extra=event("listening")),
        )
        return 0


def _default_data() -> Path:
    from platformdirs import user_data_path

    return user_data_path("vidcaption", appauthor=False) / "serve"


def _require() -> None:
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise SetupError(
            f'serve needs the extra "serve", and {error.name} is not installed; '
            "pip install 'vidcaption[serve]'"
        ) from error
