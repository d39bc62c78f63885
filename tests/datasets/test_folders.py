"""Folders named by label."""

import pytest

from vidcaption.datasets.folders import read_labelled
from vidcaption.datasets.read import read_dataset
from vidcaption.datasets.samples import Sample
from vidcaption.errors import UsageError


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_labels(tmp_path):
    make(tmp_path, "swim/a.mp4", "swim/notes.txt", "run/a.mp4", "run/b.jpg", ".git/x.mp4")
    make(tmp_path, "run/._a.mp4", "readme.txt", "empty/readme.txt")
    assert read_dataset(tmp_path) == [
        Sample("run/a.mp4", (), None, video=tmp_path / "run/a.mp4", label="run"),
        Sample("run/b.jpg", (), None, stills=(tmp_path / "run/b.jpg",), label="run"),
        Sample("swim/a.mp4", (), None, video=tmp_path / "swim/a.mp4", label="swim"),
    ]


def test_splits(tmp_path):
    make(tmp_path, "train/run/a.mp4", "Val/run/b.mp4", "test/swim/c.mp4")
    assert [(s.id, s.split, s.label) for s in read_dataset(tmp_path)] == [
        ("Val/run/b.mp4", "dev", "run"),
        ("test/swim/c.mp4", "test", "swim"),
        ("train/run/a.mp4", "train", "run"),
    ]


def test_train_may_be_a_label(tmp_path):
    make(tmp_path, "train/a.mp4", "plane/b.mp4")
    assert [(s.split, s.label) for s in read_dataset(tmp_path)] == [
        (None, "plane"),
        (None, "train"),
    ]


def test_captions_beside_videos_go_first(tmp_path):
    make(tmp_path, "a.mp4", "run/b.mp4")
    assert read_labelled(tmp_path) == []
    with pytest.raises(UsageError, match=r"has a \.txt or \.srt file beside it"):
        read_dataset(tmp_path)


def test_a_folder_without_videos(tmp_path):
    make(tmp_path, "run/readme.txt")
    with pytest.raises(
        UsageError, match=r"no video or image in .*, or is in a folder named by its label"
    ):
        read_dataset(tmp_path)
