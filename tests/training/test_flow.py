"""Training on optical flow, and what it tells that frames do not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from colours import CPU, trainer
from moving import LABELS, SIDE, write_moving
from tiny import write_tiny

from vidcaption import Captioner, InputError, UsageError
from vidcaption.datasets.samples import Sample
from vidcaption.evaluation.captioning import load_clip
from vidcaption.evaluation.evaluate import score_model
from vidcaption.model import folder
from vidcaption.model.config import ModelConfig
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.options.captioning import CaptionOptions, SearchOptions
from vidcaption.options.training import TrainOptions
from vidcaption.training.clips import FeatureClips, PixelClips
from vidcaption.training.features import FeatureCache
from vidcaption.types import Flow
from vidcaption.video.reader import VideoReader

FLOW = Flow(0.1, "dis")
RGB = {"heads": "classes", "grid": 1, "temporal": "lstm"}


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    return write_moving(tmp_path_factory.mktemp("moving"), 8)


def test_clips_of_flow_are_neither_mirrored_nor_moved(moving: list[Sample]) -> None:
    rng = np.random.default_rng(0)
    still = PixelClips(moving, SIDE, 8, 2, FLOW, moves=False)
    whole = load_clip(moving[0], 8, SIDE, FLOW)
    assert whole.shape == (8, 6, SIDE, SIDE)
    for _ in range(8):  # half of which would be mirrored
        clip = still(0, 8, rng)
        assert torch.equal(clip, whole)
    assert any(
        not torch.equal(PixelClips(moving, SIDE, 8, 2)(0, 8, rng), whole[:, :3]) for _ in "12"
    )


def test_features_of_flow_are_not_those_of_frames(moving: list[Sample], tmp_path: Path) -> None:
    config = ModelConfig.flat(image_size=32, **RGB, size=16, attention_heads=2)
    network = CaptionNetwork(config, Vocabulary([], labels=LABELS)).eval()
    caches = []
    for kind in ("rgb", "flow"):
        network.encoder.config = replace(config.input, kind=kind)
        cache = FeatureCache(tmp_path, network.encoder, moving[:2], 4, CPU)
        assert cache.fill(network.encoder) == 2
        caches.append(cache)
    assert caches[0].folder != caches[1].folder and caches[1].about["flow"] == [0.1, "dis"]
    clip = load_clip(moving[0], 4, 32, FLOW)
    with torch.inference_mode():
        for cache, pictures in zip(caches, (clip[:, :3], clip[:, 3:]), strict=True):
            expected = network.encoder(pictures)
            torch.testing.assert_close(cache[0].float(), expected, rtol=0.01, atol=0.01)
    clips = FeatureClips(caches[1], {0: 0}, 2, moves=False)
    assert torch.equal(clips(0, 4, np.random.default_rng(0)), caches[1][0].float())


def test_pictures_have_no_flow(tmp_path: Path, samples: list[Sample]) -> None:
    config = ModelConfig.flat(image_size=32, kind="flow", **RGB, size=16, attention_heads=2)
    labelled = [replace(each, label=each.captions[0]) for each in samples]
    options = TrainOptions(epochs=1, finetune_epochs=0, workers=0)
    with pytest.raises(InputError, match=r"\.png is a still, which has no optical flow; leave"):
        trainer(tmp_path, labelled, options, config=config).run()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An RGB and a flow captioner with the same words, and pictures of different sizes."""
    place = tmp_path_factory.mktemp("pair")
    return write_tiny(place / "rgb"), write_tiny(place / "flow", 1, kind="flow", image_size=48)


def test_frames_and_flow_write_together(pair: tuple[Path, Path], moving: list[Sample]) -> None:
    rgb, flow = pair
    clip = moving[0].video
    assert clip is not None

    def said(*models: object, isolate: bool = False) -> list[tuple[str, float]]:
        captioner = Captioner.from_pretrained(list(models), precision="fp32", isolate=isolate)
        return [(each.text, each.score) for each in captioner.caption(clip, window=0.5)]

    alone, other = said(rgb), said(flow)
    assert alone != other
    for mixed, expected in (
        (said(rgb, (flow, 0.0)), alone),
        (said(flow, (rgb, 0.0)), other),
    ):
        assert [text for text, _ in mixed] == [text for text, _ in expected]
        assert [s for _, s in mixed] == pytest.approx([s for _, s in expected], abs=1e-3)
    half = said(rgb, (flow, 0.5))
    assert half not in (alone, other) and said(rgb, (flow, 0.5), isolate=True) == half


def test_frames_and_flow_are_scored_together(
    pair: tuple[Path, Path], moving: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")  # without Java, which takes seconds
    rgb, flow = pair
    options = SearchOptions(max_words=5)

    def said(first: Path, *others: tuple[Path, float]) -> list[str]:
        scored = score_model(first, moving[:3], 2, options, CPU, others=others)
        return [each.text for each in scored.said.values()]

    assert said(rgb, (flow, 0.0)) == said(rgb) != said(flow) == said(flow, (rgb, 0.0))
    assert said(rgb, (flow, 1.0)) != said(rgb)


def test_labels_are_mixed(tmp_path: Path, moving: list[Sample]) -> None:
    models = {}
    for seed, (name, more) in enumerate({"rgb": {}, "flow": {"kind": "flow"}}.items()):
        torch.manual_seed(seed)
        config = ModelConfig.flat(image_size=32, **RGB, size=16, attention_heads=2, **more)
        words = Vocabulary([], labels=LABELS)
        network = CaptionNetwork(config, words)
        network.heads["classes"].out.weight.data.mul_(9)
        folder.save(tmp_path / name, network, words, "# random\n")
        models[name] = tmp_path / name
    rgb, flow = models.values()
    dev, options = moving[:4], SearchOptions()
    alone, other, mixed = (
        score_model(first, dev, 2, options, CPU, others=others)
        for first, others in ((rgb, ()), (flow, ()), (rgb, [(flow, 0.25)]))
    )
    for key, said in mixed.said.items():
        parts = 0.75 * np.exp(alone.said[key].score), 0.25 * np.exp(other.said[key].score)
        assert max(parts) - 1e-4 <= np.exp(said.score) <= sum(parts) + 1e-4
    assert {key: said.text for key, said in other.said.items()} != {
        key: said.text for key, said in alone.said.items()
    }
    captioner = Captioner.from_pretrained([rgb, (flow, 0.25)], precision="fp32", isolate=False)
    clip = moving[0].video
    assert clip is not None
    [segment] = captioner.caption(clip, window="whole", frames=2)
    assert segment.text == mixed.said["0"].text
    assert segment.score == pytest.approx(mixed.said["0"].score, abs=1e-3)


def test_frames_in_memory_have_flow_and_those_to_look_at_do_not(
    pair: tuple[Path, Path], moving: list[Sample]
) -> None:
    captioner = Captioner.from_pretrained(pair[1], precision="fp32", isolate=False)
    clip = moving[0].video
    assert clip is not None
    options = CaptionOptions(window_s=0.5, segment="fixed")
    shown = [
        frame for window in captioner.windows(clip, options, (8, 8)) for frame in window.frames
    ]
    assert {frame.image.shape for frame in shown} == {(8, 8, 3)}
    with VideoReader(clip) as reader:
        frames = list(reader.frames())
    times_s = [frame.pts_s for frame in frames]
    moves = captioner.caption_frames([each.image for each in frames], times_s, options)
    stands = captioner.caption_frames([frames[0].image] * len(frames), times_s, options)
    assert [(x.text, x.score) for x in moves] != [(x.text, x.score) for x in stands]


def test_what_cannot_be_mixed_or_sampled_is_said(
    pair: tuple[Path, Path], moving: list[Sample], tmp_path: Path
) -> None:
    rgb, flow = pair
    slower = write_tiny(tmp_path / "slower", 2, kind="flow", flow_gap_s=0.2)
    with pytest.raises(UsageError, match="see different optical flow, so they cannot be mixed"):
        Captioner.from_pretrained([flow, (slower, 0.5)], isolate=False)
    models = []
    for number in (2, 3):
        words = Vocabulary([], labels=LABELS[:number])
        network = CaptionNetwork(ModelConfig.flat(**RGB, image_size=32), words)
        models.append(tmp_path / str(number))
        folder.save(models[-1], network, words, "# random\n")
    with pytest.raises(
        UsageError, match=r"do not have the same labels \(2 and 3\), so they cannot"
    ):
        Captioner.from_pretrained([models[0], (models[1], 0.5)], isolate=False)
    captioner = Captioner.from_pretrained([rgb, (flow, 0.5)], isolate=False)
    assert captioner.flow == FLOW and Captioner.from_pretrained(rgb, isolate=False).flow is None
    with pytest.raises(UsageError, match=r"--sampling is keyframes, and the model .* sees the opt"):
        captioner.caption(moving[0].video or "", sampling="keyframes")


@pytest.mark.slow
def test_flow_tells_motion_that_frames_tell_in_part_and_one_does_not(tmp_path: Path) -> None:
    """Four ways to move, seen by the built-in model's CNN as it is."""
    samples = write_moving(tmp_path, 240)
    dev = [sample for sample in samples if sample.split == "dev"]
    known = Captioner.from_pretrained(isolate=False, precision="fp32").loaded.network
    small = {"image_size": SIDE, "grid": 1, "size": 32, "attention_heads": 2, "heads": "classes"}
    seen = known.config.input
    config = ModelConfig.flat(
        **small, backbone=seen.backbone, mean=seen.mean, std=seen.std, dropout=0.1
    )
    words = Vocabulary([], labels=LABELS)
    options = TrainOptions(
        **{"epochs": 12, "patience": 12, "finetune_epochs": 0, "batch": 16, "workers": 0},
        **{"frames": 8, "lr": 5e-3, "ema": 0.9, "label_smoothing": 0.0},
        **{"camera": "still", "select": "loss"},
    )

    def train(name: str, frames: int = 8, **fields: str) -> Path:
        torch.manual_seed(0)
        network = CaptionNetwork(replace(config, **fields), words)
        network.encoder.load_state_dict(known.encoder.state_dict())
        start = folder.Model(network, words, "0" * 64)
        more = {"init": start, "features": tmp_path / "features"}
        trainer(tmp_path / name, samples, replace(options, frames=frames), **more).run()
        return tmp_path / name

    def accuracy(first: Path, *others: tuple[Path, float]) -> float:
        report = score_model(first, dev, 8, SearchOptions(), CPU, others=others).report
        return float(report["scores"]["accuracy"])

    frame = train("frame", 1, temporal="none")
    rgb = train("rgb", temporal="lstm")
    flow = train("flow", temporal="lstm", input=replace(config.input, kind="flow"))
    assert len(dev) == 48 and accuracy(frame) < 45  # chance is 25
    assert 60 < accuracy(rgb) < 95
    assert accuracy(flow) > 95
    assert accuracy(rgb, (flow, 0.67)) >= accuracy(flow)
