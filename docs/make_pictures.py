"""Draws the pictures of the pages in docs/pictures, from examples/clip.mp4.

    pip install '.[dev]' && python docs/make_pictures.py

Needs Chromium. The clip is small, so that the pictures may be shown anywhere.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import av
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs/pictures"
DESK: dict[str, Any] = {"viewport": {"width": 1180, "height": 640}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 780}, "color_scheme": "dark"}


def draw(browser: Browser, page: Path, name: str, word: str | None, **context: Any) -> None:
    """The page after a click on the first caption, with where the model looked for ``word``."""
    place = browser.new_context(**context)
    tab = place.new_page()
    tab.goto(page.as_uri())
    if word is not None:
        tab.locator(".reel button").first.click()
        tab.locator("summary").first.click()
        tab.locator(".words button", has_text=word).first.click()
    tab.wait_for_timeout(1000)  # until the frame is decoded
    save(tab, name)
    place.close()


def cut(folder: Path) -> None:
    """The five scenes of the clip, each of which begins with a key frame, as videos."""
    names = iter(("motorcycle", "astronaut", "coffee", "cat", "rocket"))
    with av.open(str(ROOT / "examples/clip.mp4")) as source, ExitStack() as stack:
        for packet in source.demux(video=0):
            if packet.dts is None:
                break
            if packet.is_keyframe:
                target = stack.enter_context(av.open(str(folder / f"{next(names)}.mp4"), "w"))
                copy, first = target.add_stream_from_template(packet.stream), packet.dts
            packet.pts, packet.dts = (packet.pts or first) - first, packet.dts - first
            packet.stream = copy
            target.mux(packet)


def draw_server(browser: Browser, place: Path, folder: Path) -> None:
    """The page of vidcaption serve: empty, and with jobs that are done, failed and running."""
    broken, long = place / "notes.mp4", place / "holiday.mp4"
    broken.write_text("no video")
    shutil.copy(ROOT / "examples/clip.mp4", long)
    command = [sys.executable, "-m", "vidcaption", "serve", folder, "--data", place / "data"]
    command += ["--port", "0", "--precision", "fp32", "--log-json"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        line = json.loads(server.stderr.readline())["text"]
        tabs = {}
        for name, context in (("serve", DESK), ("serve-phone", PHONE)):
            tabs[name] = browser.new_context(**context).new_page()
            tabs[name].goto(line.removeprefix("listening at "))
        tab = tabs["serve"]
        tab.locator("#empty").wait_for()
        save(tab, "serve-empty")
        tab.set_input_files("#picker", [folder / "cat.mp4", broken])
        tab.locator("[data-status=done]").wait_for()
        tab.locator("[data-status=failed]").wait_for()
        tab.locator("[data-status=done] summary").click()
        tab.fill("#query", "cat")
        tab.press("#query", "Enter")
        tab.locator("#moments li").first.wait_for()
        tab.fill("#window", "0.2")
        tab.set_input_files("#picker", long)
        tab.locator("[data-status=running] .latest:not([hidden])").wait_for()
        for name, each in tabs.items():
            save(each, name, full_page=True)
    finally:
        server.terminate()
        server.communicate()


def save(tab: Page, name: str, **options: Any) -> None:
    tab.screenshot(path=PICTURES / f"{name}.jpg", type="jpeg", quality=80, **options)


def main() -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if chromium is None:
        sys.exit("no Chromium is installed")
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place, sync_playwright() as driver:
        clip, folder = Path(place, "clip.mp4"), Path(place, "videos")
        shutil.copy(ROOT / "examples/clip.mp4", clip)
        folder.mkdir()
        cut(folder)
        for each in (clip, folder):
            command = [sys.executable, "-m", "vidcaption", "report", each, "--precision", "fp32"]
            subprocess.run(command, check=True)
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page, index = clip.with_suffix(".html"), folder / "index.html"
        draw(browser, page, "report", "motorcycle", **DESK)
        draw(browser, page, "report-phone", "motorcycle", **PHONE)
        draw(browser, index, "report-index", None, **DESK)
        draw_server(browser, Path(place), folder)
        browser.close()


if __name__ == "__main__":
    main()
