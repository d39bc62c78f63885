import json

import cv2
import numpy as np
import pytest

from vidcaption.datasets.samples import Sample, load_frames, read_jsonl, with_splits
from vidcaption.errors import InputError, UsageError


def write(path, *rows):
    path.write_text(
        "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
    )
    return path


GOOD = {"id": "a", "image": "a.png", "captions": ["a dog"], "split": "train"}


def test_reads_images_frames_and_videos_relative_to_the_file(tmp_path):
    path = write(
        tmp_path / "data.jsonl",
        GOOD,
        "",
        {"id": "b", "frames": ["b/0.png", "b/1.png"], "captions": ["x", "y"], "extra": 1},
        {"id": "c", "video": "c.mp4", "captions": []},
    )
    assert read_jsonl(path) == [
        Sample("a", ("a dog",), "train", stills=(tmp_path / "a.png",)),
        Sample("b", ("x", "y"), None, stills=(tmp_path / "b/0.png", tmp_path / "b/1.png")),
        Sample("c", (), None, video=tmp_path / "c.mp4"),
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{", "line 2: "),
        ("[]", "line 2: a row must be a JSON object"),
        (GOOD, "line 2: id 'a' stands twice"),
        ({"id": "b", "captions": ["x"]}, "exactly one of image, frames, video; got none"),
        (GOOD | {"video": "x"}, "exactly one of"),
        (GOOD | {"id": 1}, "needs an id"),
        (GOOD | {"id": "b", "captions": "a dog"}, "captions must be a list"),
        (GOOD | {"id": "b", "captions": [" "]}, "captions must be a list"),
        (GOOD | {"id": "b", "split": 3}, "split must be a string"),
        (GOOD | {"id": "b", "image": ["a"]}, "image must be a path"),
        ({"id": "b", "frames": [], "captions": ["x"]}, "frames must be a list of paths"),
        ({"id": "b", "frames": "x", "captions": ["x"]}, "frames must be a list of paths"),
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
    with pytest.raises(UsageError, match="cannot read"):
        read_jsonl(tmp_path / "binary.jsonl")
    with pytest.raises(UsageError, match="holds no rows"):
        read_jsonl(write(tmp_path / "empty.jsonl"))


def test_splits_by_chance_only_where_none_is_given():
    bare = [Sample(str(i), ("x",), None) for i in range(50)]
    split = with_splits(bare, seed=3)
    assert [s.split for s in split].count("dev") == 10
    assert split == with_splits(bare, seed=3) != with_splits(bare, seed=4)
    given = [*bare, Sample("z", ("x",), "test")]
    assert with_splits(given, seed=3) == given


@pytest.fixture
def stills(tmp_path):
    """Six pictures, each grey and lighter than the one before."""
    paths = tuple(tmp_path / f"é{i}.png" for i in range(6))
    for i, path in enumerate(paths):
        path.write_bytes(cv2.imencode(".png", np.full((20, 30, 3), 40 * i, np.uint8))[1].tobytes())
    return paths


@pytest.mark.parametrize(
    ("most", "levels"), [(1, [120]), (2, [40, 160]), (6, range(0, 201, 40)), (9, range(0, 201, 40))]
)
def test_frames_are_spread_evenly(stills, most, levels):
    frames = load_frames(Sample("a", (), None, stills), most, size=16)
    assert [int(frame.mean()) for frame in frames] == list(levels)
    assert {frame.shape for frame in frames} == {(16, 16, 3)}


def test_colours_are_red_green_blue(tmp_path):
    path = tmp_path / "red.png"
    path.write_bytes(cv2.imencode(".png", np.full((8, 8, 3), (0, 0, 255), np.uint8))[1].tobytes())
    [frame] = load_frames(Sample("a", (), None, (path,)), 4)
    assert frame[0, 0].tolist() == [255, 0, 0]


def test_unreadable_stills_are_input_errors(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        load_frames(Sample("a", (), None, (tmp_path / "none.png",)), 1)
    for data in (b"", b"no picture"):
        (tmp_path / "bad.png").write_bytes(data)
        with pytest.raises(InputError, match="not an image"):
            load_frames(Sample("a", (), None, (tmp_path / "bad.png",)), 1)
