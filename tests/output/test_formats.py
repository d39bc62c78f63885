import csv
import html
import io
import json
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import timedelta
from importlib.resources import files
from typing import Any

import pytest
import srt
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from vidcaption.errors import UsageError
from vidcaption.options.base import WHOLE
from vidcaption.options.captioning import CaptionOptions
from vidcaption.output.captions import Captions
from vidcaption.output.formats import FORMATS, format_named, readable_line, render_many
from vidcaption.output.layout import cues
from vidcaption.output.text import one_line
from vidcaption.types import ModelInfo, Region, Relation, SceneGraph, Segment, VideoInfo, Word

SCHEMA: dict[str, Any] = json.loads(
    files("vidcaption.output").joinpath("schema.json").read_text("utf-8")
)
SAMPLE = Captions(
    video=VideoInfo("clips/a, b.mp4", "h264", 640, 360, 90, 7203.5, 29.97, None),
    model=ModelInfo("default", "0123456789abcdef" * 4),
    options=CaptionOptions(window_s=2, frames=2, end_s=7200.5),
    segments=(
        Segment(0.0, 4.0, 'a "big" dog', -0.123456, (Word("dog", 0.98765),)),
        Segment(
            *(4.0003, 7.9996, "a < b & c --> d\n2", -1.0),
            confidence=0.71236,
            concepts=(Word("dog", 0.91), Word("traffic light", 0.25)),
        ),
        Segment(3661.5, 7203.25, "a man in a red coat is riding a horse\ton the beach", -2.5),
    ),
    corrupt=3,
)
EMPTY = replace(SAMPLE, segments=())

GOLDEN = {
    "srt": """\
1
00:00:00,000 --> 00:00:04,000
a "big" dog

2
00:00:04,000 --> 00:00:08,000
a < b & c → d 2

3
01:01:01,500 --> 02:00:03,250
a man in a red coat is
riding a horse on the beach

""",
    "vtt": """\
WEBVTT

00:00:00.000 --> 00:00:04.000
a "big" dog

00:00:04.000 --> 00:00:08.000
a &lt; b &amp; c --&gt; d 2

01:01:01.500 --> 02:00:03.250
a man in a red coat is
riding a horse on the beach
""",
    "jsonl": (
        '{"video": "clips/a, b.mp4", "start": 0.0, "end": 4.0, "text": "a \\"big\\" dog", '
        '"score": -0.1235, "confidence": null, "below_min_confidence": false, '
        '"words": [{"text": "dog", "probability": 0.9877}], "concepts": []}\n'
        '{"video": "clips/a, b.mp4", "start": 4.0, "end": 8.0, "text": "a < b & c --> d\\n2", '
        '"score": -1.0, "confidence": 0.7124, "below_min_confidence": false, "words": [], '
        '"concepts": [{"text": "dog", "probability": 0.91}, '
        '{"text": "traffic light", "probability": 0.25}]}\n'
        '{"video": "clips/a, b.mp4", "start": 3661.5, "end": 7203.25, '
        '"text": "a man in a red coat is riding a horse\\ton the beach", '
        '"score": -2.5, "confidence": null, "below_min_confidence": false, "words": [], '
        '"concepts": []}\n'
    ),
    "tsv": """\
start	end	text	confidence	concepts
0	4000	a "big" dog		
4000	8000	a < b & c --> d 2	0.7124	dog 0.910; traffic light 0.250
3661500	7203250	a man in a red coat is riding a horse on the beach		
""",
    "csv": """\
video,start,end,text,score,confidence,concepts
"clips/a, b.mp4",0.000,4.000,"a ""big"" dog",-0.1235,,
"clips/a, b.mp4",4.000,8.000,a < b & c --> d 2,-1.0000,0.7124,dog 0.910; traffic light 0.250
"clips/a, b.mp4",3661.500,7203.250,a man in a red coat is riding a horse on the beach,-2.5000,,
""",
    "txt": """\
a "big" dog
a < b & c --> d 2
a man in a red coat is riding a horse on the beach
""",
}


@pytest.mark.parametrize("format", GOLDEN)
def test_golden(format: str) -> None:
    assert FORMATS[format](SAMPLE) == GOLDEN[format]


def test_golden_json() -> None:
    text = FORMATS["json"](SAMPLE)
    assert text.startswith('{\n  "schema": 1,\n  "video": {\n    "path": "clips/a, b.mp4",\n')
    assert text.endswith("}\n")
    assert json.loads(text) == {
        "schema": 1,
        "video": {
            "path": "clips/a, b.mp4",
            "codec": "h264",
            "width": 640,
            "height": 360,
            "rotation": 90,
            "duration_s": 7203.5,
            "fps": 29.97,
            "frames": None,
        },
        "model": {"name": "default", "sha256": "0123456789abcdef" * 4},
        "options": {
            "beam": 3,
            "max_words": 20,
            "min_words": 3,
            "length_penalty": 0.7,
            "no_repeat_ngram": 3,
            "window_s": 2,
            "stride_s": None,
            "segment": "auto",
            "scene_threshold": 3.0,
            "min_scene_s": None,
            "frames": 2,
            "sampling": "exact",
            "same_within": 0.0,
            "start_s": 0.0,
            "end_s": 7200.5,
            "regions": False,
            "merge": True,
            "min_confidence": 0.0,
        },
        "corrupt": 3,
        "segments": [
            {
                "start": 0.0,
                "end": 4.0,
                "text": 'a "big" dog',
                "score": -0.1235,
                "confidence": None,
                "below_min_confidence": False,
                "words": [{"text": "dog", "probability": 0.9877}],
                "concepts": [],
            },
            {
                "start": 4.0,
                "end": 8.0,
                "text": "a < b & c --> d\n2",
                "score": -1.0,
                "confidence": 0.7124,
                "below_min_confidence": False,
                "words": [],
                "concepts": [
                    {"text": "dog", "probability": 0.91},
                    {"text": "traffic light", "probability": 0.25},
                ],
            },
            {
                "start": 3661.5,
                "end": 7203.25,
                "text": "a man in a red coat is riding a horse\ton the beach",
                "score": -2.5,
                "confidence": None,
                "below_min_confidence": False,
                "words": [],
                "concepts": [],
            },
        ],
    }


def test_json_of_regions() -> None:
    graph = SceneGraph(
        (
            Region((0.04, 10.26, 30.0, 20.05), "a red cup", "cup", 0.98765),
            Region((0.0, 0.0, 640.0, 360.0), "a room", score=0.5),
        ),
        (Relation(0, "in", 1, 0.123456),),
    )
    segment = replace(SAMPLE.segments[0], graph=graph)
    row = json.loads(FORMATS["jsonl"](replace(SAMPLE, segments=(segment,))))
    assert row["regions"] == [
        {"box": [0.0, 10.3, 30.0, 20.1], "text": "a red cup", "label": "cup", "score": 0.9877},
        {"box": [0.0, 0.0, 640.0, 360.0], "text": "a room", "label": None, "score": 0.5},
    ]
    assert row["relations"] == [{"subject": 0, "predicate": "in", "object": 1, "score": 0.1235}]
    none = replace(segment, graph=SceneGraph())
    row = json.loads(FORMATS["jsonl"](replace(SAMPLE, segments=(none,))))
    assert row["regions"] == row["relations"] == []


def test_json_of_a_whole_window_says_so() -> None:
    captions = replace(SAMPLE, options=CaptionOptions(window_s=WHOLE))
    assert json.loads(FORMATS["json"](captions))["options"]["window_s"] == "whole"


def test_no_segments() -> None:
    assert {
        name: FORMATS[name](EMPTY) for name in ("srt", "vtt", "jsonl", "tsv", "csv", "txt")
    } == {
        "srt": "",
        "vtt": "WEBVTT\n",
        "jsonl": "",
        "tsv": "start\tend\ttext\tconfidence\tconcepts\n",
        "csv": "video,start,end,text,score,confidence,concepts\n",
        "txt": "",
    }
    assert json.loads(FORMATS["json"](EMPTY))["segments"] == []


@pytest.mark.parametrize("format", FORMATS)
def test_only_json_has_what_is_below_the_confidence_asked_for(format: str) -> None:
    sure, unsure = (
        Segment(start, start + 2, text, -1.0, confidence=confidence)
        for start, text, confidence in ((2, "a cat", 0.6), (0, "a dog", 0.4))
    )
    marked = replace(unsure, below_min_confidence=True)
    text = FORMATS[format](replace(SAMPLE, segments=(marked, sure)))
    if format in ("json", "jsonl"):
        assert re.findall('"below_min_confidence": (true|false)', text) == ["true", "false"]
    else:
        assert text == FORMATS[format](replace(SAMPLE, segments=(sure,)))


def test_a_short_last_cue_is_not_drawn_out_beyond_the_end_of_the_video() -> None:
    captions = replace(SAMPLE, segments=(Segment(7203.25, 7203.3, "a dog", -1.0),))
    assert "02:00:03,250 --> 02:00:03,500\n" in FORMATS["srt"](captions)
    assert "02:00:03.250 --> 02:00:03.500\n" in FORMATS["vtt"](captions)


def test_json_keeps_letters_of_all_scripts_readable() -> None:
    captions = replace(SAMPLE, segments=(Segment(0.0, 4.0, "ein Hündchen 犬", -1.0),))
    assert '"ein Hündchen 犬"' in FORMATS["json"](captions)
    assert '"ein Hündchen 犬"' in FORMATS["jsonl"](captions)


def test_json_has_no_numbers_that_json_does_not_know() -> None:
    captions = replace(SAMPLE, segments=(Segment(0.0, 4.0, "a dog", float("-inf")),))
    for format in ("json", "jsonl"):
        with pytest.raises(ValueError, match="not JSON compliant"):
            FORMATS[format](captions)


def test_format_names() -> None:
    assert format_named("srt") is FORMATS["srt"]
    with pytest.raises(UsageError, match=r"'ass' is not .* srt, vtt, .*, edl, chapters, xml$"):
        format_named("ass")


def test_readable_line_hides_escape_sequences() -> None:
    assert readable_line(Segment(59.9996, 3600, "\x1b]0;x\x07 a\ndog", -1.0)) == (
        r"[01:00.000 --> 01:00:00.000] \u001b]0;x\u0007 a dog"
    )


# Schema


def test_schema_holds_for_real_output() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    validator = Draft202012Validator(SCHEMA)
    still = replace(SAMPLE.video, duration_s=None, fps=None, frames=1)
    scenes = CaptionOptions(segment="scenes", frames=2)
    for captions in (SAMPLE, EMPTY, replace(EMPTY, video=still, options=scenes)):
        validator.validate(json.loads(FORMATS["json"](captions)))


@pytest.mark.parametrize("where", [(), ("video",), ("model",), ("options",), ("segments", 0)])
def test_schema_refuses_other_and_missing_keys(where: tuple[str | int, ...]) -> None:
    validator = Draft202012Validator(SCHEMA)
    document = json.loads(FORMATS["json"](SAMPLE))
    inner = document
    for step in where:
        inner = inner[step]
    inner["other"] = 1
    assert not validator.is_valid(document)
    del inner["other"]
    assert validator.is_valid(document)
    for key in list(inner):
        value = inner.pop(key)
        assert not validator.is_valid(document), key
        inner[key] = value


def test_schema_has_the_bounds_of_the_options() -> None:
    stated = SCHEMA["properties"]["options"]["properties"]
    names = {"at_least": "minimum", "at_most": "maximum", "above": "exclusiveMinimum"}
    for f in fields(CaptionOptions):
        bounds = {names[key]: f.metadata[key] for key in names if f.metadata[key] is not None}
        if f.name == "frames":
            bounds["minimum"] = 1  # 0, the model's number, is no longer 0 when captions are written
        assert {k: v for k, v in stated[f.name].items() if k in names.values()} == bounds
    assert set(stated) == {f.name for f in fields(CaptionOptions)}


# Any text, in any format

# As file names come: any character, and bytes that are not UTF-8 as surrogates.
WILD = st.text(st.characters() | st.sampled_from("\udc80\udcff\x1b\x9b\u202e\n\t,\"'<>&-1:"))


@st.composite
def wild_captions(draw: st.DrawFn) -> Captions:
    start, segments = 0.0, []
    for text in draw(st.lists(WILD, max_size=5)):
        start += draw(st.floats(0, 4))
        segments.append(Segment(start, start + draw(st.floats(0, 4)), text, draw(st.floats(-9, 0))))
    video = replace(SAMPLE.video, path=draw(WILD))
    return replace(SAMPLE, video=video, segments=tuple(segments))


@given(wild_captions(), st.sampled_from(list(FORMATS)))
def test_output_is_utf8_without_escape_sequences(captions: Captions, format: str) -> None:
    text = FORMATS[format](captions)
    text.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e]", text)
    assert text.endswith("\n") or not text


@given(wild_captions())
def test_srt_parses_back(captions: Captions) -> None:
    expected = [
        (
            index,
            timedelta(milliseconds=cue.start_ms),
            timedelta(milliseconds=cue.end_ms),
            "\n".join(cue.lines).replace("-->", "→"),
        )
        for index, cue in enumerate(cues(captions.segments, captions.video.duration_s), start=1)
    ]
    parsed = srt.parse(FORMATS["srt"](captions))
    assert [(sub.index, sub.start, sub.end, sub.content) for sub in parsed] == expected


def test_a_caption_cannot_pass_for_a_cue() -> None:
    text = "5 00:00:01,000 --> 00:00:02,000 never said"
    captions = replace(SAMPLE, segments=(Segment(0, 4, text, -1.0),))
    (subtitle,) = srt.parse(FORMATS["srt"](captions))
    assert subtitle.content == text.replace("-->", "→")
    assert FORMATS["vtt"](captions).count("-->") == 1


@given(wild_captions())
def test_vtt_parses_back(captions: Captions) -> None:
    header, *found = FORMATS["vtt"](captions).removesuffix("\n").split("\n\n")
    assert header.strip() == "WEBVTT"
    expected = list(cues(captions.segments, captions.video.duration_s))
    for cue, block in zip(expected, found, strict=True):
        timing, *lines = block.split("\n")
        assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} --> \d\d:\d\d:\d\d\.\d{3}", timing)
        assert not any("<" in line or ">" in line for line in lines)
        assert not re.search("&(?!amp;|lt;|gt;)", block)
        assert tuple(map(html.unescape, lines)) == cue.lines


@given(wild_captions())
def test_json_and_jsonl_keep_texts_and_paths(captions: Captions) -> None:
    document = json.loads(FORMATS["json"](captions))
    rows = [json.loads(line) for line in FORMATS["jsonl"](captions).split("\n")[:-1]]
    assert document["video"]["path"] == captions.video.path
    assert [row["video"] for row in rows] == [captions.video.path] * len(captions.segments)
    assert [row["text"] for row in document["segments"]] == [s.text for s in captions.segments]
    assert [{"video": captions.video.path, **row} for row in document["segments"]] == rows
    for row, segment in zip(rows, captions.segments, strict=True):
        assert row["start"] == pytest.approx(segment.start_s, abs=0.00051)
        assert row["end"] == pytest.approx(segment.end_s, abs=0.00051)


@given(wild_captions())
def test_csv_and_tsv_parse_back(captions: Captions) -> None:
    header, *rows = csv.reader(io.StringIO(FORMATS["csv"](captions), newline=""), strict=True)
    assert header == ["video", "start", "end", "text", "score", "confidence", "concepts"]
    assert [row[3] for row in rows] == [one_line(s.text) for s in captions.segments]
    assert all(len(row) == 7 for row in rows)
    assert all(re.fullmatch(r"-?\d+\.\d{3}", cell) for row in rows for cell in row[1:3])

    tab_rows = [line.split("\t") for line in FORMATS["tsv"](captions).split("\n")[1:-1]]
    assert [row[2] for row in tab_rows] == [one_line(s.text) for s in captions.segments]
    assert [[f"{int(ms) / 1000:.3f}" for ms in row[:2]] for row in tab_rows] == [
        row[1:3] for row in rows
    ]


# Several videos

SECOND = replace(
    SAMPLE,
    video=replace(SAMPLE.video, path="b\tc.mp4"),
    segments=(Segment(0.0, 1.5, "a cat", -1.0),),
)


def test_several_videos_in_one_stream() -> None:
    both = [replace(SAMPLE, segments=SAMPLE.segments[:1]), SECOND]
    assert "".join(render_many("tsv", both)) == (
        "video\tstart\tend\ttext\tconfidence\tconcepts\n"
        'clips/a, b.mp4\t0\t4000\ta "big" dog\t\t\n'
        "b\\u0009c.mp4\t0\t1500\ta cat\t\t\n"
    )
    assert "".join(render_many("csv", both)) == (
        "video,start,end,text,score,confidence,concepts\n"
        '"clips/a, b.mp4",0.000,4.000,"a ""big"" dog",-0.1235,,\n'
        "b\\u0009c.mp4,0.000,1.500,a cat,-1.0000,,\n"
    )
    assert "".join(render_many("txt", both)) == (
        'clips/a, b.mp4:\na "big" dog\n\nb\\u0009c.mp4:\na cat\n'
    )
    assert "".join(render_many("jsonl", both)) == "".join(map(FORMATS["jsonl"], both))


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_json_of_several_videos_is_an_array(number: int) -> None:
    captions = [SAMPLE, EMPTY, SECOND][:number]
    text = "".join(render_many("json", captions))
    assert json.loads(text) == [json.loads(FORMATS["json"](each)) for each in captions]
    assert text.endswith("]\n")


@pytest.mark.parametrize("format", ["json", "jsonl", "tsv", "csv", "txt"])
def test_the_first_video_is_written_before_the_second_is_asked_for(format: str) -> None:
    written: list[str] = []

    def source() -> Iterator[Captions]:
        yield SAMPLE
        assert "big" in "".join(written)
        yield SECOND

    for piece in render_many(format, source()):
        written.append(piece)
    assert "a cat" in "".join(written)


@pytest.mark.parametrize("format", ["srt", "vtt", "edl", "chapters", "xml"])
def test_subtitles_of_several_videos_are_refused_at_once(format: str) -> None:
    with pytest.raises(UsageError, match=f"{format} holds only one video; .*json, jsonl"):
        render_many(format, [SAMPLE, SECOND])


def test_an_unknown_format_of_several_videos_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="'ass' is not a caption format"):
        render_many("ass", [])
