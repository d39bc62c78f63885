"""Ctrl-C, and the signals that schedulers and terminals that are closed end a process by."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

INTERRUPTED = 130
_SHOW_CURSOR = b"\x1b[?25h"  # which a live view hides


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGINT, SIGTERM or SIGHUP inside raises KeyboardInterrupt; a second one ends the process at
    once.

    Also if that comes after the context: the process is about to end, which takes a while. SIGHUP
    stays ignored where it is, as under nohup.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    caught = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal caught
        if caught:
            with suppress(OSError):
                if os.isatty(2):
                    os.write(2, _SHOW_CURSOR)
            os._exit(INTERRUPTED)
        caught = True
        raise KeyboardInterrupt

    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = [signal.signal(number, stop) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            if not caught:
                signal.signal(number, handler)
