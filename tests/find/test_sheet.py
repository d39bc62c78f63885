from html.parser import HTMLParser
from pathlib import Path

import pytest
from clips import Clips, every, number_of, turn, write_clip, write_image

from vidcaption.errors import InputError
from vidcaption.find.search import Moment
from vidcaption.find.sheet import contact_sheet, thumbnail


def moment(path: Path, start_s: float = 0.0, end_s: float = 1.0, text: str = "A dog") -> Moment:
    return Moment(path, start_s, end_s, text, 1.5, None, ())


class Page(HTMLParser):
    """Addresses of links and pictures, and the texts of headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        if tag == "a":
            self.links.append(found["href"] or "")
        if tag == "img":
            self.pictures.append(found["src"] or "")
        assert tag not in ("script", "link")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.mark.parametrize("name", ["h264.mp4", "vp9.webm", "mjpeg.avi"])
def test_a_picture_is_from_the_middle(clips: Clips, name: str) -> None:
    assert number_of(thumbnail(moment(clips[name], 0.2, 0.8))) == 5


def test_times_count_from_the_start_of_the_container(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "late.mkv", every(0.1, 30, start_s=5.0), options={"bf": "0"})
    assert number_of(thumbnail(moment(path, 1.0, 2.0))) == 15


def test_past_the_end_it_is_the_last_one(clips: Clips) -> None:
    assert number_of(thumbnail(moment(clips["h264.mp4"], 0.0, 60.0))) == 19


def test_what_cannot_be_searched_shows_its_first_picture(clips: Clips) -> None:
    assert number_of(thumbnail(moment(clips["raw.h264"]))) == 0


def test_pictures_stand_upright(tmp_path: Path) -> None:
    path = turn(write_clip(tmp_path / "a.mp4", every(0.1, 5)), 180)
    assert number_of(thumbnail(moment(path, 0.1, 0.1))[:, ::-1]) == 1
    path = turn(write_clip(tmp_path / "b.mp4", every(0.1, 5)), 90)
    height, width = thumbnail(moment(path)).shape[:2]
    assert height > width


def test_the_page(clips: Clips, tmp_path: Path) -> None:
    still = write_image(tmp_path / "a b#.png")
    text = "<script>alert(1)</script> \x1b[2J"
    page = contact_sheet("dog & <b>", [moment(still, text=text), moment(clips["noise.mp4"])])
    shown = Page(page)
    assert shown.links == [
        f"{still.as_uri()}#t=0.000,1.000", f"{clips['noise.mp4'].as_uri()}#t=0.000,1.000",
    ]  # fmt: skip
    assert "%23.png#t=" in shown.links[0]
    assert len(shown.pictures) == 1 and shown.pictures[0].startswith("data:image/jpeg;base64,")
    assert any("<script>alert(1)</script> \\u001b[2J" in each for each in shown.texts)
    assert "dog & <b>" in "".join(shown.texts) and "\x1b" not in page


def test_nothing_found(tmp_path: Path) -> None:
    shown = Page(contact_sheet("dog", []))
    assert not shown.links and "dog" in "".join(shown.texts)


def test_no_picture(clips: Clips) -> None:
    with pytest.raises(InputError, match=r"undecodable\.mp4 has no frame that FFmpeg can decode"):
        thumbnail(moment(clips["undecodable.mp4"]))
