"""The HTTP API below ``/v1``: ``openapi.py`` describes it for clients."""

import asyncio
import json
import math
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from vidcaption.errors import InputError, UsageError
from vidcaption.find.index import Index
from vidcaption.find.query import Query
from vidcaption.find.search import Found, search
from vidcaption.options.base import flag_of, nearest, parse
from vidcaption.options.batch import FindOptions
from vidcaption.options.captioning import CaptionOptions
from vidcaption.output.formats import format_named
from vidcaption.serve.callbacks import check_callback
from vidcaption.serve.guard import problem
from vidcaption.serve.jobs import Job, new_id
from vidcaption.serve.state import State
from vidcaption.serve.uploads import UploadError, display_name, linger, take
from vidcaption.types import Segment
from vidcaption.version import __version__

LONGEST_WAIT_S = 60.0  # for the result of a job that was just made
TICK_S, KEEP_ALIVE_S = 1.0, 15.0  # between two looks at what runs; between two signs of life
PAUSE_S = 0.1  # in which changes are gathered into one event
FILES = 1000  # in a list
_RETRY = {"Retry-After": "10"}
_SIGN_OF_LIFE = ":\n\n"
_OWN = ("name", "file", "callback", "wait", "format")  # parameters that are no caption options
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}
_KINDS = {
    ".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm",
    ".mkv": "video/x-matroska", ".ogv": "video/ogg", ".jpg": "image/jpeg", ".jpeg": "image/jpeg",
    ".png": "image/png", ".gif": "image/gif", ".webp": "image/webp", ".avif": "image/avif",
}  # fmt: skip
# What a client gave is only ever shown as a video or a picture.
_FOREIGN = {"Content-Security-Policy": "sandbox; default-src 'none'"}
_RESULTS = {"json": "application/json", "vtt": "text/vtt; charset=utf-8"}


class HttpError(Exception):
    """A request that is answered by a status and a sentence."""

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status, self.headers = status, headers


async def create(request: Request) -> Response:
    """A new job, of the body or of a file in a folder; with ``wait`` its result, if it is soon."""
    state, query = _state(request), request.query_params
    options = options_of(query, state.worker.captioner.frames)
    callback = query.get("callback")
    wait_s, format = _wait_s(query), query.get("format", "json")
    format_named(format)
    if callback is not None:
        check_callback(callback, private=state.options.private_callbacks)
    if "file" in query:
        _check_queue(state)
        files = await to_thread.run_sync(state.library.files)
        file = files.get(query["file"])
        if file is None:
            raise HttpError(404, "there is no such file; GET /v1/files lists those there are")
        job = state.jobs.add(new_id(), file.name, file.path, options, callback)
    else:
        job = await _upload(request, state, options, callback)
    state.worker.wake()
    location = {"Location": f"/v1/captions/{job.id}"}
    ended = await _over(state, job, wait_s)
    if ended.status == "done":
        return await _result(state, ended, format, location)
    status = {"failed": 422, "cancelled": 409}.get(ended.status, 202)
    return JSONResponse(state.describe(ended), status, location)


async def index(request: Request) -> Response:
    """The newest jobs."""
    return JSONResponse({"jobs": list(reversed(_state(request).snapshot().values()))})


async def show(request: Request) -> Response:
    """One job."""
    return JSONResponse(_state(request).describe(_job(request)))


async def result(request: Request) -> Response:
    """The captions of a job in a format."""
    format, job = request.path_params["format"], _job(request)
    format_named(format)
    if job.status != "done":
        raise HttpError(409, f"there are no captions: the job is {job.status}")
    return await _result(_state(request), job, format, {})


async def video(request: Request) -> Response:
    """The video of a job, of which players may ask for parts."""
    job = _job(request)
    return _file(job.path, job.name)


async def cancel(request: Request) -> Response:
    """End a job that waits or runs."""
    state, job = _state(request), _job(request)
    if not await to_thread.run_sync(state.worker.cancel, job.id):
        raise HttpError(409, f"the job is {_job(request).status}; it can only be deleted")
    return JSONResponse(state.describe(_job(request)))


async def delete(request: Request) -> Response:
    """Delete a job with all its files."""
    await to_thread.run_sync(_state(request).worker.delete, _job(request).id)
    return Response(status_code=204)


async def events(request: Request) -> Response:
    """What happens to a job, until it is over: each caption as it comes."""
    state, job = _state(request), _job(request)
    last = request.headers.get("last-event-id", "")

    async def happen() -> AsyncIterator[str]:
        sent, before = (int(last) + 1 if last.isdecimal() else 0), None
        async for _ in _ticks(state):
            now = state.jobs.get(job.id)
            if now is None:
                yield _event("gone", {"id": job.id})
                return
            for segment in await to_thread.run_sync(_segments, state, now, sent):
                yield f"id: {sent}\n{_event('caption', _caption(segment))}"
                sent += 1
            described = state.describe(now)
            yield _event("job", described) if described != before else _SIGN_OF_LIFE
            before = described
            if now.over:
                return

    return _stream(happen())


async def all_events(request: Request) -> Response:
    """What happens to all jobs: each that has changed, and those that are gone."""
    state = _state(request)

    async def happen() -> AsyncIterator[str]:
        before: dict[str, Any] = {}
        begun = False
        async for _ in _ticks(state):
            now = await to_thread.run_sync(state.snapshot)
            for id, described in now.items():
                if before.get(id) != described:
                    yield _event("job", described)
            for id in before.keys() - now.keys():
                yield _event("gone", {"id": id})
            yield _SIGN_OF_LIFE if begun else _event("all", {"jobs": len(now)})
            before, begun = now, True

    return _stream(happen())


async def files(request: Request) -> Response:
    """What is in the folders that the server was given."""
    words = request.query_params.get("q", "").casefold().split()
    found = await to_thread.run_sync(_state(request).library.files)
    fitting = [
        {"id": file.id, "name": file.name}
        for file in found.values()
        if all(word in file.name.casefold() for word in words)
    ]
    return JSONResponse({"files": fitting[:FILES], "left_out": max(0, len(fitting) - FILES)})


async def file(request: Request) -> Response:
    """A file in one of those folders."""
    found = await to_thread.run_sync(_state(request).library.files)
    known = found.get(request.path_params["id"])
    if known is None:
        raise HttpError(404, "there is no such file; GET /v1/files lists those there are")
    return _file(known.path, known.name)


async def moments(request: Request) -> Response:
    """Moments in all videos of this server, by what is seen in them."""
    state, query = _state(request), request.query_params
    if unknown := query.keys() - {"q", "limit"}:
        raise UsageError(f"there is no parameter {min(unknown)!r}; there are q and limit")
    limit = next(f for f in fields(FindOptions) if f.name == "limit")
    with _parameters_named():
        options = FindOptions(limit=parse(limit, query.get("limit", "20")))
    found = await to_thread.run_sync(_search, state, Query.parse(query.get("q", "")), options)
    return JSONResponse(found)


async def health(request: Request) -> Response:
    """Whether the server works, and how much there is to do."""
    state = _state(request)
    running = state.worker.running
    return JSONResponse(
        {
            "version": __version__,
            "model": state.worker.captioner.model.name,
            "queued": state.jobs.waiting(),
            "running": running is not None,
            "uploading": len(state.uploading),
        }
    )


ROUTES = [
    Route("/v1/captions", create, methods=["POST"]),
    Route("/v1/captions", index),
    Route("/v1/captions/{id}", show),
    Route("/v1/captions/{id}", delete, methods=["DELETE"]),
    Route("/v1/captions/{id}/cancel", cancel, methods=["POST"]),
    Route("/v1/captions/{id}/events", events),
    Route("/v1/captions/{id}/result.{format}", result),
    Route("/v1/captions/{id}/video", video),
    Route("/v1/events", all_events),
    Route("/v1/files", files),
    Route("/v1/files/{id}", file),
    Route("/v1/search", moments),
    Route("/v1/health", health),
]


def options_of(query: Mapping[str, str], frames: int) -> CaptionOptions:
    """Caption options by the names of their flags. ``frames``: of the model. Raises UsageError."""
    known = {flag_of(f).removeprefix("--"): f for f in fields(CaptionOptions)}
    values: dict[str, Any] = {}
    for name, text in query.items():
        if name in _OWN:
            continue
        f = known.get(name)
        if f is None:
            raise UsageError(f"there is no parameter {name!r}; {nearest(name, [*known, *_OWN])}")
        if f.type is bool and text not in _TRUTHS:
            raise UsageError(f"{name} is {text!r}; it must be true or false")
        with _parameters_named():
            values[f.name] = _TRUTHS[text] if f.type is bool else parse(f, text)
    with _parameters_named():
        return CaptionOptions(**values).of_model(frames)


@contextmanager
def _parameters_named() -> Iterator[None]:
    """Inside, errors speak of parameters in place of flags."""
    try:
        yield
    except UsageError as error:
        raise UsageError(re.sub(r"--(?=[a-z])", "", str(error))) from error


def _state(request: Request) -> State:
    state: State = request.app.state.shared
    return state


def _job(request: Request) -> Job:
    job = _state(request).jobs.get(request.path_params["id"])
    if job is None:
        raise HttpError(404, "there is no such job; it may have been deleted")
    return job


def _wait_s(query: Mapping[str, str]) -> float:
    try:
        wait_s = float(query.get("wait", "0"))
    except ValueError:
        wait_s = math.nan
    if not 0 <= wait_s <= LONGEST_WAIT_S:
        raise UsageError(
            f"wait is {query['wait']!r}; it must be seconds, from 0 to {LONGEST_WAIT_S:g}"
        )
    return wait_s


def _check_queue(state: State) -> None:
    most = state.options.queue
    if state.jobs.waiting() + len(state.uploading) >= most:
        raise HttpError(503, f"{most} jobs wait, and no more may; try again later", _RETRY)


async def _upload(
    request: Request, state: State, options: CaptionOptions, callback: str | None
) -> Job:
    """A job of the body of a request, which is there to stay when this returns."""
    id, limits = new_id(), state.options
    name = display_name(request.query_params.get("name", ""))
    try:
        _check_queue(state)
        if len(state.uploading) >= limits.uploads:
            raise HttpError(503, f"{limits.uploads} uploads are under way; try again later", _RETRY)
        length = request.headers.get("content-length", "")
        state.uploading[id] = int(length) if length.isdecimal() else 0
        _check_storage(state, 0)
        target, most_bytes = state.place.upload(id), int(limits.upload_mb * 1e6)
        target.parent.mkdir(parents=True)
        size = await take(request, target, most_bytes, limits.upload_timeout_s)
        state.uploading[id] = 0
        _check_storage(state, size)
        return await to_thread.run_sync(
            lambda: state.jobs.add(id, name, target, options, callback, uploaded=True, bytes=size)
        )
    except BaseException as error:
        state.place.drop(id)
        if isinstance(error, HttpError | UploadError) and "expect" not in request.headers:
            await linger(request)
        raise
    finally:
        state.uploading.pop(id, None)


def _check_storage(state: State, size: int) -> None:
    most = state.options.storage_mb
    if state.jobs.stored_bytes() + sum(state.uploading.values()) + size > most * 1e6:
        raise HttpError(
            507, f"there is no room: all uploads may take {most:g} MB; delete jobs that are over"
        )


async def _over(state: State, job: Job, wait_s: float) -> Job:
    """A job when it is over, or after so many seconds."""
    deadline_s = time.monotonic() + wait_s
    while True:
        version, now = state.feed.version, state.jobs.get(job.id) or job
        left_s = deadline_s - time.monotonic()
        if now.over or left_s <= 0 or state.feed.closed:
            return now
        await state.feed.wait(version, left_s)


async def _result(state: State, job: Job, format: str, headers: dict[str, str]) -> Response:
    try:
        captions = await to_thread.run_sync(state.place.captions, job)
        text = await to_thread.run_sync(captions.render, format)
    except InputError as error:  # somebody has removed it
        raise HttpError(410, f"the captions are not there any more: {error}") from error
    name = f"{PurePosixPath(job.name).stem or 'captions'}.{format}"
    return PlainTextResponse(
        text,
        media_type=_RESULTS.get(format, "text/plain; charset=utf-8"),
        headers={"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}", **headers},
    )


def _file(path: Path, name: str) -> Response:
    if not path.is_file():
        raise HttpError(404, f"{name} is not there any more")
    kind = _KINDS.get(PurePosixPath(name).suffix.lower(), "application/octet-stream")
    return FileResponse(path, media_type=kind, headers=_FOREIGN)


def _search(state: State, query: Query, options: FindOptions) -> dict[str, Any]:
    folders = [state.place.uploads.resolve(), *state.library.folders]
    found = Found([], 0)
    if state.place.index.exists():
        with Index(state.place.index) as index:
            found = search(index, query, options, folders)
    links = {path: state.link_to(path) for path in {moment.path for moment in found.moments}}
    return {
        "moments": [
            {
                "name": link[0],
                "page": f"{link[1]}#t={moment.start_s:g}",
                "start": moment.start_s,
                "end": moment.end_s,
                "text": moment.text,
                "score": round(moment.score, 4),
                "confidence": moment.confidence,
            }
            for moment in found.moments
            if (link := links[moment.path])
        ],
        "away": found.away,
    }


def _segments(state: State, job: Job, first: int) -> list[Segment]:
    """Captions of a job so far, from the one of number ``first`` on."""
    running = state.worker.running
    if running is not None and running.job.id == job.id:
        return running.segments[first:]
    if job.status != "done":
        return []
    try:
        return list(state.place.captions(job).shown[first:])
    except InputError:  # somebody has removed them
        return []


def _caption(segment: Segment) -> dict[str, Any]:
    return {
        "start": round(segment.start_s, 3),
        "end": round(segment.end_s, 3),
        "text": segment.text,
        "confidence": segment.confidence,
    }


async def _ticks(state: State) -> AsyncIterator[None]:
    """Whenever something may have changed, until the server ends."""
    while not state.feed.closed:
        version = state.feed.version
        yield
        await state.feed.wait(version, TICK_S if state.worker.running else KEEP_ALIVE_S)
        if not state.feed.closed:
            await asyncio.sleep(PAUSE_S)


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def _stream(events: AsyncIterator[str]) -> Response:
    return StreamingResponse(
        events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )


def handlers() -> dict[Any, Any]:
    """How errors are answered."""
    return {
        HttpError: lambda _, error: problem(error.status, str(error), error.headers),
        UploadError: lambda _, error: problem(error.status, str(error)),
        UsageError: lambda _, error: problem(400, str(error)),
    }
