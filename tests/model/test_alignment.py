from pathlib import Path

import pytest
import torch
from tiny import write_tiny
from torch import Tensor

from vidcaption.errors import ModelError, UsageError
from vidcaption.model import folder
from vidcaption.model.alignment import AlignmentHead
from vidcaption.model.config import ModelConfig
from vidcaption.model.folder import check_mixable
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.sentences import SIZE
from vidcaption.model.vocabulary import UNK, Vocabulary
from vidcaption.options.captioning import SearchOptions


@pytest.fixture
def network(tmp_path: Path) -> CaptionNetwork:
    return folder.load(write_tiny(tmp_path, heads="alignment", temporal="none")).network


def head_of(network: CaptionNetwork) -> AlignmentHead:
    head = network.heads["alignment"]
    assert isinstance(head, AlignmentHead)
    return head


def test_the_score_is_the_sum_of_the_best_region_of_each_word(network: CaptionNetwork) -> None:
    windows = torch.randn(3, 5, SIZE)
    sentences = torch.randn(4, 6, SIZE)
    sentences[1, 2:] = 0  # padded
    similar = head_of(network).similar(windows, sentences)
    assert similar.shape == (3, 4)
    for b, window in enumerate(windows):
        for n, sentence in enumerate(sentences):
            words = [max(float(word @ region) for region in window) for word in sentence]
            assert similar[b, n].item() == pytest.approx(sum(words), rel=1e-4)


def test_regions_are_the_mean_of_frames_and_the_whole_is_one(
    network: CaptionNetwork, features: Tensor
) -> None:
    with torch.inference_mode():
        both = head_of(network)(network.remember(features))
        backwards = head_of(network)(network.remember(features.flip(1)))
        memory = network.remember(features)
        seen = torch.cat([memory.values.view(3, 2, 4, -1).mean(1), memory.pooled[:, None]], 1)
        torch.testing.assert_close(both, head_of(network).window(head_of(network).norm(seen)))
    assert both.shape == (3, 4 + 1, SIZE)
    torch.testing.assert_close(both, backwards)


def test_words_know_both_sides_and_not_the_padding(network: CaptionNetwork) -> None:
    with torch.inference_mode():
        short, longer = network.read_sentences([[5, 6], [5, 6, UNK, 7, 8]], "alignment")
        alone = network.read_sentences([[5, 6]], "alignment")[0]
        other = network.read_sentences([[5, 9]], "alignment")[0]
    assert longer.shape == (4, SIZE) and (short[2:] == 0).all()
    torch.testing.assert_close(short[:2], alone)
    assert not torch.allclose(alone[0], other[0]) and not torch.allclose(alone[0], longer[0])
    before = network.read_sentences([[9, 6]], "alignment")[0]
    assert not torch.allclose(alone[1], before[1])
    assert (alone >= 0).all()  # equation 6 ends with a ReLU


def test_it_says_nothing_and_mixes_with_none(
    network: CaptionNetwork, features: Tensor, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="has the head alignment alone, which says nothing of a"):
        network.caption(features, SearchOptions())
    model = folder.load(tmp_path)
    with pytest.raises(UsageError, match="a and b have the head alignment alone, each with a spa"):
        check_mixable(model, "a", model, "b")
    with pytest.raises(ModelError, match=r"has the head alignment, but vocab\.json has 0 words"):
        CaptionNetwork(model.network.config, Vocabulary([]))
    with pytest.raises(UsageError, match=r"is caption\+alignment; .* joint in its place"):
        ModelConfig(heads="caption+alignment")
    assert ModelConfig(heads="alignment+score").says == "score"
    assert ModelConfig(heads="alignment+joint").says == "alignment"
