"""Stages give what a Captioner gives, called by hand and by Ray Data."""

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidcaption.errors import ModelError, UsageError
from vidcaption.pipeline import Captioner
from vidcaption.scale import CaptionWindows, Cluster, ReadWindows
from vidcaption.types import Segment

FLAGS: dict[str, Any] = {"beam": 1, "max_words": 4, "window": 1}
MACHINE = {"precision": "fp32", "device": "cpu", "batch_size": 4}


def expected(model: Path, path: Path) -> tuple[Segment, ...]:
    captioner = Captioner.from_pretrained(model, precision="fp32", device="cpu", batch_size=4)
    return captioner.caption(path, merge=False, **FLAGS).segments


def rows(batches: list[dict[str, Any]]) -> list[tuple[str, float, float, str]]:
    return [
        (str(path), float(start_s), float(end_s), str(text))
        for each in batches
        for path, start_s, end_s, text in zip(
            each["path"], each["start_s"], each["end_s"], each["text"], strict=True
        )
    ]


def test_called_by_hand(clips: Path, model: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = [clips / "c2.mp4", clips / "c3b.mp4", clips / "c5.mp4"]
    read, caption = ReadWindows(str(model), **FLAGS), CaptionWindows(str(model), MACHINE, **FLAGS)
    with caplog.at_level(logging.ERROR, "vidcaption"):
        batches = list(read({"path": np.array(paths, dtype=object)}))
    assert [record.getMessage().split()[0] for record in caplog.records] == [str(paths[1])]
    caplog.clear()  # that was expected

    first = batches[0]
    assert first["frames"].dtype == np.uint8 and first["frames"].shape[1:] == (2, 64, 64, 3)
    assert first["pts_s"].shape == first["frames"].shape[:2]
    assert (first["pts_s"] >= first["start_s"][:, None]).all()
    captioned = [caption(each) for each in batches]
    segments = {path: expected(model, path) for path in (paths[0], paths[2])}
    assert rows(captioned) == [
        (str(path), each.start_s, each.end_s, each.text)
        for path, some in segments.items()
        for each in some
    ]
    assert {"frames", "pts_s"}.isdisjoint(captioned[0])
    assert captioned[0]["score"][0] == segments[paths[0]][0].score
    assert math.isnan(captioned[0]["confidence"][0])  # this model gives none


def test_frames_of_any_origin(model: Path) -> None:
    caption = CaptionWindows(str(model), MACHINE, **FLAGS)
    frames = np.random.default_rng(0).integers(0, 255, (3, 2, 64, 64, 3), np.uint8)
    batch = caption({"frames": frames, "id": np.arange(3)})
    assert batch["id"].tolist() == [0, 1, 2] and len(batch["text"]) == 3 and all(batch["text"])
    assert len(set(batch["score"])) == 3
    assert caption({"frames": frames[:0]})["text"].tolist() == []


def test_wrong_options_and_models(model: Path, tmp_path: Path) -> None:
    for stage in (ReadWindows, CaptionWindows):
        with pytest.raises(UsageError, match="beam"):
            stage(str(model), beam=0)
    with pytest.raises(UsageError, match="gives no confidence"):
        CaptionWindows(str(model), MACHINE, min_confidence=0.5)({"frames": np.zeros((0, 1))})
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="empty"):
        ReadWindows(str(tmp_path / "empty"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_on_ray_data(cluster: Cluster, clips: Path, model: Path) -> None:
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    paths = [str(clips / name) for name in ("c1.mp4", "c3b.mp4", "c7.mp4")]
    windows = ray.data.from_items([{"path": path} for path in paths]).map_batches(
        ReadWindows,
        fn_constructor_args=[str(model)],
        fn_constructor_kwargs=FLAGS,
        batch_size=1,
        concurrency=1,
        num_cpus=0.5,
    )
    captioned = windows.map_batches(
        CaptionWindows,
        fn_constructor_args=[str(model), MACHINE],
        fn_constructor_kwargs=FLAGS,
        batch_size=8,
        concurrency=1,
        num_cpus=0.5,
    )
    assert sorted(rows(list(captioned.iter_batches(batch_size=64)))) == [
        (path, each.start_s, each.end_s, each.text)
        for path in (paths[0], paths[2])
        for each in expected(model, Path(path))
    ]
