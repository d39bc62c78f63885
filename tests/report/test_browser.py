"""The pages of ``vidcaption report`` in a browser, as people use them."""

from dataclasses import replace

import pytest
from browsers import PHONE, chromium, opened, until
from clips import every, write_clip
from pages import captions_of, ignore, said

from vidcaption.report.site import index_page, read_card
from vidcaption.report.video import video_page
from vidcaption.types import Word

pytestmark = pytest.mark.slow
WAIT = "document.querySelector('video')?.readyState >= 2"


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def site(tmp_path_factory, model, cpu):
    """A folder of a video, one that is missing, their pages and the index."""
    folder = tmp_path_factory.mktemp("site")
    clip = write_clip(folder / "a b.mp4", every(0.1, 80), size=(320, 240))
    segments = [
        said(0, 2, "word1", "word2"), said(2, 4, "word3"), said(4, 6, "word1"), said(6, 8, "word5")
    ]  # fmt: skip
    seen = (Word("traffic light", 0.9), Word("word9", 0.4))
    segments[1:3] = [
        replace(segments[1], confidence=0.9, concepts=seen), replace(segments[2], confidence=0.1)
    ]  # fmt: skip
    captions = captions_of(clip, segments, model)
    cards = []
    for name, embed in (("linked", False), ("embedded", True)):
        page = folder / f"{name}.html"
        page.write_text(video_page(captions, model, cpu, page, "", ignore, embed=embed))
        cards.append((page, read_card(page)))
    (folder / "index.html").write_text(index_page("Videos", cards, folder / "index.html"))
    (folder / "away").mkdir()
    (folder / "away/linked.html").write_bytes((folder / "linked.html").read_bytes())
    return folder.as_uri()


@pytest.mark.parametrize("name", ["linked", "embedded"])
def test_captions_jump_and_follow(browser, site, name):
    with opened(browser, f"{site}/{name}.html#t=2") as page:
        until(page, WAIT)
        active = page.locator(".cue.active .text")
        assert active.inner_text() == "word3"
        tracks = page.evaluate("[...document.querySelector('video').textTracks[0].cues].length")
        assert tracks == 4
        page.locator(".jump").nth(3).click()
        until(page, "document.querySelector('video').currentTime >= 6")
        assert active.inner_text() == "word5" and page.url.endswith("#t=6")
        assert page.locator("[aria-current]").count() == 1
        page.evaluate("document.querySelector('video').currentTime = 4.5")
        until(page, "document.querySelector('.cue.active .text').textContent == 'word1'")
        page.locator(".reel button").nth(0).click()
        until(page, "document.querySelector('video').currentTime < 2.5")


def test_keys(browser, site):
    with opened(browser, f"{site}/linked.html") as page:
        until(page, WAIT)
        page.keyboard.press("/")
        page.keyboard.type("WORD1")
        assert page.locator("#count").inner_text() == "2 of 4"
        assert page.locator(".cue:visible").count() == 2
        assert page.locator("mark").all_inner_texts() == ["word1", "word1"]
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        until(page, "document.querySelector('video').currentTime >= 4")
        page.keyboard.press("/")
        page.keyboard.press("Escape")
        assert page.locator(".cue:visible").count() == 4 and not page.locator("mark").count()


def test_concepts_are_searched_with_their_caption(browser, site):
    with opened(browser, f"{site}/linked.html") as page:
        counts = {"light": 1, "word3 traffic word9": 1, "word1 light": 0, "90": 0}
        for query, count in counts.items():
            page.fill("#query", query)
            assert page.locator(".cue:visible").count() == count
        page.fill("#query", "light")
        assert page.locator("mark").all_inner_texts() == ["light"]


def test_unsure_captions_are_shaded(browser, site):
    with opened(browser, f"{site}/linked.html") as page:
        shades = page.locator(".cue").evaluate_all(
            "all => all.map((each) => getComputedStyle(each).getPropertyValue('background-image'))"
        )
        assert shades[0] == shades[3] == "none"
        alphas = [float(shade.rpartition("128, ")[2].rstrip(")")) for shade in shades[1:3]]
        assert 0.02 < alphas[0] < 0.06 and alphas[1] > 0.3


def test_where_the_model_looked(browser, site):
    with opened(browser, f"{site}/linked.html") as page:
        page.locator("summary").first.press("Enter")
        word = page.get_by_role("button", name="word2")
        word.press("Enter")
        assert word.get_attribute("aria-pressed") == "true"
        assert page.locator("output:visible", has_text="word2: probability 25%").count() == 1
        canvas = page.locator("canvas").first
        size = canvas.evaluate("c => [c.width, c.height]")
        assert size == [4, 2]  # of two frames with a grid of 2 x 2
        drawn = canvas.evaluate("c => [...c.getContext('2d').getImageData(0, 0, 4, 2).data]")
        alpha = drawn[3::4]
        assert max(alpha) > 150 and min(alpha) < 30
        word.press("Enter")
        assert not canvas.is_visible()


@pytest.mark.parametrize("asked", ["light", "dark"])
def test_light_and_dark(browser, site, asked):
    """As the system is, and the other way by a button, also on the next page."""
    dark = "getComputedStyle(document.body).backgroundColor == 'rgb(22, 22, 22)'"
    with opened(browser, f"{site}/linked.html", color_scheme=asked) as page:
        assert page.evaluate(dark) == (asked == "dark")
        page.locator("#theme").click()
        assert page.evaluate(dark) == (asked == "light")
        page.goto(f"{site}/index.html")
        assert page.evaluate(dark) == (asked == "light")


def test_a_video_that_is_not_there(browser, site):
    with opened(browser, f"{site}/embedded.html") as page:
        assert not page.locator("#unplayable").is_visible()
    context = browser.new_context()  # the browser itself says that the file is missing
    page = context.new_page()
    page.goto(f"{site}/away/linked.html")
    page.locator("#unplayable").wait_for(state="visible")
    assert page.locator(".cue:visible").count() == 4
    context.close()


def test_without_scripts(browser, site):
    with opened(browser, f"{site}/linked.html", java_script_enabled=False) as page:
        assert page.locator(".cue:visible").count() == 4
        assert not page.locator("#query").is_visible() and not page.locator("#theme").is_visible()


def test_a_phone_scrolls_one_way(browser, site):
    with opened(browser, f"{site}/linked.html", **PHONE) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.goto(f"{site}/index.html")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_all_that_is_used_has_a_name(browser, site):
    """What a screen reader says of it."""
    with opened(browser, f"{site}/linked.html") as page:
        page.locator("summary").first.click()
        counts = {}
        for role in ("button", "link", "searchbox", "checkbox", "heading"):
            found = page.get_by_role(role).all()
            assert all(map(accessible_name, found)), role
            counts[role] = len(found)
        assert counts == {"button": 3, "link": 4, "searchbox": 1, "checkbox": 1, "heading": 2}


def accessible_name(locator):
    return (
        locator.get_attribute("aria-label")
        or locator.inner_text()
        or locator.evaluate("each => each.labels?.[0]?.textContent")
    )


def test_the_index_finds_moments(browser, site):
    with opened(browser, f"{site}/index.html") as page:
        page.fill("#query", "word5")
        assert page.locator("#count").inner_text() == "2 of 2"
        moments = page.locator("[data-line]:visible")
        assert moments.count() == 2
        moments.first.locator("a").click()
        until(page, WAIT)
        assert page.url.endswith("linked.html#t=6")
        assert page.locator(".cue.active .text").inner_text() == "word5"
