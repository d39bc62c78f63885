"""Fixtures for all tests: the clips, and a check that nothing logs an error unseen.

A process for each core, with a thread each, share the whole suite; a part of it, asked for by name
or with -k, is run by one process, which begins sooner.
"""

import logging
import os
import signal
from collections.abc import Iterator

import pytest
from clips import Clips
from hypothesis import settings
from stores import s3, store

__all__ = ["s3", "store"]  # one server for all tests of a process

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before PyTorch is imported

if os.name == "posix" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    # Under nohup: still ignore hangups, but let processes that are started begin with the default.
    signal.signal(signal.SIGHUP, lambda *_: None)

settings.register_profile("untimed", deadline=None)  # on a busy machine any example takes long
settings.load_profile("untimed")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """None: as many as there are cores."""
    part = config.args != config.getini("testpaths") or config.option.keyword
    return 0 if part else None


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    """Tiny videos by name; see ``RECIPES`` in clips.py."""
    return Clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(autouse=True)
def no_logged_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test that logged an error; one that means to calls ``caplog.clear()``."""
    yield
    errors = [r.getMessage() for r in caplog.get_records("call") if r.levelno >= logging.ERROR]
    assert not errors
