import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from pages import HOSTILE, decoded, read_page

from vidcaption.datasets.samples import Sample
from vidcaption.evaluation.captioning import Said
from vidcaption.report.cases import Case
from vidcaption.report.page import card, render
from vidcaption.report.pictures import heat, ratio, strip, warmed
from vidcaption.report.plots import plot_captions
from vidcaption.report.sheet import plot_sheet


def picture(height, width, seed=0):
    """Richer in detail than a photograph."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + rng.normal(0, 40, smooth.shape), 0, 255).astype(np.uint8)


def make_case(frames=1, words=("a", "dog"), peak=0, name="x", captions=("a dog .",)):
    """All attention of each word is on the upper right cell of frame ``peak``."""
    attention = np.zeros((len(words), frames, 7, 7), np.float32)
    attention[:, peak, 0, 6] = 1
    stills = [picture(240, 320, seed) for seed in range(frames)]
    return Case(
        Sample(name, captions, "dev"), Said(" ".join(words), -1.5), 42.0, stills, words, attention
    )


def training_page(*cases, **text):
    given = {"title": "A page", "counts": "", "model_card": "", "epochs": [], "best": 1} | text
    given |= {"marked": None, "columns": ["epoch"]}
    cards = [card(case) for case in cases]
    return render("training.html", loss="data:", captions="data:", cases=cards, **given)


def test_a_case_has_all_there_is_to_see():
    parsed = read_page(training_page(make_case()))
    assert "CIDEr 42.0, score -1.50; x, 1 frame" in parsed.text
    assert "a dog ." in parsed.text
    assert len(parsed.of("figure")) == 2
    [article] = parsed.of("article")
    shown = decoded(re.search(r"url\((.*?)\)", article["style"])[1])
    assert shown.shape == (224, 299, 3)


def test_a_case_has_its_confidence():
    case = replace(make_case(), said=Said("a dog", -1.5, 0.831))
    assert "CIDEr 42.0, confidence 83%, score -1.50" in read_page(training_page(case)).text


@pytest.mark.parametrize("peak", [0, 2, 3])
def test_a_word_is_shown_on_the_frame_it_rests_on(peak):
    parsed = read_page(training_page(make_case(frames=4, words=("dog",), peak=peak)))
    [tile] = [attrs for attrs in parsed.of("div") if attrs.get("class") == "look"]
    # 0% shows the first of the four frames side by side, 100% the last
    assert f"background-position:{100 * peak / 3:.2f}% 0" in tile["style"]
    [overlay] = [attrs for attrs in parsed.of("img") if not attrs["alt"]]
    opacity = decoded(overlay["src"])[..., 3]
    assert opacity.shape == (7, 7)
    assert np.argwhere(opacity).tolist() == [[0, 6]]
    assert [bar.get("class") for bar in parsed.of("i")].index("most") == peak


def test_frames_stand_side_by_side_in_their_shape():
    wide, tall = np.full((10, 4000, 3), 1, np.uint8), np.full((4000, 10, 3), 2, np.uint8)
    assert ratio(wide) == 3 and ratio(tall) == 0.4
    both = strip([wide, tall])
    middle = both.shape[1] // 2
    assert (both[:, :middle] == 1).all() and (both[:, middle:] == 2).all()


def test_equal_attention_is_cold():
    assert (heat(np.full((2, 3, 3), 1 / 18, np.float32)) == 0).all()
    frame = picture(64, 64)
    assert (warmed(frame, np.zeros((3, 3), np.float32)) == frame).all()


def test_hostile_text_is_only_text():
    words = (HOSTILE, "<b>")
    case = make_case(words=words, name=HOSTILE, captions=(HOSTILE,) * 9)
    row, lines = (HOSTILE,) * 7, f"  {HOSTILE}\n\t{HOSTILE}"
    html = training_page(case, title=HOSTILE, counts=HOSTILE, epochs=[row], model_card=lines)
    parsed = read_page(html)
    assert parsed.text.count("<script>alert(1)</script>") == 2 + 1 + 7 + 12 + 2
    assert "<pre>  &" in html  # indentation stays
    assert "\x1b" not in parsed.text and "\u202e" not in parsed.text
    assert not parsed.of("b")


@pytest.mark.parametrize("frames", [1, 4, 8, 64])
def test_size(frames):
    """Fifteen cases, as evaluate shows, stay below 1.5 MB however many frames there are, and twelve
    of the four that training looks at leave room for plots in 1 MB."""
    case = make_case(frames, words=("a", "word") * 6, captions=("one of many",) * 20)
    assert len(training_page(*[case] * 15)) < 1_500_000
    assert frames > 4 or len(training_page(*[case] * 12)) < 850_000


def test_sheet():
    """Hostile text and letters that the font lacks make neither a formula nor a warning."""
    cases = [make_case(8, (HOSTILE, "a", "dog") * 6, captions=(HOSTILE,)), make_case(words=())]
    sheet = cv2.imdecode(np.frombuffer(plot_sheet(cases), np.uint8), cv2.IMREAD_COLOR)
    assert sheet.shape[1] == 1200 and sheet.std() > 10


def test_plot_of_captions():
    one, other = (plot_captions(said, ["a dog runs", "dogs"]) for said in (["a dog"], [""]))
    assert one.startswith(b"\x89PNG") and other.startswith(b"\x89PNG")
    assert one != other
