"""Subtitle files that people edited, and those that run wrote."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vidcaption.errors import InputError
from vidcaption.options.captioning import CaptionOptions
from vidcaption.output.captions import Captions
from vidcaption.output.layout import Cue, cues
from vidcaption.output.subtitles import read_cues
from vidcaption.types import ModelInfo, Segment, VideoInfo

VIDEO = VideoInfo("x.mp4", "h264", 64, 48, 0, 900.0, 10.0, 9000)
WORDS = st.text("abcdefghijklmnopqrstuvwxyzäß犬&'.", min_size=1, max_size=9)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    spans=st.lists(st.tuples(st.integers(0, 9000), st.integers(1, 9000)), min_size=1, max_size=6),
    texts=st.lists(st.lists(WORDS, min_size=1, max_size=12).map(" ".join), min_size=6, max_size=6),
    suffix=st.sampled_from([".srt", ".vtt"]),
)
def test_what_run_wrote_is_read(
    tmp_path: Path, spans: list[tuple[int, int]], texts: list[str], suffix: str
) -> None:
    spans.sort()
    segments = [
        Segment(start / 10, (start + length) / 10, text, -1.0)
        for (start, length), text in zip(spans, texts, strict=False)
    ]
    path = tmp_path / f"clip{suffix}"
    model = ModelInfo("default", "0" * 64)
    Captions(VIDEO, model, CaptionOptions(), tuple(segments)).save(path)
    assert read_cues(path) == list(cues(segments, VIDEO.duration_s))


def test_styles_are_left_out_and_overlaps_cut(tmp_path: Path) -> None:
    path = tmp_path / "clip.srt"
    path.write_text(
        "\ufeff1\r\n00:00:05,000 --> 00:00:07,000\r\nLast\r\n\r\n"
        "2\n00:00:01,000 --> 00:00:03,000\n<i>First</i> {\\an8}& <b>so</b>\n  on \n\n"
        "3\n00:00:02,000 --> 00:00:04,000\nSecond\n\n",
        encoding="utf-8",
    )
    assert read_cues(path) == [
        Cue(1000, 2000, ("First & so", "on")),
        Cue(2000, 4000, ("Second",)),
        Cue(5000, 7000, ("Last",)),
    ]


def test_no_cue_is_lost_unsaid(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "clip.vtt"
    rows = [("01", "02", "Left"), ("01", "03", "Right"), ("04", "04", "None"), ("05", "99", "Long")]
    rows += [("10", "11", "Late"), ("12", "11", "Backwards")]
    cues = (f"00:{start}.000 --> 00:{end}.000\n{text}\n\n" for start, end, text in rows)
    path.write_text("WEBVTT\n\n" + "".join(cues))
    assert read_cues(path, 10.0) == [
        Cue(1000, 3000, ("Left", "Right")),
        Cue(5000, 10000, ("Long",)),
    ]
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: left out 2 cues after the end of the video, such as 'Late' at 10 s",
        f"{path}: left out 1 cue shown for no time, such as 'None' at 4 s",
    ]
    assert read_cues(path)[-1] == Cue(10000, 11000, ("Late",))
    path.write_text("WEBVTT\n\n00:05.000 --> 00:01.000\nhi\n")
    with pytest.raises(InputError, match=r"clip\.vtt has no cue that can be shown; correct it"):
        read_cues(path)
    assert caplog.messages[-1] == f"{path}: left out 1 cue shown for no time, such as 'hi' at 5 s"


def test_webvtt_has_entities_and_settings(tmp_path: Path) -> None:
    path = tmp_path / "clip.vtt"
    path.write_text("WEBVTT\n\nid\n00:01.000 --> 00:02.000 align:start\n1 &lt; <c.red>2</c>\n")
    assert read_cues(path) == [Cue(1000, 2000, ("1 < 2",))]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.srt",
            b"no subtitles\nat all\n",
            "a.srt contains no cue that can be read; correct it, or name another file with --sub",
        ),
        ("a.vtt", b"no subtitles\nat all\n", "a.vtt contains no cue that can be read"),
        ("a.srt", b"", "a.srt is empty; correct it, or name another"),
        (
            "a.srt",
            b"1\n00:00:01,000 --> 00:00:02,000\n \n",
            "a.srt contains no cue that can be read",
        ),
        ("a.srt", b"1\n00:00:01,000 --> 00:00:02,000\n\xfcber\n", "a.srt is not UTF-8; save it"),
        ("a.txt", b"x", "a.txt is not a subtitle file of a known format: .srt, .vtt"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        read_cues(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path}/{message}")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.srt cannot be read: No such file"):
        read_cues(tmp_path / "a.srt")
