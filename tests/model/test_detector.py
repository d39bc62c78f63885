from dataclasses import replace

import pytest
import torch

from vidcaption.batcher import Runner
from vidcaption.datasets.samples import Sample
from vidcaption.evaluation.captioning import caption_samples
from vidcaption.model import folder as model_folder
from vidcaption.model.config import ModelConfig
from vidcaption.model.detector import ObjectDetector
from vidcaption.model.device import Machine
from vidcaption.model.folder import Model
from vidcaption.model.fused import FusedConvolution, fused
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.options.captioning import CaptionOptions, SearchOptions
from vidcaption.options.training import TrainOptions
from vidcaption.training.calibration import calibrate
from vidcaption.training.stages import PARTS

CPU = Machine(torch.device("cpu"), torch.float32)
WORDS = Vocabulary(["a", "dog", "cat", "on"], ["dog", "cat"], (), [1])
CONFIG = ModelConfig.flat(
    image_size=64,
    grid=2,
    size=16,
    attention_heads=2,
    embedding=12,
    concept_slots=2,
    heads="caption+joint",
)
FRAMES = torch.randint(
    0, 256, (2, 3, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
).permute(0, 1, 4, 2, 3)


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = CaptionNetwork(CONFIG, WORDS).eval()
        for module in network.detector.modules():
            if isinstance(module, torch.nn.Conv2d):  # otherwise all pictures look the same to it
                torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    torch.nn.init.constant_(network.detector.out.bias, 3.0)  # it sees cats everywhere
    return network


def test_finds_objects_in_the_frame_in_the_middle(network):
    with torch.inference_mode():
        found = network.detect(FRAMES)
        assert found.shape == (2, 1)
        torch.testing.assert_close(found, network.detector(FRAMES[:, 1]))
        assert not torch.allclose(found, network.detector(FRAMES[:, 0]))


def test_without_objects_there_is_no_detector():
    network = CaptionNetwork(CONFIG, Vocabulary(["a", "dog"], ["dog"]))
    assert network.detector is None and network.detect(FRAMES) is None


def test_its_score_and_the_classifiers_make_one():
    detector = ObjectDetector(1)
    detector.mix.data = torch.tensor([0.5, 2.0, 1.0])
    mixed = detector.combine(torch.tensor([[0.5], [0.9]]), torch.tensor([[-1.0], [0.0]]))
    expected = torch.tensor([[-1.0], [0.5 * 2.1972 + 1.0]]).sigmoid()
    torch.testing.assert_close(mixed, expected, atol=1e-4, rtol=0)
    sure = detector.combine(torch.tensor([[0.0], [1.0]]), torch.zeros(2, 1))
    assert ((sure > 0) & (sure < 1)).all()


def test_only_its_objects_change(network):
    with torch.inference_mode():
        features = network.encode(FRAMES)
        own = network.recognise(features)
        both = network.recognise(features, torch.full((2, 1), 9.0))
        lowest = network.classifier(features).sigmoid().amin(1)[:, 1:]
        expected = network.detector.combine(lowest, torch.full((2, 1), 9.0))
    chance = [
        dict(zip(i, c, strict=True))
        for i, c in zip(own.ids.tolist(), own.confidence.tolist(), strict=True)
    ]
    for row, before in enumerate(chance):
        now = dict(zip(both.ids[row].tolist(), both.confidence[row].tolist(), strict=True))
        assert now[0] == before[0] and now[1] > before[1]
    # and so it is with the frame that shows an object least
    places = both.ids == 1
    torch.testing.assert_close(both.lowest[places], expected[:, 0], atol=1e-3, rtol=0)


def test_a_model_keeps_its_detector(network, tmp_path):
    model_folder.save(tmp_path, network, WORDS, "card")
    loaded = model_folder.load(tmp_path)
    assert loaded.vocabulary.objects == (1,)
    rounded = {k: v.half().float() for k, v in network.state_dict().items()}
    network.load_state_dict(rounded)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.network.detect(FRAMES), network.detect(FRAMES))


def test_fused_it_computes_the_same(network):
    faster = fused(network.detector, CPU)
    assert any(isinstance(module, FusedConvolution) for module in faster.modules())
    with torch.inference_mode():
        torch.testing.assert_close(faster(FRAMES[:, 0]), network.detector(FRAMES[:, 0]))


def test_captions_know_what_it_found(network, monkeypatch):
    """Where windows are captioned, and where samples are scored."""
    look = tuple(frame.permute(1, 2, 0).numpy().tobytes() for frame in FRAMES[0])
    runner = Runner(network, network.encoder, CPU)
    [result] = runner.caption([look], [look], CaptionOptions())
    with torch.inference_mode():
        features = network.encode(FRAMES[:1])
        found = network.recognise(features, network.detect(FRAMES[:1]))
    expected = [
        (i, round(p, 3))
        for i, p in zip(found.ids[0].tolist(), found.confidence[0].tolist(), strict=True)
    ]
    assert list(result.caption.concepts) == expected
    assert [i for i, _ in expected] == [1, 0]

    seen = []
    caption = network.caption
    monkeypatch.setattr(network, "caption", lambda *args: seen.append(args[2]) or caption(*args))
    monkeypatch.setattr(
        "vidcaption.evaluation.captioning.load_clip", lambda sample, frames, size, flow: FRAMES[0]
    )
    sample = Sample("x", ("a cat",), None)
    caption_samples(network, WORDS, [sample, replace(sample, id="y")], 3, SearchOptions(), CPU)
    torch.testing.assert_close(seen[0].confidence[0], found.confidence[0])


@pytest.mark.parametrize("part", PARTS)
def test_no_stage_of_training_changes_it(network, part):
    trained = {id(parameter) for parameter in PARTS[part](network, TrainOptions())}
    assert trained and not trained & {id(x) for x in network.detector.parameters()}


def test_confidence_is_fitted_to_captions_that_know_what_it_found(network, monkeypatch):
    seen = []
    recognise = network.recognise
    monkeypatch.setattr(network, "recognise", lambda *args: seen.append(args) or recognise(*args))
    samples = [Sample(str(i), ("a cat",), "dev") for i in range(2)]
    calibrate(Model(network, WORDS, ""), samples, lambda i: FRAMES[i], CPU)
    [(_, found)] = seen
    with torch.inference_mode():
        torch.testing.assert_close(found, network.detect(FRAMES))
