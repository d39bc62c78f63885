from copy import deepcopy

import pytest
import torch

from vidcaption.datasets.samples import Sample
from vidcaption.model.confidence import FEATURES, Confidence
from vidcaption.model.config import ModelConfig
from vidcaption.model.device import Machine
from vidcaption.model.folder import Model
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.search import search
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.options.captioning import SearchOptions
from vidcaption.training.calibration import calibrate, fit, rightness


def test_right_is_what_people_say_in_any_form():
    references = ["A dog runs on the beach.", "Two dogs are running."]
    assert rightness("a dog is running", references) == 1.0
    assert rightness("a cat is running", references) == 0.5
    assert rightness("is the", references) == 0.0  # names nothing
    assert rightness("a cat", [*references, *references, "a bird", "a cat"]) == 0.0  # the sixth


def test_fits_what_decides():
    random = torch.Generator().manual_seed(0)
    rows = torch.randn(2000, FEATURES, generator=random) * torch.tensor([1.0, 5.0, 0.1, 1.0]) + 3
    true = torch.sigmoid(0.8 * (rows[:, 0] - 3) + 4 * (rows[:, 2] - 3) - 0.5)
    confidence = Confidence(Vocabulary(["dog"], ["dog"]))
    fit(confidence, rows, true)
    with torch.no_grad():
        got = confidence.weigh(rows).sigmoid().squeeze(1)
    assert (got - true).abs().max() < 0.05
    assert got.mean().item() == pytest.approx(true.mean().item(), abs=0.01)


@pytest.mark.parametrize("right", [0.0, 0.5, 1.0])
def test_a_single_sample_has_a_confidence(right):
    confidence = Confidence(Vocabulary(["dog"], ["dog"]))
    rows = torch.tensor([[-1.0, 5.0, 0.5, 0.2]])
    fit(confidence, rows, torch.tensor([right]))
    with torch.no_grad():
        got = confidence.weigh(rows).sigmoid().item()
    assert got == pytest.approx(right, abs=0.01)


def test_fits_to_the_captions_that_run_writes(monkeypatch):
    """To those that prefer the words of sure concepts."""
    monkeypatch.setattr("vidcaption.model.network.HINT", 200.0)
    torch.manual_seed(0)
    words = ["dog", "cat", "bird", "runs", "sits"]
    vocabulary = Vocabulary(words, words[:3])
    config = ModelConfig.flat(
        **{"image_size": 64, "grid": 2, "size": 16, "attention_heads": 2, "embedding": 12},
        concept_slots=2,
    )
    network = CaptionNetwork(config, vocabulary).eval()
    torch.nn.init.normal_(network.classifier.out.weight)
    clips = torch.randint(0, 256, (24, 2, 3, 64, 64), dtype=torch.uint8)
    samples = [Sample(str(i), ("the dog sits",), "dev") for i in range(24)]
    with torch.inference_mode():
        features = network.encode(clips)
        concepts = network.recognise(features)
        captions = network.caption(features, SearchOptions(), concepts)
        plain = search(network.decoder, network.remember(features, concepts), SearchOptions())
    assert any(a.ids != b.ids for a, b in zip(captions, plain, strict=True))
    expected = deepcopy(network.confidence)
    right = [rightness(" ".join(vocabulary.decode(c.ids)), ["the dog sits"]) for c in captions]
    fit(expected, network.confidence.describe(captions), torch.tensor(right))
    calibrate(
        *(Model(network, vocabulary, "0"), samples, lambda i: clips[i]),
        Machine(torch.device("cpu"), torch.float32),
    )
    torch.testing.assert_close(
        network.confidence.weigh.weight, expected.weigh.weight, rtol=0.05, atol=0.01
    )
