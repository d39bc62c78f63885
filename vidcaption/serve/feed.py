"""Wakes those who follow the jobs, from any thread."""

import asyncio
from contextlib import suppress
from threading import Lock


class Feed:
    """``version`` rises with each change. Closed, it lets nobody wait any more."""

    def __init__(self) -> None:
        self.version = 0
        self.closed = False
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()

    def open(self) -> None:
        """Called in the event loop that those who wait run in."""
        self._loop = asyncio.get_running_loop()

    def tell(self) -> None:
        """Something has changed."""
        with self._lock:
            self.version += 1
        with suppress(RuntimeError):  # the loop has ended, and nobody waits
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._wake)

    def close(self) -> None:
        self.closed = True
        self.tell()

    async def wait(self, seen: int, timeout_s: float) -> None:
        """Return when the version is above ``seen``, or after so many seconds."""
        if self.version == seen and not self.closed:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), timeout_s)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
