import json
from dataclasses import replace
from pathlib import Path

import pytest

from vidcaption.errors import OutputError, UsageError
from vidcaption.options.captioning import CaptionOptions
from vidcaption.output.captions import Captions
from vidcaption.output.formats import FORMATS
from vidcaption.types import ModelInfo, Segment, VideoInfo

CAPTIONS = Captions(
    VideoInfo("clip.mp4", "h264", 640, 360, 0, 4.0, 25.0, 100),
    ModelInfo("default", "0" * 64),
    CaptionOptions(),
    (Segment(0.0, 4.0, "a dog ä ein Hund", -0.5),),
)


@pytest.mark.parametrize("format", FORMATS)
def test_the_suffix_names_the_format(format: str, tmp_path: Path) -> None:
    CAPTIONS.save(tmp_path / f"a.b.{format.upper()}")
    written = (tmp_path / f"a.b.{format.upper()}").read_bytes().decode("utf-8")
    assert written == CAPTIONS.render(format) == FORMATS[format](CAPTIONS)


def test_a_sequence_of_segments() -> None:
    segments = (Segment(0.0, 1.0, "a dog", -0.5), Segment(1.0, 2.0, "a cat", -0.5))
    captions = replace(CAPTIONS, segments=segments)
    assert list(captions) == list(segments) and len(captions) == 2
    assert captions[-1] is segments[1] and captions[:1] == segments[:1]
    assert segments[1] in captions and captions.index(segments[1]) == 1
    with pytest.raises(IndexError):
        captions[2]


def test_captions_for_programs() -> None:
    assert CAPTIONS.to_dict() == json.loads(CAPTIONS.render("json"))
    assert CAPTIONS.to_srt() == CAPTIONS.render("srt")


def test_a_given_format_goes_before_the_suffix(tmp_path: Path) -> None:
    CAPTIONS.save(str(tmp_path / "clip.txt"), "vtt")
    assert (tmp_path / "clip.txt").read_text("utf-8").startswith("WEBVTT\n")


@pytest.mark.parametrize(("name", "named"), [("clip.ass", "'ass'"), ("clip", "'clip'")])
def test_unknown_suffix(name: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{named} is not a caption format; allowed are srt, vtt"):
        CAPTIONS.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_unknown_format() -> None:
    with pytest.raises(UsageError, match="'SRT' is not a caption format"):
        CAPTIONS.render("SRT")


def test_no_place_to_write(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        CAPTIONS.save(tmp_path, "srt")
