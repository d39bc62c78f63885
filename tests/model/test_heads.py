import math

import pytest
import torch

from vidcaption.errors import ModelError
from vidcaption.model import folder
from vidcaption.model.config import ModelConfig
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.options.captioning import SearchOptions
from vidcaption.pipeline import Captioner

LABELS = Vocabulary([], labels=["playing guitar", "cooking", "swimming"])


def make(heads, vocabulary=LABELS, **fields):
    torch.manual_seed(0)
    small = {"image_size": 64, "grid": 2, "size": 16, "embedding": 12, "dropout": 0.0}
    return CaptionNetwork(ModelConfig.flat(heads=heads, **small, **fields), vocabulary)


def test_a_label_is_what_frames_say_on_average(features):
    network = make("classes").eval()
    with torch.inference_mode():
        memory = network.remember(features)
        head = network.heads["classes"]
        expected = torch.stack([head.out(x[:, 0]).softmax(-1) for x in memory.frames.split(1, 1)])
        torch.testing.assert_close(head(memory).exp(), expected.mean(0))
        captions = network.caption(features, SearchOptions())
    for row, caption in enumerate(captions):
        best = expected.mean(0)[row].argmax()
        assert caption.text == LABELS.labels[best] and caption.ids == []
        assert caption.score == pytest.approx(math.log(expected.mean(0)[row, best]), abs=1e-5)


@pytest.mark.parametrize(
    ("heads", "targets"), [("classes", [0, 2, 1]), ("score", [0.2, 0.9, -3.0])]
)
def test_a_head_learns_and_is_kept(heads, targets, features, tmp_path):
    network = make(heads).train()
    network.encoder.requires_grad_(False)
    wanted = torch.tensor(targets)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    head = network.heads[heads]
    for _ in range(60):
        optimizer.zero_grad()
        head.loss(network.remember(features), wanted).backward()
        optimizer.step()
    assert not hasattr(network, "decoder")  # which nobody would train
    folder.save(tmp_path, network, LABELS, "")
    loaded = folder.load(tmp_path)
    assert loaded.network.config == network.config and loaded.vocabulary.labels == LABELS.labels
    with torch.inference_mode():
        said = [x.text for x in loaded.network.caption(features, SearchOptions())]
    if heads == "classes":
        assert said == [LABELS.labels[label] for label in targets]
    else:
        assert [float(x) for x in said] == pytest.approx(targets, abs=0.2)


def test_heads_share_a_network(features):
    vocabulary = Vocabulary(["a", "dog"], labels=["indoors", "outdoors"])
    network = make("caption+classes+score", vocabulary).eval()
    with torch.inference_mode():
        memory = network.remember(features)
        assert network.heads["classes"](memory).shape == (3, 2)
        assert network.heads["score"](memory).shape == (3,)
        assert all(x.text is None for x in network.caption(features, SearchOptions()))


@pytest.mark.parametrize("heads", ["classes", "score"])
def test_heads_speak_together(heads, features):
    first, second = make(heads).eval(), make(heads, temporal="none").eval()
    with torch.inference_mode():
        voice = second.voice(features, None, 0.25)
        own, other = (each.head(each.remember(features)) for each in (first, second))
        mixed = first.head.mixed(first.remember(features), [voice])
        captions = first.caption(features, SearchOptions(), others=[voice])
    if heads == "classes":
        torch.testing.assert_close(mixed.exp(), 0.75 * own.exp() + 0.25 * other.exp())
        assert [x.text for x in captions] == [LABELS.labels[i] for i in mixed.argmax(-1)]
    else:
        torch.testing.assert_close(mixed, 0.75 * own + 0.25 * other)
        assert [float(x.text) for x in captions] == pytest.approx(mixed.tolist(), rel=1e-3)


def test_a_classes_head_needs_labels():
    with pytest.raises(ModelError, match=r"has the head classes, and vocab\.json no labels"):
        make("classes", Vocabulary(["a"]))


def test_a_model_of_labels_runs(tmp_path, clips):
    folder.save(tmp_path / "model", make("classes"), LABELS, "")
    captioner = Captioner.from_pretrained(tmp_path / "model", device="cpu", isolate=False)
    segments = captioner.caption(clips["h264.mp4"]).segments
    assert segments and all(x.text.lower() in LABELS.labels and x.words == () for x in segments)
    assert all(math.log(1 / 3) <= x.score < 0 for x in segments)
