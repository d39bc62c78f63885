"""The page of a video and that of a folder, as text; test_browser.py looks at them."""

import base64
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from clips import every, number_of, write_clip
from pages import HOSTILE, captions_of, decoded, ignore, read_scripted, said

from vidcaption.errors import InputError
from vidcaption.report import video
from vidcaption.report.site import index_page, read_card
from vidcaption.report.video import address, clock, video_page
from vidcaption.types import Word


@pytest.fixture
def clip(tmp_path):
    """Eight seconds of a picture a second, each with its number."""
    return write_clip(tmp_path / "my clip #1 ü.mp4", every(1, 8), options={"g": "1"})


@pytest.fixture
def captions(clip, model):
    segments = [said(0, 2, "word1", "word2"), said(2, 8, "word3", "unheard")]
    return captions_of(clip, segments, model)


def draw(captions, model, cpu, tmp_path, embed=False):
    page = tmp_path / "pages/page.html"
    return video_page(captions, model, cpu, page, "a key", ignore, embed=embed)


def strips(text):
    """The pictures by the number of their caption."""
    found = re.findall(r"\.p(\d+) \{ --strip: url\((.*?)\) \}", text)
    return {int(number): decoded(uri) for number, uri in found}


def test_a_caption_has_its_time_its_pictures_and_where_the_model_looked(
    captions, model, cpu, tmp_path
):
    text = draw(captions, model, cpu, tmp_path)
    page = read_scripted(text)
    cues = [each for each in page.of("li") if "cue" in each["class"]]
    assert [(each["data-start"], each["data-end"]) for each in cues] == [("0", "2"), ("2", "8")]
    # of the second, which joins three windows, the first one
    shown = [np.hsplit(picture, 2) for _, picture in sorted(strips(text).items())]
    assert [[number_of(each) for each in pair] for pair in shown] == [[0, 1], [2, 3]]
    words = [each for each in page.of("button") if "data-heat" in each]
    assert len(words) == 4 and words[0]["data-tip"].startswith("word1: probability 25%; ")
    for word in words:
        heat = np.frombuffer(base64.b64decode(word["data-heat"]), np.uint8)
        assert heat.shape == (2 * 2 * 2,)  # a grid of 2 x 2 over two frames
        assert (heat.min(), heat.max()) == (0, 255)


def test_the_heat_lies_where_the_attention_is():
    attention = np.zeros((3, 4, 4), np.float32)
    attention[2, 0, 3] = 1  # upper right corner of the last frame
    word = video._word(Word("dog", 0.5), attention)
    cells = np.frombuffer(base64.b64decode(word["heat"]), np.uint8).reshape(4, 12)
    assert np.argwhere(cells).tolist() == [[0, 11]]
    assert word["tip"] == "dog: probability 50%; 100% of its attention on picture 3 of 3"


def test_overlapping_windows(clip, model, cpu, tmp_path):
    segments = [said(0, 4, "word1"), said(1, 5, "word2"), said(2, 6, "word3")]
    captions = captions_of(clip, segments, model, window_s=4.0, stride_s=1.0)
    found = strips(draw(captions, model, cpu, tmp_path))
    numbers = [[number_of(each) for each in np.hsplit(found[i], 2)] for i in range(3)]
    assert numbers == [[1, 3], [2, 4], [3, 5]]


def test_the_video_is_linked_from_where_the_page_is(captions, clip, model, cpu, tmp_path):
    [player] = read_scripted(draw(captions, model, cpu, tmp_path)).of("video")
    assert player["src"] == "../my%20clip%20%231%20%C3%BC.mp4"


def test_the_video_is_embedded(captions, clip, model, cpu, tmp_path):
    [player] = read_scripted(draw(captions, model, cpu, tmp_path, embed=True)).of("video")
    kind, data = player["src"].split(",")
    assert kind == "data:video/mp4;base64" and base64.b64decode(data) == clip.read_bytes()


def test_a_video_too_large_to_embed(captions, model, cpu, tmp_path, monkeypatch):
    monkeypatch.setattr(video, "MOST_EMBEDDED", 1000)
    with pytest.raises(InputError, match="but --embed allows 0 MB; omit it"):
        draw(captions, model, cpu, tmp_path, embed=True)


def test_subtitles_are_a_track(captions, model, cpu, tmp_path):
    [track] = read_scripted(draw(captions, model, cpu, tmp_path)).of("track")
    data = base64.b64decode(track["src"].removeprefix("data:text/vtt;base64,"))
    assert data.decode() == captions.render("vtt")


def test_a_still_has_no_player(clips, model, cpu, tmp_path):
    still = clips["still.png"]
    text = draw(captions_of(still, [said(0, 2, "word1")], model), model, cpu, tmp_path)
    page = read_scripted(text)
    assert not page.of("video") and number_of(strips(text)[0]) == 5
    assert "64 x 48, model default" in page.text


def test_a_video_that_says_nothing(clip, model, cpu, tmp_path):
    page = read_scripted(draw(captions_of(clip, [], model), model, cpu, tmp_path))
    assert "The model gave no captions." in page.text


def test_confidence_and_concepts(clip, model, cpu, tmp_path):
    sure = replace(said(0, 2, "word1"), confidence=0.834, concepts=(Word("traffic light", 0.41),))
    unsure = replace(said(2, 4, "word2"), confidence=0.2, below_min_confidence=True)
    text = draw(captions_of(clip, [sure, unsure], model), model, cpu, tmp_path)
    page = read_scripted(text)
    [cue] = [each for each in page.of("li") if "cue" in each.get("class", "")]
    assert cue["style"] == "--sure:0.83"
    assert ", confidence 83%" in page.text and "traffic light 41%" in page.text
    assert "Captions are shaded more" in page.text and "word2" not in page.text
    text = draw(captions_of(clip, [unsure], model), model, cpu, tmp_path)
    assert "No caption reaches the confidence that was asked for." in text


def test_a_model_without_confidence_has_no_shades(captions, model, cpu, tmp_path):
    page = read_scripted(draw(captions, model, cpu, tmp_path))
    assert not any("style" in each for each in page.of("li"))
    assert "confidence" not in page.text and "Captions are shaded" not in page.text


def test_a_video_shorter_than_its_captions(clip, model, cpu, tmp_path):
    """Those of a longer one of the same name, perhaps: they stay, without pictures."""
    segments = [said(0, 2, "word1"), said(20, 22, "word2")]
    text = draw(captions_of(clip, segments, model), model, cpu, tmp_path)
    assert len(read_scripted(text).of("details")) == 1
    assert set(strips(text)) == {0}


def test_hostile_text_is_only_text(clip, model, cpu, tmp_path):
    segment = replace(said(0, 2, HOSTILE, "</script>"), text=f"{HOSTILE}</style></script>")
    captions = captions_of(clip, [segment], model)
    named = replace(captions, video=replace(captions.video, path=str(clip)))
    text = draw(named, model, cpu, tmp_path)
    page = read_scripted(text)
    assert "alert(1)" in page.text and not page.of("img")
    assert "\x1b" not in text and "\u202e" not in text
    (tmp_path / "page.html").write_text(text)
    card = read_card(tmp_path / "page.html")
    assert card["captions"] == [["0", "0:00", segment.text]]
    index = index_page(HOSTILE, [(tmp_path / "page.html", card)], tmp_path / "index.html")
    assert "\x1b" not in index
    assert len(read_scripted(index).of("img")) == 1  # the thumbnail


def test_an_index_links_pages_and_moments(captions, model, cpu, tmp_path):
    page = tmp_path / "sub folder/a.html"
    page.parent.mkdir()
    page.write_text(draw(captions, model, cpu, tmp_path))
    card = read_card(page)
    assert card["key"] == "a key" and card["name"] == "my clip #1 ü.mp4"
    index = read_scripted(index_page("My videos", [(page, card)], tmp_path / "index.html"))
    links = [each["href"] for each in index.of("a")]
    assert links == ["sub%20folder/a.html"] * 2 + [
        "sub%20folder/a.html#t=0",
        "sub%20folder/a.html#t=2",
    ]
    assert "1 video, 2 captions" in index.text and "64 x 48, 0:07, 2 captions" in index.text
    [picture] = index.of("img")
    assert number_of(decoded(picture["src"], cv2.IMREAD_COLOR)) == 0


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"<html>mine</html>", b'<script type="application/json" '
    b'id="vidcaption">{</script>', b'<script type="application/json" id="vidcaption">[]</script>']
)  # fmt: skip
def test_pages_of_others_have_no_card(tmp_path, content):
    (tmp_path / "a.html").write_bytes(content)
    assert read_card(tmp_path / "a.html") is None


def test_clock():
    assert list(map(clock, (0, 9.99, 75, 3600, 100_000))) == [
        *("0:00", "0:09", "1:15", "1:00:00", "27:46:40")
    ]


def test_addresses_are_escaped(tmp_path):
    page = tmp_path / "pages/a.html"
    assert address(tmp_path / "pages/100%\"'<>?&\udcff.mp4", page) == (
        "100%25%22%27%3C%3E%3F%26%FF.mp4"
    )


def test_many_captions_have_smaller_pictures(clip, model, cpu, tmp_path, monkeypatch):
    monkeypatch.setattr(video, "_PIXELS", 6000)
    captions = captions_of(clip, [said(i, i + 2, "word1") for i in range(6)], model, stride_s=1.0)
    found = strips(draw(captions, model, cpu, tmp_path))
    assert (
        sum(height * width for height, width, _ in (each.shape for each in found.values())) <= 6600
    )
