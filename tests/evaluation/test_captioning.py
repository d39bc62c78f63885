import pytest
import torch

from vidcaption.evaluation.captioning import caption_features, in_batches
from vidcaption.model.config import ModelConfig
from vidcaption.model.device import Machine
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.search import search
from vidcaption.model.vocabulary import EOS, Vocabulary
from vidcaption.options.captioning import SearchOptions


def test_batches_hold_one_shape_and_every_sample_once():
    lengths = [1, 2, 1, 1, 2, 3, 1]
    machine = Machine(torch.device("cpu"), torch.float32)
    batches = list(in_batches(lambda i: torch.full((lengths[i],), i), range(7), 2, machine))
    assert sorted(i for indices, _ in batches for i in indices) == list(range(7))
    for indices, tensors in batches:
        assert len(indices) <= 2
        assert tensors[:, 0].tolist() == indices


def test_the_score_is_of_the_words_alone():
    """As in what ``run`` writes; a caption without words has that of its end."""
    vocabulary = Vocabulary([f"word{i}" for i in range(9)])
    torch.manual_seed(0)
    network = CaptionNetwork(ModelConfig.flat(image_size=32, grid=1, size=16), vocabulary).eval()
    features = torch.randn(2, 1, 1, network.encoder.channels)
    options = SearchOptions(max_words=4, min_words=0)
    for ending in (-1e3, 1e3):
        network.decoder.bias.data[EOS] = ending
        captions = search(network.decoder, network.remember(features), options)
        said = caption_features(network, vocabulary, features, options)
        for caption, each in zip(captions, said, strict=True):
            words = caption.log_probs[:-1] if caption.ids else caption.log_probs
            assert (ending > 0) == (not caption.ids)
            assert each.score == pytest.approx(caption.score)
            assert caption.score == pytest.approx(words.mean().item())
