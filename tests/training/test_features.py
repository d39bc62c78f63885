import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from vidcaption.datasets.samples import Sample
from vidcaption.errors import InputError, OutputError
from vidcaption.evaluation.captioning import load_clip
from vidcaption.model.config import InputConfig
from vidcaption.model.device import Machine
from vidcaption.model.encoder import Encoder
from vidcaption.training import features
from vidcaption.training.features import FeatureCache

FRAMES = 3
CPU = Machine(torch.device("cpu"), torch.float32)


def make_encoder(**changes):
    torch.manual_seed(0)
    return Encoder(InputConfig(**{"image_size": 32, "grid": 1} | changes)).eval()


@pytest.fixture(scope="module")
def encoder():
    return make_encoder()


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(features, "SHARD", 4)
    monkeypatch.setattr(features, "_BATCH", 3)


@pytest.fixture
def samples(tmp_path, clips):
    """Seven images, some of which make a sample together, a video, and a part of it."""
    (tmp_path / "data").mkdir()
    rng = np.random.default_rng(0)
    paths = [tmp_path / "data" / f"{i}.png" for i in range(7)]
    for path in paths:
        cv2.imwrite(str(path), rng.integers(0, 256, (32, 32, 3), np.uint8))
    stills = [(paths[0],), (paths[1],), tuple(paths[2:5]), (paths[5],), (paths[6],)]
    video = clips["h264.mp4"]
    return [
        *(Sample(str(i), ("a",), "train", each) for i, each in enumerate(stills)),
        Sample("video", ("a",), "train", video=video),
        Sample("part", ("a",), "train", video=video, start_s=0.3, end_s=0.6),
    ]


def filled(folder, encoder, samples, frames=FRAMES, workers=2):
    cache = FeatureCache(folder, encoder, samples, frames, CPU)
    return cache, cache.fill(encoder, workers=workers)


def shards(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*.safetensors")}


def test_features_are_what_the_cnn_gives(tmp_path, encoder, samples):
    cache, computed = filled(tmp_path / "f", encoder, samples)
    assert computed == len(samples)
    assert len(shards(cache.folder)) == 3
    for index, sample in enumerate(samples):
        clip = load_clip(sample, FRAMES, 32)
        with torch.inference_mode():
            expected = encoder(clip)
        assert cache[index].dtype == torch.float16
        assert torch.allclose(cache[index].float(), expected, rtol=0.01, atol=0.001), sample.id


def test_workers_change_nothing(tmp_path, encoder, samples):
    one, _ = filled(tmp_path / "one", encoder, samples, workers=1)
    many, _ = filled(tmp_path / "many", encoder, samples, workers=8)
    assert shards(one.folder) == shards(many.folder) != {}


def test_only_what_is_new_is_computed(tmp_path, encoder, samples):
    filled(tmp_path / "f", encoder, samples[:4])
    others = [replace(each, id="other", split="dev", captions=("b",)) for each in samples]
    cache, computed = filled(tmp_path / "f", encoder, [*others[::-1], *others])
    assert computed == 3
    whole, _ = filled(tmp_path / "g", encoder, samples)
    for index in range(len(samples)):
        assert torch.allclose(cache[len(samples) + index], whole[index], rtol=0.01, atol=0.001)
        assert torch.equal(cache[len(samples) - 1 - index], cache[len(samples) + index])


def test_a_changed_file_is_computed_again(tmp_path, encoder, samples):
    before, _ = filled(tmp_path / "f", encoder, samples)
    cv2.imwrite(str(samples[1].stills[0]), np.zeros((32, 32, 3), np.uint8))
    after, computed = filled(tmp_path / "f", encoder, samples)
    assert computed == 1
    assert [torch.equal(before[i], after[i]) for i in range(7)] == [i != 1 for i in range(7)]


def test_a_broken_shard_is_computed_again(tmp_path, encoder, samples):
    cache, _ = filled(tmp_path / "f", encoder, samples)
    before = shards(cache.folder)
    broken = cache.folder / next(iter(before))
    broken.write_bytes(broken.read_bytes()[:-1])
    _, computed = filled(tmp_path / "f", encoder, samples)
    assert 0 < computed < len(samples)
    assert shards(cache.folder) == before


@pytest.mark.parametrize(("name", "unfinished"), [("gone.png", 7), ("text.txt", 1)])
def test_an_unreadable_sample_is_named_and_finished_shards_stay(
    tmp_path, encoder, samples, clips, name, unfinished
):
    """A missing file is told of before anything is computed."""
    path = clips.folder / name if name == "gone.png" else clips[name]
    bad = replace(samples[0], stills=(path,))
    with pytest.raises(InputError, match=name):
        filled(tmp_path / "f", encoder, [*samples, bad])
    _, computed = filled(tmp_path / "f", encoder, samples)
    assert computed == unfinished


@pytest.mark.parametrize(
    ("changes", "frames", "reason"),
    [
        ({"grid": 2}, FRAMES, "grid 1, not 2"),
        ({"mean": (0.5, 0.5, 0.5)}, FRAMES, "mean [0.485, 0.456, 0.406], not [0.5, 0.5, 0.5]"),
        ({}, 2, "frames 3, not 2"),
        ({"pyramid": 2}, FRAMES, "pyramid None, not 2"),
        ({"crops": 5}, FRAMES, "crops None, not 5"),
        ({"backbone": "googlenet"}, FRAMES, "backbone mobilenet_v2, not googlenet and "),
    ],
)
def test_another_cnn_has_features_of_its_own(
    tmp_path, encoder, samples, changes, frames, reason, caplog
):
    cache, _ = filled(tmp_path / "f", encoder, samples[:2])
    before = shards(tmp_path / "f")
    (tmp_path / "f" / "odd").mkdir()
    (tmp_path / "f" / "odd" / "features.json").write_text("[]")
    other = make_encoder(**changes)
    another = FeatureCache(tmp_path / "f", other, samples[:1], frames, CPU)
    with caplog.at_level(logging.INFO):
        assert another.fill(other) == 1
    [line] = caplog.messages
    assert line.startswith("computing the features of 1 sample, kept in ")
    assert f"; {cache.folder} has {reason}" in line
    assert shards(cache.folder) == before and len(shards(another.folder)) == 1
    about = json.loads((another.folder / "features.json").read_text())
    assert about["frames"] == frames and about["backbone"] == other.config.backbone


def test_weights_as_a_model_folder_has_them_are_the_same_ones(tmp_path, encoder, samples):
    filled(tmp_path / "f", encoder, samples)
    rounded = make_encoder()
    rounded.load_state_dict({name: x.half().float() for name, x in rounded.state_dict().items()})
    assert filled(tmp_path / "f", rounded, samples)[1] == 0
    with torch.no_grad():
        next(rounded.parameters()).mul_(1.01)
    assert filled(tmp_path / "f", rounded, samples)[1] == len(samples)


def test_frames_are_read_ahead_but_not_all(tmp_path, encoder, samples, monkeypatch):
    """Those read and not yet through the CNN: more than it takes at once, fewer than there are."""
    held, most, lock = 0, 0, threading.Lock()
    load = features.load_frames

    def count(change):
        nonlocal held, most
        with lock:
            held += change
            most = max(most, held)

    def load_and_count(*args):
        frames = load(*args)
        count(len(frames))
        return frames

    monkeypatch.setattr(features, "load_frames", load_and_count)
    hook = encoder.register_forward_hook(lambda module, images, rows: count(-len(rows)))
    parts = [replace(samples[5], start_s=0.01 * i) for i in range(15)]
    filled(tmp_path / "f", encoder, parts, workers=2)
    hook.remove()
    assert held == 0
    assert 3 < most <= 2 * 3 + 3 + FRAMES < 15 * FRAMES


def test_processes_share_the_work(tmp_path, encoder, samples, monkeypatch):
    """Each computes a shard before any goes on, and has all features at the end."""
    together, first = threading.Barrier(3), threading.local()
    write = features.write_atomic

    def write_together(path, content):
        if path.suffix == ".safetensors" and not hasattr(first, "passed"):
            first.passed = True
            together.wait(timeout=60)
        write(path, content)

    caches = [FeatureCache(tmp_path / "f", encoder, samples, FRAMES, CPU) for _ in range(3)]
    with monkeypatch.context() as patch, ThreadPoolExecutor(3) as pool:
        patch.setattr(features, "write_atomic", write_together)
        futures = [pool.submit(cache.fill, encoder) for cache in caches]
    computed = [future.result() for future in futures]
    assert sum(computed) == len(samples) and min(computed) > 0
    alone, _ = filled(tmp_path / "alone", encoder, samples)
    assert shards(caches[0].folder) == shards(alone.folder)
    for cache in caches:
        assert all(torch.equal(cache[i], alone[i]) for i in range(len(samples)))
    assert not list(alone.folder.glob("*.lock")) + list(caches[0].folder.glob("*.lock"))


def test_what_another_process_did_not_finish_is_computed(tmp_path, encoder, samples):
    """It claimed a shard, and ends without it while we wait."""
    whole, _ = filled(tmp_path / "whole", encoder, samples)
    first, *_ = shards(whole.folder)
    cache = FeatureCache(tmp_path / "f", encoder, samples, FRAMES, CPU)
    others = cache.folder / first
    others.parent.mkdir(parents=True)
    with ThreadPoolExecutor(1) as pool, features._claim(others, wait=True):
        computed = pool.submit(cache.fill, encoder)
        while len(shards(cache.folder)) < len(shards(whole.folder)) - 1:
            assert not computed.done()
            time.sleep(0.01)
    assert computed.result() == len(samples)
    assert shards(cache.folder) == shards(whole.folder)


def test_a_folder_that_cannot_be_written(tmp_path, encoder, samples):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        filled(tmp_path / "file", encoder, samples)
