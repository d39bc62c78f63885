"""Markers and chapters, read back by what they are for: FFmpeg, and OpenTimelineIO's reader."""

import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import av
import opentimelineio as otio
import pytest
from clips import every, write_clip
from hypothesis import given
from hypothesis import strategies as st

from vidcaption.options.captioning import CaptionOptions
from vidcaption.output.captions import Captions
from vidcaption.output.chapters import edl, ffmetadata, marks, matroska
from vidcaption.output.text import one_line
from vidcaption.types import ModelInfo, Segment, VideoInfo

SAMPLE = Captions(
    video=VideoInfo("clips/a b.mp4", "h264", 640, 360, 0, 7203.5, 24.0, None),
    model=ModelInfo("default", "0" * 64),
    options=CaptionOptions(),
    segments=(
        Segment(0.0, 4.0, "A dog", -1.0),
        Segment(3.0, 8.0, "a = b; #c \\ d | <e> & f", -1.0),
        Segment(8.0, 8.0, " ", -1.0),
        Segment(3661.5, 7203.25, "ein Hund läuft", -1.0),
    ),
)
TEXTS = ["A dog", "a = b; #c \\ d | <e> & f", "ein Hund läuft"]
BOUNDS_MS = [(0, 3000), (3000, 8000), (3661500, 7203250)]


def chapters_of(path: str) -> list[tuple[int, int, str]]:
    """Start and end in milliseconds, and title, as FFmpeg reads them."""
    with av.open(path) as container:
        found = container.chapters()
    return [
        (round(1000 * c["start"] * c["time_base"]), round(1000 * c["end"] * c["time_base"]),
         c["metadata"].get("title", ""))
        for c in found
    ]  # fmt: skip


def test_ffmpeg_reads_the_chapters(tmp_path: Path) -> None:
    SAMPLE.save(tmp_path / "x.chapters")
    assert chapters_of(str(tmp_path / "x.chapters")) == [
        (*bounds, text) for bounds, text in zip(BOUNDS_MS, TEXTS, strict=True)
    ]


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_chapters_go_into_a_video(tmp_path: Path, suffix: str) -> None:
    """What ``ffmpeg -i clip -i chapters -map_chapters 1 -codec copy`` does."""
    clip = write_clip(tmp_path / "clip.mp4", every(0.1, 100))
    SAMPLE.save(tmp_path / "x.chapters")
    path = tmp_path / f"out.{suffix}"
    with (
        av.open(str(clip)) as source,
        av.open(str(tmp_path / "x.chapters")) as described,
        av.open(str(path), "w") as out,
    ):
        out.set_chapters(described.chapters()[:2])
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    assert chapters_of(str(path)) == [(0, 3000, TEXTS[0]), (3000, 8000, TEXTS[1])]


def test_an_editor_reads_the_markers() -> None:
    timeline = otio.adapters.read_from_string(edl(SAMPLE), "cmx_3600", rate=24)
    assert timeline.name == "a b"
    clips = list(timeline.find_clips())
    assert [clip.name for clip in clips] == ["a b.mp4"] * 3
    spans = [(c.source_range.start_time.value, c.source_range.duration.value) for c in clips]
    assert spans == [(0, 72), (72, 120), (87876, 85002)]
    markers = [marker for clip in clips for marker in clip.markers]
    assert [marker.name for marker in markers] == TEXTS
    assert [marker.marked_range.start_time.value for marker in markers] == [0, 72, 87876]


def test_markers_of_resolve() -> None:
    lines = [line for line in edl(SAMPLE).splitlines() if line.startswith(" |C:")]
    assert lines == [
        " |C:ResolveColorBlue |M:A dog |D:72",
        " |C:ResolveColorBlue |M:a = b; #c \\ d / <e> & f |D:120",
        " |C:ResolveColorBlue |M:ein Hund läuft |D:85002",
    ]


@pytest.mark.parametrize(
    ("fps", "start"), [(25.0, "00:00:01:12"), (30000 / 1001, "00:00:01:14"), (None, "00:00:01:12")]
)
def test_time_codes_count_frames(fps: float | None, start: str) -> None:
    video = replace(SAMPLE.video, fps=fps)
    captions = replace(SAMPLE, video=video, segments=(Segment(1.48, 1.4801, "A dog", -1.0),))
    [event] = [line for line in edl(captions).splitlines() if line.startswith("001")]
    assert event.split()[4] == start and event.split()[5] > start


def test_mkvmerge_gets_the_chapters() -> None:
    root = ElementTree.fromstring(matroska(SAMPLE).encode())
    assert [each.text for each in root.iter("ChapterString")] == TEXTS
    assert [each.text for each in root.iter("ChapterTimeStart")] == [
        "00:00:00.000", "00:00:03.000", "01:01:01.500",
    ]  # fmt: skip
    assert [each.text for each in root.iter("ChapterTimeEnd")][-1] == "02:00:03.250"


WILD = st.text(st.characters() | st.sampled_from("\udc80\x1b\u202e\n\t\"'<>&=;#\\|\uffff"))


@st.composite
def wild_captions(draw: st.DrawFn) -> Captions:
    start, segments = 0.0, []
    for text in draw(st.lists(WILD, max_size=5)):
        start += draw(st.floats(0, 4))
        segments.append(Segment(start, start + draw(st.floats(0, 9)), text, -1.0))
    return replace(SAMPLE, segments=tuple(segments))


@given(wild_captions(), st.sampled_from([1, 24, 1000]))
def test_marks_follow_one_another(captions: Captions, per_second: int) -> None:
    found = list(marks(captions, per_second))
    assert all(mark.start < mark.end for mark in found)
    assert all(before.end <= after.start for before, after in pairwise(found))


@given(wild_captions())
def test_any_text_comes_back(captions: Captions) -> None:
    texts = [text for segment in captions.segments if (text := one_line(segment.text))]
    with tempfile.NamedTemporaryFile(suffix=".chapters") as file:
        file.write(ffmetadata(captions).encode())
        file.flush()
        assert [title.removesuffix(" ") for *_, title in chapters_of(file.name)] == texts
    root = ElementTree.fromstring(matroska(captions).encode())
    found = [each.text for each in root.iter("ChapterString")]
    assert found == [text.replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd") for text in texts]
