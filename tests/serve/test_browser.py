"""The page of the server in a browser, as people use it."""

import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browsers import PHONE, chromium, opened, until
from servers import Process, send, until_over

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def server(tiny: Path, clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("films") / "films"
    folder.mkdir()
    shutil.copy(clip, folder / "beach.mp4")
    shutil.copy(clip, folder / "forest.mp4")
    with Process(tiny, folder.parent / "data", str(folder)) as server:
        yield server


@pytest.fixture
def page(browser: "Browser", server: Process) -> "Iterator[Page]":
    """The page of a server without jobs."""
    for job in server.client.get("/v1/captions").json()["jobs"]:
        server.client.delete(job["links"]["self"])
    with opened(browser, server.address) as page:
        yield page


def status_of(name: str) -> str:
    """Of the job of that name, as an expression."""
    card = f"[...document.querySelectorAll('.job')].find(e => e.innerText.includes('{name}'))"
    return f"{card}?.dataset.status"


def test_from_empty_to_done(page: "Page", clip: Path, tmp_path: Path) -> None:
    until(page, "!document.querySelector('#empty').hidden")
    page.fill("#window", "1")
    page.set_input_files("#picker", [clip, shutil.copy(clip, tmp_path / "<i>second.mp4")])
    for name in ("clip.mp4", "second.mp4"):
        until(page, f"{status_of(name)} === 'done'")
    assert page.locator("#empty").is_hidden() and page.locator(".job").count() == 2
    assert page.locator(".job i").count() == 0  # a name is text
    card = page.locator(".job", has_text="clip.mp4")
    assert re.fullmatch(r"\d captions? in 0:0[23]", card.locator(".status").inner_text())
    assert card.locator("progress").is_hidden() and card.locator(".error").is_hidden()
    card.locator("summary").click()
    with page.expect_download() as download:
        card.locator("[data-format=srt]").click()
    assert download.value.suggested_filename == "clip.srt"
    assert download.value.path().read_text().startswith("1\n00:00:00,000")
    card.locator(".delete").click()
    until(page, "document.querySelectorAll('.job').length === 1")


def test_the_player(page: "Page", server: Process, clip: Path) -> None:
    job = until_over(
        server.client, send(server.client, clip.read_bytes(), name="a.mp4", merge="false")
    )
    until(page, f"{status_of('a.mp4')} === 'done'")
    page.locator(".watch").click()
    page.locator("video").wait_for()  # it is drawn
    until(page, "document.querySelector('video')?.readyState >= 2")
    assert page.url.endswith(job["links"]["page"])
    page.locator(".jump").nth(1).click()
    until(page, "document.querySelector('video').currentTime >= 1")
    page.locator("summary").nth(1).click()
    page.locator(".cue").nth(1).locator(".words button").first.click()
    assert "probability" in page.locator(".cue").nth(1).locator("output").inner_text()


def test_working_and_cancelling(page: "Page", server: Process, long_clip: Path) -> None:
    for name in ("first.mp4", "second.mp4"):
        send(server.client, long_clip.read_bytes(), name=name, stride="0.1", merge="false")
    until(page, f"{status_of('first.mp4')} === 'running'")
    until(page, "document.querySelector('.latest:not([hidden])')?.textContent.startsWith('Word')")
    until(page, "document.querySelector('.job[data-status=running] progress').value > 0")
    first = page.locator(".job", has_text="first.mp4")
    assert re.fullmatch(r"\d+ %, \d+ captions?", first.locator(".status").inner_text())
    assert page.locator(".job", has_text="second.mp4").locator(".status").inner_text() == "is next"
    first.locator(".cancel").click()
    until(page, f"{status_of('first.mp4')} === 'cancelled'")
    until(page, f"{status_of('second.mp4')} === 'running'")
    assert first.locator(".cancel").is_hidden() and first.locator(".delete").is_visible()


def test_what_is_no_video(page: "Page", tmp_path: Path) -> None:
    broken = tmp_path / "notes.mp4"
    broken.write_text("no video\n" * 100)
    page.set_input_files("#picker", broken)
    until(page, f"{status_of('notes.mp4')} === 'failed'")
    assert "notes.mp4 is not a video" in page.locator(".error").inner_text()
    assert page.locator(".watch").is_hidden() and page.locator(".downloads").is_hidden()
    page.fill("#window", "0")  # is not sent
    page.set_input_files("#picker", broken)
    assert page.locator(".job").count() == 1


def test_dropping(page: "Page") -> None:
    page.evaluate("""() => {
        const data = new DataTransfer();
        data.items.add(new File(["no video"], "dropped.mp4"));
        const options = { dataTransfer: data, bubbles: true, cancelable: true };
        document.querySelector("#drop").dispatchEvent(new DragEvent("dragover", options));
        document.querySelector("footer").dispatchEvent(new DragEvent("drop", options));
    }""")
    until(page, f"{status_of('dropped.mp4')} === 'failed'")


def test_folders_and_search(page: "Page", server: Process) -> None:
    page.locator("#folders summary").click()
    until(page, "document.querySelectorAll('#files li').length === 2")
    page.fill("#filter", "beach")
    until(page, "document.querySelectorAll('#files li').length === 1")
    page.locator("#files button").click()
    until(page, f"{status_of('beach.mp4')} === 'done'")
    (job,) = server.client.get("/v1/captions").json()["jobs"]
    word = server.client.get(job["links"]["results"]["txt"]).text.split()[0]
    page.fill("#query", word)
    page.press("#query", "Enter")
    until(page, "document.querySelectorAll('#moments li').length > 0")
    page.locator("#moments a").first.click()
    page.locator(".cue.active").wait_for()
    assert "#t=" in page.url
    page.go_back()
    page.fill("#query", "zebra")
    page.press("#query", "Enter")
    until(page, "document.querySelector('#found-note').textContent.startsWith('Nothing')")
    page.locator("#close").click()
    assert page.locator("#found").is_hidden()


def test_keyboard(page: "Page", server: Process) -> None:
    send(server.client, b"no video", name="a.mp4")
    until(page, f"{status_of('a.mp4')} === 'failed'")
    reached = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"query", "picker", "window", "delete"} <= reached


def test_phone(browser: "Browser", server: Process) -> None:
    send(server.client, b"no video", name="a-name-without-spaces-" * 6 + ".mp4")
    with opened(browser, server.address, **PHONE) as page:
        until(page, "document.querySelector('.job') !== null")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_server_that_is_away(browser: "Browser", tiny: Path, tmp_path: Path, clip: Path) -> None:
    """The page says so, and goes on by itself when the server is back."""
    token = ["--token", "a token that nobody knows"]
    with Process(tiny, tmp_path, *token) as server, opened_away(browser, server.address) as page:
        page.fill("input", "wrong")
        page.press("input", "Enter")
        page.locator(".error").wait_for()
        page.fill("input", token[1])
        page.press("input", "Enter")
        page.locator("#empty").wait_for()
        page.fill("#window", "1")
        page.set_input_files("#picker", clip)
        until(page, f"{status_of('clip.mp4')} === 'done'")
        server.end(signal.SIGKILL)
        until(page, "!document.querySelector('#lost').hidden")
        page.set_input_files("#picker", clip)
        until(page, "document.querySelector('.job .error:not([hidden])') !== null")
        port = server.address.rpartition(":")[2]
        with Process(tiny, tmp_path, *token, "--port", port):
            until(page, "document.querySelector('#lost').hidden")
            assert page.locator(".job[data-status=done]").count() == 1


class opened_away:
    """A page whose browser may say that it was refused, or that nobody answers."""

    def __init__(self, browser: "Browser", address: str) -> None:
        self._place = browser.new_context()
        self._address = address

    def __enter__(self) -> "Page":
        page = self._place.new_page()
        page.goto(self._address)
        return page

    def __exit__(self, *_: object) -> None:
        self._place.close()
