"""The words of motion, and networks that see them."""

import json
import logging
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from clips import every, write_clip
from colours import CPU, ONE_EPOCH, trainer, write_colours
from moving import SIDE, texture, window
from safetensors.torch import save_file
from tiny import write_tiny
from torch import Tensor, nn

from vidcaption import Captioner
from vidcaption.cli import main
from vidcaption.datasets.samples import Sample
from vidcaption.evaluation.captioning import load_clip
from vidcaption.evaluation.evaluate import score_model
from vidcaption.model.config import InputConfig, ModelConfig
from vidcaption.model.encoder import Encoder
from vidcaption.model.tracks import Tracks, pooled
from vidcaption.options.captioning import SearchOptions
from vidcaption.training import tracks as module
from vidcaption.training.tracks import learn_tracks
from vidcaption.training.words import with_heads
from vidcaption.types import Flow

SEEN = InputConfig(image_size=SIDE, grid=1, tracks=8)
SHOWING = ModelConfig.flat(
    **{"image_size": 32, "grid": 1, "size": 16, "attention_heads": 2, "embedding": 8},
    **{"tracks": 4, "attention": "none", "temporal": "none", "start_with": "tracks"},
)
FEW = replace(ONE_EPOCH, cached_frames=2)


class Blind(Encoder):
    """An encoder whose CNN sees nothing, in no time."""

    def __init__(self, config: InputConfig) -> None:
        nn.Module.__init__(self)
        self.config, self.channels, self.trunk = config, 3, nn.AvgPool2d(config.image_size)
        self.tracks = Tracks(config.tracks)
        self.words = self.tracks.channels
        self.register_buffer("mean", torch.zeros(3, 1, 1))
        self.register_buffer("std", torch.ones(3, 1, 1))


def written(folder: Path, label: str, number: int, rng: np.random.Generator) -> Sample:
    """A second of a texture that moves left, right, or not at all."""
    speed = {"left": -2, "right": 2, "still": 0}[label] * rng.uniform(0.7, 1.3)
    world = texture(rng)
    shown = [window(world, 128 - speed * (i - 5), 128, SIDE) for i in range(10)]
    path = folder / f"{label}{number}.mp4"
    write_clip(path, every(0.1, 10), shown, size=(SIDE, SIDE), options={"crf": "18"})
    return Sample(path.stem, (f"it moves {label}",), "train", video=path, label=label)


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    folder, rng = tmp_path_factory.mktemp("ways"), np.random.default_rng(0)
    return [written(folder, *each, rng) for each in product(("left", "right", "still"), range(4))]


def vectors(encoder: Encoder, samples: list[Sample]) -> Tensor:
    """Of each whole clip."""
    clips = [load_clip(s, 4, SIDE, encoder.config.flow) for s in samples]
    with torch.inference_mode():
        return torch.cat([pooled(encoder(x)[None, ..., encoder.channels :]) for x in clips])


def test_left_right_and_still_are_different_motions(ways: list[Sample]) -> None:
    encoder = Blind(SEEN)
    learn_tracks(encoder, ways[::2])
    found = vectors(encoder, ways)
    assert found[8:].abs().max() == 0  # still
    torch.testing.assert_close(found[:8].norm(dim=-1), torch.ones(8))
    near = found[:8] @ found[:8].T
    assert min(near[:4, :4].min(), near[4:, 4:].min()) > near[:4, 4:].max() + 0.4


def test_the_same_clips_have_the_same_words(
    ways: list[Sample], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first, again = Blind(SEEN), Blind(SEEN)
    learn_tracks(first, ways[:8])
    torch.manual_seed(1)
    np.random.seed(1)
    learn_tracks(again, ways[:8])
    for name, words in first.tracks.named_buffers():  # type: ignore[union-attr]
        assert torch.equal(words, again.tracks.get_buffer(name))  # type: ignore[union-attr]
        assert len(words.unique(dim=0)) == 8
    assert caplog.messages[0].startswith("learned the codebooks of motion from ")
    assert int(caplog.messages[0].split()[-2].replace(",", "")) > 1000


def test_few_tracks_are_words_themselves_and_many_are_drawn(
    ways: list[Sample], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(module, "MOST", 7)
    monkeypatch.setattr(module, "CLIPS", 3)
    encoder = Blind(SEEN)
    learn_tracks(encoder, ways)  # of which every fourth is seen, two tracks each
    assert caplog.messages == ["learned the codebooks of motion from 4 tracks"]
    shapes = encoder.tracks.get_buffer("shape")  # type: ignore[union-attr]
    assert len(shapes[:4].unique(dim=0)) == 4 and torch.equal(shapes[4:], shapes[:1].expand(4, -1))
    assert (shapes[:4, 0] < 0).sum() == 2


def test_stills_and_what_stands_teach_no_motion_but_train(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    trainer(tmp_path / "model", write_colours(tmp_path), ONE_EPOCH, config=SHOWING).run()
    told = [text for text in caplog.messages if "--tracks" in text]
    assert told == [
        "nothing moves in 19 samples of the training, so --tracks will show nothing; they need "
        "videos, in time"
    ]
    captioner = Captioner.from_pretrained(tmp_path / "model", isolate=False, precision="fp32")
    assert captioner.caption(tmp_path / "0.png")[0].text


def test_a_training_learns_words_once_and_keeps_them(
    ways: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = [replace(s, split="dev") if s.id.endswith("3") else s for s in ways]
    learnt = []

    def learn(encoder: Encoder, given: list[Sample]) -> None:
        learnt.append([sample.id for sample in given])
        learn_tracks(encoder, given)

    monkeypatch.setattr("vidcaption.training.trainer.learn_tracks", learn)
    made = trainer(tmp_path / "model", samples, FEW, config=SHOWING)
    made.run()
    words = made.network.encoder.tracks.get_buffer("shape")
    assert words.abs().max() > 0 and learnt == [[s.id for s in samples if s.split == "train"]]
    captioner = Captioner.from_pretrained(tmp_path / "model", isolate=False, precision="fp32")
    kept = captioner.loaded.network.encoder.tracks
    assert kept is not None and torch.equal(kept.get_buffer("shape"), words)
    assert captioner.flow == Flow(0.1, "dis", 5)
    trainer(tmp_path / "model", samples, FEW, config=SHOWING).run(resume=True)
    trainer(tmp_path / "more", samples, FEW, init=captioner.loaded).run()
    assert len(learnt) == 1
    one, other = tmp_path.glob("*/features/*/features.json")
    assert one.parent.name == other.parent.name  # of both trainings
    about = json.loads(one.read_text())
    assert (about["flow"], about["tracks"], about["input"]) == ([0.1, "dis"], 4, "rgb")


def test_what_moves_changes_captions(ways: list[Sample], tmp_path: Path) -> None:
    model = write_tiny(tmp_path / "model", **{"tracks": 4, "start_with": "frames+tracks"})
    captioner = Captioner.from_pretrained(model, isolate=False, precision="fp32")
    network = captioner.loaded.network
    learn_tracks(network.encoder, ways)
    clip = load_clip(ways[0], 4, 64, captioner.flow).unsqueeze(0)
    still = clip.clone()
    still[:, :, 3:] = torch.tensor([128, 128, 0] * 5).view(-1, 1, 1)
    with torch.inference_mode():
        moves, stands = (network.remember(network.encode(x)) for x in (clip, still))
    torch.testing.assert_close(moves.pooled, stands.pooled)
    assert moves.start is not None and stands.start is not None and moves.every is None
    assert (moves.start - stands.start).abs().max() > 0.1


def test_tracks_and_flow_write_together(
    ways: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")  # without Java, which takes seconds
    tracks = write_tiny(tmp_path / "tracks", tracks=4, every_with="frames+tracks")
    flow = write_tiny(tmp_path / "flow", 1, kind="flow", image_size=48)
    both = Captioner.from_pretrained([flow, (tracks, 0.5)], isolate=False, precision="fp32")
    assert both.flow == Flow(0.1, "dis", 5)
    alone = Captioner.from_pretrained(flow, isolate=False, precision="fp32")
    muted = Captioner.from_pretrained([flow, (tracks, 0.0)], isolate=False, precision="fp32")
    clip = ways[0].video
    assert clip is not None
    assert [x.text for x in muted.caption(clip)] == [x.text for x in alone.caption(clip)]
    said = {
        name: score_model(first, ways[:2], 2, SearchOptions(), CPU, others=others).said
        for name, first, others in (
            ("flow", flow, ()),
            ("muted", flow, [(tracks, 0.0)]),
            ("both", flow, [(tracks, 0.9)]),
        )
    }
    assert said["flow"] == said["muted"] != said["both"]


def test_a_model_that_writes_no_longer_sees_no_tracks(tmp_path: Path) -> None:
    model = write_tiny(tmp_path / "model", tracks=4, every_with="frames+tracks")
    loaded = Captioner.from_pretrained(model, isolate=False).loaded
    more = with_heads(loaded, "caption+joint", (), seed=1).network
    assert more.config.input.tracks == 4 and more.config.every_with == "frames+tracks"
    joint = with_heads(loaded, "joint", (), seed=1).network
    assert joint.config.input.tracks == 0 and not joint.config.fed and joint.encoder.words == 0
    assert torch.equal(joint.project.weight, loaded.network.project.weight)


def test_features_are_those_that_train_finds(
    ways: list[Sample], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"id": s.id, "video": str(s.video), "captions": s.captions}
        | {"split": "dev" if s.id.endswith("3") else "train"}
        for s in ways[2:6]
    ]
    data = tmp_path / "data.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    save_file(torchvision.models.mobilenet_v2().state_dict(), tmp_path / "cnn.safetensors")
    cnn = ["--image-size", "32", "--grid", "1", "--tracks", "4"]
    cnn += ["--backbone-weights", str(tmp_path / "cnn.safetensors")]
    out = str(tmp_path / "features")
    assert main(["features", str(data), "-o", out, *cnn, "--frames", "2"]) == 0
    assert "learned the codebooks of motion from" in capsys.readouterr().err
    train = ["train", str(data), "-o", str(tmp_path / "model"), *cnn, "--features", out]
    train += ["--start-with", "frames+tracks", "--size", "16", "--attention-heads", "2"]
    train += ["--embedding", "8", "--epochs", "1", "--finetune-epochs", "0", "--workers", "0"]
    train += ["--select", "loss", "--min-count", "1", "--cached-frames", "2"]
    assert main(train) == 0
    assert "computing the features" not in capsys.readouterr().err
