"""JSON that run wrote, edited or not, and what is none."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vidcaption.errors import InputError
from vidcaption.options.base import WHOLE
from vidcaption.options.captioning import CaptionOptions
from vidcaption.output.captions import Captions
from vidcaption.output.read import read_captions
from vidcaption.types import ModelInfo, Region, Relation, SceneGraph, Segment, VideoInfo, Word

CAPTIONS = Captions(
    VideoInfo("clip.mp4", "h264", 64, 48, 0, 8.0, 10.0, 80),
    ModelInfo("default", "0" * 64),
    CaptionOptions(beam=5, frames=2),
    (
        Segment(
            *(0.0, 4.0, "A dog", -0.5, (Word("a", 0.5), Word("dog", 0.25))),
            confidence=0.5,
            concepts=(Word("dog", 0.75),),
            below_min_confidence=True,
            graph=SceneGraph(
                (Region((1.5, 2.0, 30.0, 20.0), "a dog", "dog", 0.75),) * 2,
                (Relation(1, "by", 0, 0.25),),
            ),
        ),
    ),
    corrupt=2,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(text=st.text(st.characters(exclude_categories=["Cs"])), start=st.integers(0, 10**7))
def test_what_was_written_is_read(tmp_path: Path, text: str, start: int) -> None:
    segment = replace(CAPTIONS.segments[0], start_s=start / 1000, end_s=start / 500, text=text)
    captions = replace(CAPTIONS, segments=(segment, segment))
    captions.save(tmp_path / "clip.json")
    assert read_captions(tmp_path / "clip.json") == captions


def test_a_whole_window_is_read(tmp_path: Path) -> None:
    captions = replace(CAPTIONS, options=CaptionOptions(window_s=WHOLE, frames=2))
    captions.save(tmp_path / "clip.json")
    assert read_captions(tmp_path / "clip.json") == captions


def changed(*keys: str | int, to: Any) -> str:
    """The JSON of captions with one value changed."""
    document = json.loads(CAPTIONS.render("json"))
    place = document
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    return json.dumps(document)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no JSON",
        "[]",
        "3",
        "{}",
        "[" * 100_000,
        changed("schema", to=2),
        changed("segments", to=3),
        changed("segments", 0, to="A dog"),
        changed("segments", 0, "text", to=3),
        changed("segments", 0, "start", to="0"),
        changed("segments", 0, "start", to=5),
        changed("segments", 0, "end", to=float("nan")),
        changed("segments", 0, "score", to=True),
        changed("segments", 0, "below_min_confidence", to=1),
        changed("segments", 0, "words", 0, to={"text": "a"}),
        changed("segments", 0, "regions", to=[{}]),
        changed("segments", 0, "regions", 0, "box", to=[1, 2, 3]),
        changed("segments", 0, "regions", 0, "box", 3, to="4"),
        changed("segments", 0, "regions", 0, "text", to=None),
        changed("segments", 0, "regions", 0, "label", to=7),
        changed("segments", 0, "regions", 0, "score", to=float("nan")),
        changed("segments", 0, "relations", to=None),
        changed("segments", 0, "relations", 0, "object", to=2),
        changed("segments", 0, "relations", 0, "subject", to="0"),
        changed("segments", 0, "relations", 0, "predicate", to=0),
        changed("segments", 0, "relations", 0, "score", to="1"),
        changed("video", to=[]),
        changed("video", "width", to=[1]),
        changed("video", "width", to="64"),
        changed("video", "fps", to=10**400),
        changed("segments", 0, "end", to=10**400),
        changed("video", "more", to=1),
        changed("model", "name", to={}),
        changed("options", "beam", to=0),
        changed("options", "frames", to=0),
        changed("options", "more", to=0),
        changed("corrupt", to=None),
    ],
)
def test_what_is_no_such_json(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError, match=r"a\.json is not JSON as this version of run"):
        read_captions(tmp_path / "a.json")


def test_json_without_regions(tmp_path: Path) -> None:
    bare = replace(CAPTIONS, segments=(replace(CAPTIONS.segments[0], graph=None),))
    bare.save(tmp_path / "clip.json")
    assert read_captions(tmp_path / "clip.json") == bare


def test_what_is_not_utf8_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(InputError, match="is not JSON"):
        read_captions(tmp_path / "a.json")
    with pytest.raises(InputError, match=r"b\.json cannot be read: No such file"):
        read_captions(tmp_path / "b.json")
