"""Takes videos from clients: each goes to disk as it comes, within limits of size and time."""

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

from anyio import to_thread
from starlette.requests import ClientDisconnect, Request

from vidcaption.output.text import one_line

IDLE_S = 30.0  # without data, after which an upload is given up
LINGER_BYTES, LINGER_S = 64_000_000, 5.0  # of a refused upload that are read, to be heard
_PIECE = 1 << 20  # bytes that are written at a time
_LONGEST_NAME = 150  # characters


class UploadError(Exception):
    """Why an upload was not taken: an HTTP status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def display_name(name: str) -> str:
    """A name to show, from whatever a client sends: one line, without folders."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return one_line(last)[-_LONGEST_NAME:] or "video"


async def take(request: Request, target: Path, most_bytes: int, timeout_s: float) -> int:
    """Write the body of a request to a new file, on disk when this returns. Its size in bytes.

    Raises UploadError; the file may then be there in part.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most_bytes:
        raise _too_large(most_bytes)
    size = 0
    try:
        async with asyncio.timeout(timeout_s):
            with target.open("xb", buffering=0) as file:
                async for piece in _pieces(request):
                    size += len(piece)
                    if size > most_bytes:
                        raise _too_large(most_bytes)
                    await to_thread.run_sync(_write, file.fileno(), piece)
                await to_thread.run_sync(os.fsync, file.fileno())
    except TimeoutError as error:
        raise UploadError(
            408,
            f"the upload is given up: it took over {timeout_s:g} s, or {IDLE_S:g} s without data",
        ) from error
    except ClientDisconnect as error:
        raise UploadError(400, "the upload was broken off") from error
    except OSError as error:
        status = 507 if error.errno in (errno.ENOSPC, errno.EDQUOT) else 500
        raise UploadError(status, f"the upload cannot be kept: {error.strerror}") from error
    if not size:
        raise UploadError(
            400, "the request has no body; send a video as the body, or name a file with ?file=ID"
        )
    return size


async def linger(request: Request) -> None:
    """Read on for a while: who is still sending would otherwise not hear why it was refused."""
    left = LINGER_BYTES
    with contextlib.suppress(TimeoutError, ClientDisconnect, RuntimeError):
        async with asyncio.timeout(LINGER_S):
            async for chunk in request.stream():
                left -= len(chunk)
                if left < 0:
                    return


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """The body, in pieces that are worth a write. Raises TimeoutError, ClientDisconnect."""
    stream = request.stream()
    waiting = bytearray()
    while True:
        async with asyncio.timeout(IDLE_S):
            chunk = await anext(stream, None)
        if chunk is not None:
            waiting += chunk
        if len(waiting) >= _PIECE or (chunk is None and waiting):
            yield bytes(waiting)
            waiting.clear()
        if chunk is None:
            return


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _too_large(most_bytes: int) -> UploadError:
    return UploadError(
        413, f"the upload is too large: at most {most_bytes / 1e6:g} MB are taken; cut or scale it"
    )
