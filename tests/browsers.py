"""Chromium for tests of pages, driven by Playwright; they are skipped where there is none."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True}


@contextmanager
def chromium() -> Iterator["Browser"]:
    """The browser, without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if not CHROMIUM:
        pytest.skip("no Chromium is installed")
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        yield browser
        browser.close()


@contextmanager
def opened(browser: "Browser", address: str, **context: Any) -> Iterator["Page"]:
    """A page of which no script fails, and nothing is refused by its policy."""
    place = browser.new_context(**context)
    page = place.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    yield page
    place.close()
    assert not said


def until(page: "Page", expression: str) -> None:
    """Wait for it to become true. The pages' policy forbids Playwright's own way, which is eval."""
    deadline_s = time.monotonic() + 60
    while not page.evaluate(expression):
        assert time.monotonic() < deadline_s, expression
        time.sleep(0.05)
