import json

import pytest

from vidcaption.datasets.jsonl import read_jsonl
from vidcaption.datasets.samples import Sample
from vidcaption.errors import UsageError


def write(path, *rows):
    path.write_text(
        "".join(
            f"{row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)}\n"
            for row in rows
        ),
        encoding="utf-8",
    )
    return path


GOOD = {"id": "a", "image": "a.png", "captions": ["a dog"], "split": "train"}
VIDEO = {"id": "v", "video": "v.mp4", "captions": ["a dog"]}


def test_reads_images_frames_and_videos_relative_to_the_file(tmp_path):
    path = write(
        tmp_path / "data.jsonl",
        GOOD,
        "",
        {"id": "b", "frames": ["b/0.png", "b/1.png"], "captions": ["x", "y"], "extra": 1},
        {"id": "c", "video": "c.mp4", "captions": []},
        {"id": "d", "video": "c.mp4", "captions": ["z\u2028"], "start": 2, "end": 3.5},
        {"id": "e", "image": "a.png", "label": "high jump", "score": 0.5},
        {"id": "f", "video": "c.mp4", "score": -1, "label": None},
    )
    assert read_jsonl(path) == [
        Sample("a", ("a dog",), "train", stills=(tmp_path / "a.png",)),
        Sample("b", ("x", "y"), None, stills=(tmp_path / "b/0.png", tmp_path / "b/1.png")),
        Sample("c", (), None, video=tmp_path / "c.mp4"),
        Sample("d", ("z\u2028",), None, video=tmp_path / "c.mp4", start_s=2, end_s=3.5),
        Sample("e", (), None, stills=(tmp_path / "a.png",), label="high jump", score=0.5),
        Sample("f", (), None, video=tmp_path / "c.mp4", score=-1),
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{", "line 2, column 2: not JSON; each line must be a JSON object"),
        ("[]", "line 2: a row must be a JSON object"),
        (GOOD, "line 2: id 'a' occurs twice"),
        ({"id": "b", "captions": ["x"]}, "exactly one of image, frames, video; got none"),
        (GOOD | {"video": "x"}, "exactly one of"),
        (GOOD | {"id": 1}, "needs an id"),
        (GOOD | {"id": "b", "captions": "a dog"}, "captions must be a list"),
        (GOOD | {"id": "b", "captions": [" "]}, "captions must be a list"),
        (GOOD | {"id": "b", "split": 3}, "split must be a string"),
        (GOOD | {"id": "b", "label": " "}, "label must be a word or several; got ' '"),
        (GOOD | {"id": "b", "label": 7}, "label must be a word or several; got 7"),
        (GOOD | {"id": "b", "score": "7"}, "score must be a number; got '7'"),
        (GOOD | {"id": "b", "score": True}, "score must be a number; got True"),
        (GOOD | {"id": "b", "score": float("inf")}, "score must be a number; got inf"),
        (GOOD | {"id": "b", "image": ["a"]}, "image must be a path"),
        ({"id": "b", "frames": [], "captions": ["x"]}, "frames must be a list of paths"),
        ({"id": "b", "frames": "x", "captions": ["x"]}, "frames must be a list of paths"),
        (VIDEO | {"start": "1"}, "start and end must be seconds; got '1'"),
        (VIDEO | {"end": True}, "start and end must be seconds; got True"),
        (VIDEO | {"end": float("nan")}, "start and end must be seconds; got nan"),
        (VIDEO | {"start": -1}, "start must be at least 0, and end not below it"),
        (
            VIDEO | {"start": 2, "end": 1},
            "start must be at least 0, and end not below it; got 2, 1",
        ),
    ],
)
def test_a_bad_row_is_named(tmp_path, row, reason):
    with pytest.raises(UsageError) as caught:
        read_jsonl(write(tmp_path / "data.jsonl", GOOD, row))
    assert reason in str(caught.value)
    assert "data.jsonl" in str(caught.value)


def test_unreadable_and_empty_files_are_usage_errors(tmp_path):
    with pytest.raises(UsageError, match="cannot read"):
        read_jsonl(tmp_path / "none.jsonl")
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="line 1: not UTF-8"):
        read_jsonl(tmp_path / "binary.jsonl")
    with pytest.raises(UsageError, match="has no rows"):
        read_jsonl(write(tmp_path / "empty.jsonl"))


def test_the_label_is_in_the_field_that_is_asked_for(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text('{"id": "a", "image": "a.png", "category": "food/drink", "label": 3}\n')
    assert [s.label for s in read_jsonl(path, "category")] == ["food/drink"]
    with pytest.raises(UsageError, match=r"line 1: label must be a word or several; got 3"):
        read_jsonl(path)
