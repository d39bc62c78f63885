"""Signals, sent to a process of its own."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from vidcaption.cli.console import interruptible

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")

SCRIPT = """
import sys, time
from vidcaption.cli.console import interruptible
try:
    with interruptible():
        try:
            print("ready", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print("once", flush=True)
            if sys.argv[1] == "twice":
                time.sleep(60)
    if sys.argv[1] == "later":
        print("leaving", flush=True)
        time.sleep(60)
finally:
    print("cleaned up", flush=True)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize(
    ("times", "code", "rest"), [("once", 0, "cleaned up\n"), ("twice", 130, "")]
)
def test_one_is_an_exception_and_two_end_it(name: str, times: str, code: int, rest: str) -> None:
    command = [sys.executable, "-c", SCRIPT, times]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(getattr(signal, name))
        assert process.stdout.readline() == "once\n"
        if times == "twice":
            process.send_signal(signal.SIGINT)
        assert process.stdout.read() == rest
    assert process.returncode == code


LOST = """
import os, signal, time
from vidcaption.cli.console import interruptible

class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)  # the exception is raised here, and gets no further

with interruptible():
    try:
        Finalized()
        time.sleep(20)
        print("lost")
    except KeyboardInterrupt:
        print("interrupted")
"""


def test_none_is_lost_in_a_finalizer() -> None:
    result = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "interrupted\n", "")


def test_a_hangup_that_is_ignored_stays_so() -> None:
    """As under nohup, which is what keeps a run going when its terminal is closed."""
    command = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", sys.executable, "-c", SCRIPT, "once"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        time.sleep(0.1)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "once\ncleaned up\n"


def test_the_cursor_is_shown_when_it_leaves_at_once() -> None:
    import pty  # there is none on Windows

    ours, terminal = pty.openpty()
    os.set_blocking(ours, False)
    command = [sys.executable, "-c", SCRIPT, "twice"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal, text=True) as process:
        assert process.stdout is not None
        for line in ("ready\n", "once\n"):
            assert process.stdout.readline() == line
            process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    assert os.read(ours, 100) == b"\x1b[?25h"
    for descriptor in (ours, terminal):
        os.close(descriptor)


def test_one_that_comes_while_the_process_ends_leaves_at_once() -> None:
    command = [sys.executable, "-c", SCRIPT, "later"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in ("ready\n", "once\n", "leaving\n"):
            assert process.stdout.readline() == line
            if line != "once\n":
                process.send_signal(signal.SIGINT)
        assert process.stdout.read() == ""
    assert process.returncode == 130


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with interruptible():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_thread_leaves_signals_alone() -> None:
    seen = []

    def work() -> None:
        with interruptible():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]
