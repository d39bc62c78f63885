"""Progress of a download."""

from threading import Lock
from typing import Any


class Tally:
    """Counts the bytes of all files; used in place of huggingface_hub's bar for each file."""

    def __init__(self) -> None:
        self.total = 0  # set for files from the Hub's Xet storage
        self._done = 0.0
        self._stopped = False
        self._lock = Lock()

    def __call__(self, *, initial: float = 0, **_: Any) -> "Tally":
        self.update(initial)
        return self

    def __enter__(self) -> "Tally":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def done(self) -> float:
        return self._done

    def stop(self) -> None:
        """End the downloads, each when its next bytes arrive."""
        self._stopped = True

    def update(self, size: float | None = 1) -> None:
        if self._stopped:
            raise InterruptedError
        with self._lock:
            self._done += size or 0

    def ignore(self, *_: object, **__: object) -> None:
        """Called for files from the Hub's Xet storage; not used."""

    update_transfer = set_postfix_str = set_transfer_postfix_str = ignore
