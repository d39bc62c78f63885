"""The server: everything it consists of, and its life from the first request to the last."""

import logging
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from vidcaption.errors import OutputError
from vidcaption.find.index import Recipe
from vidcaption.options.serve import ServeOptions
from vidcaption.pipeline import Captioner
from vidcaption.serve import api, site
from vidcaption.serve.callbacks import Callbacks
from vidcaption.serve.feed import Feed
from vidcaption.serve.guard import Guard, problem
from vidcaption.serve.jobs import Jobs
from vidcaption.serve.library import Library
from vidcaption.serve.place import Place
from vidcaption.serve.player import Player
from vidcaption.serve.state import State
from vidcaption.serve.worker import Worker

DAY_S = 86_400
END_S = 3  # in which requests may end when the server does
CONNECTIONS = 1000


def serve(
    options: ServeOptions,
    place: Place,
    folders: Sequence[Path],
    captioner: Captioner,
    recipe: Recipe,
    listening: socket.socket,
    ready: Callable[[], None],
) -> None:
    """Answer requests until a signal ends it, which is then raised again.

    ``recipe``: that of the index for the model. ``ready`` is called when requests are answered.
    Raises OutputError where the place cannot be used.
    """
    with place.locked():
        app, feed = build(options, place, folders, captioner, recipe, ready)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=END_S,
            limit_concurrency=CONNECTIONS,
        )
        # what clients do wrong is theirs, and what we do is said by the guard
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        _Server(config, feed).run(sockets=[listening])


def build(
    options: ServeOptions,
    place: Place,
    folders: Sequence[Path],
    captioner: Captioner,
    recipe: Recipe,
    ready: Callable[[], None] = lambda: None,
) -> tuple[Guard, Feed]:
    """The application, guarded, and what has to be closed for its streams to end."""
    feed = Feed()

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        with ExitStack() as stack:
            jobs = Jobs(place.jobs)
            stack.callback(jobs.close)
            feed.open()
            keep_s = options.keep_days * DAY_S
            worker = Worker(captioner, recipe, jobs, place, feed, keep_s)
            player = Player(captioner, place)
            state = State(options, jobs, place, Library(folders), feed, worker, player)
            app.state.shared = state
            for part in (
                worker,
                player,
                Callbacks(jobs, state.describe, private=options.private_callbacks),
            ):
                stack.enter_context(part)
            ready()
            yield
            feed.close()

    app = Starlette(
        routes=[*api.ROUTES, *site.ROUTES],
        exception_handlers={
            **api.handlers(),
            HTTPException: _unknown,
            Exception: _defect,
            OutputError: lambda _, error: problem(507, str(error)),
        },
        lifespan=life,
    )
    names = filter(None, (options.allow_host or "").split(","))
    guard = Guard(app, local=options.is_local, names=names, token=options.token)
    return guard, feed


class _Server(uvicorn.Server):
    """Ends the streams of events first, for which it would wait."""

    def __init__(self, config: uvicorn.Config, feed: Feed) -> None:
        super().__init__(config)
        self._feed = feed

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._feed.close()
        await super().shutdown(sockets)


def _defect(request: Request, error: Exception) -> Response:
    return problem(500, f"unexpected {type(error).__name__}; this is a defect, please report it")


def _unknown(request: Request, error: Any) -> Response:
    """A path or a method that there is none of."""
    if error.status_code == 405:
        return problem(405, f"{request.method} is not for {request.url.path}", error.headers)
    return problem(
        error.status_code, f"there is no {request.url.path}; /openapi.json lists what there is"
    )
