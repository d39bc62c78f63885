"""Fixtures for all tests: the clips, and a check that nothing logs an error unseen."""

import logging
from collections.abc import Iterator

import pytest
from clips import Clips


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
