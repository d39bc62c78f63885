"""Draws the pictures of the pages in docs/pictures, from examples/clip.mp4.

    pip install '.[dev]' && python docs/make_pictures.py

Needs Chromium. The clip is small, so that the pictures may be shown anywhere.
"""

import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import av
from playwright.sync_api import Browser, sync_playwright

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
    tab.screenshot(path=PICTURES / f"{name}.jpg", type="jpeg", quality=80)
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
        browser.close()


if __name__ == "__main__":
    main()
