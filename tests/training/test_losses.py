import math

import pytest
import torch

from vidcaption.model.config import ModelConfig
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.search import sample
from vidcaption.model.vocabulary import BOS, EOS, PAD, Vocabulary
from vidcaption.training.losses import (
    Term,
    _mix,
    classification,
    cross_entropy,
    match,
    rank,
    self_critical,
)


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = ModelConfig.flat(
            image_size=32, grid=1, size=16, attention_heads=2, embedding=8, dropout=0
        )
        yield CaptionNetwork(config, Vocabulary([f"word{i}" for i in range(8)]))


@pytest.fixture
def features():
    return torch.randn(4, 2, 1, 1280, generator=torch.Generator().manual_seed(0))


def test_padding_does_not_count(network, features):
    words = torch.tensor([[[BOS, 4, 5, EOS]]]).expand(4, 1, -1)
    padded = torch.cat([words, torch.full((4, 1, 3), PAD)], -1)
    memory = network.remember(features)
    torch.testing.assert_close(
        cross_entropy(network.decoder, memory, words)[:2],
        cross_entropy(network.decoder, memory, padded)[:2],
    )


def logits_of(network, features, words):
    """(B, K, L, V) for what follows each of ``words``: (B, K, L)."""
    memory = network.remember(features)
    out, *_ = network.decoder(words, memory, network.decoder.start(memory, words.shape[1]))
    return network.decoder.logits(out)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_by_hand(network, features, smoothing):
    """Smoothed (Szegedy et al. 2016, eq. 7): the right word has less of the weight, all have a
    part of the rest."""
    words = torch.tensor([[[BOS, 4, 5, EOS], [BOS, 7, 8, EOS]]]).expand(4, -1, -1)
    log_probs = logits_of(network, features, words[..., :-1]).log_softmax(-1)
    right = log_probs.gather(-1, words[..., 1:, None]).squeeze(-1)
    expected = -(1 - smoothing) * right - smoothing * log_probs.mean(-1)
    term = cross_entropy(network.decoder, network.remember(features), words, smoothing=smoothing)
    torch.testing.assert_close(term.total, expected.sum())
    assert term.words == 4 * 2 * 3


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_policy_gradient_by_hand(network, features, temperature):
    """The others' mean reward is the baseline, and the policy is the one that was drawn from."""

    def reward(row, words):
        return row + words.count(5) - 0.3 * len(words)

    drawn = network.remember(features), 3, 5, temperature
    with torch.random.fork_rng():
        torch.manual_seed(4)
        words = sample(network.decoder, *drawn)
        torch.manual_seed(4)
        term = self_critical(network.decoder, drawn[0], reward, *drawn[1:])
    logits = logits_of(network, features, words[..., :-1]) / temperature
    expected, count = 0.0, 0
    for row, several in enumerate(words.tolist()):
        said = [[i for i in caption if i not in (BOS, PAD)] for caption in several]
        rewards = [reward(row, each) for each in said]
        for k, each in enumerate(said):
            others = sum(rewards) - rewards[k]
            log_prob = logits[row, k, range(len(each)), :].log_softmax(-1)
            log_prob = log_prob[range(len(each)), each].sum()
            expected = expected - (rewards[k] - others / 2) * log_prob
            count += len(each)
    torch.testing.assert_close(term.total, expected)
    assert term.words == count < 4 * 3 * 5  # some end early


def test_even_attention_by_hand(network, features):
    """Each slot should get a weight of 1 over a caption's words (Xu et al. 2015, eq. 14)."""
    words = torch.tensor([[[BOS, 4, 5, EOS], [BOS, 7, EOS, PAD]]]).expand(4, -1, -1)
    memory = network.remember(features)
    step = network.decoder(words[..., :-1], memory, network.decoder.start(memory, 2))
    expected = 0.0
    for row in range(4):
        for caption, length in ((0, 3), (1, 2)):
            slots = step.attention[row, caption, :length].sum(0)
            expected = expected + ((1 - slots) ** 2).sum()
    plain = cross_entropy(network.decoder, memory, words).total
    even = cross_entropy(network.decoder, memory, words, evenly=0.3).total
    torch.testing.assert_close(even - plain, 0.3 * expected, rtol=1e-4, atol=1e-4)


def test_hard_attention_is_rewarded_by_each_caption(features, monkeypatch):
    """The reward of what was drawn is the log-probability of the caption, without padding."""
    config = ModelConfig.flat(image_size=32, grid=1, size=16, embedding=8, attention="hard")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = CaptionNetwork(config, Vocabulary(["left", "right"])).train()
    rewarded = []

    def reinforce(draw, likely, real):
        rewarded.append((likely, real))
        return likely.sum() * 0

    monkeypatch.setattr(network.decoder.attention, "reinforce", reinforce)
    words = torch.tensor([[[BOS, 4, 5, EOS], [BOS, 5, EOS, PAD]]]).expand(4, -1, -1)
    term = cross_entropy(network.decoder, network.remember(features), words)
    [(likely, real)] = rewarded
    assert likely.shape == (4, 2) and not likely.requires_grad
    torch.testing.assert_close(-likely.sum(), term.total.detach())
    assert torch.equal(real, words[..., 1:] != PAD)


@pytest.mark.parametrize("layers", [1, 2])
def test_hard_attention_learns_where_to_look(layers):
    """The word to say stands in one of two slots; only what is drawn is ever seen."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = ModelConfig.flat(
            **{"image_size": 32, "grid": 1, "size": 16, "embedding": 8, "dropout": 0},
            **{"attention": "hard", "temporal": "none", "feed": "every", "layers": layers},
        )
        network = CaptionNetwork(config, Vocabulary(["left", "right"])).train()
        kinds = torch.randn(3, 1280)  # of slots: two that tell the word, and one that tells nothing
        told = torch.arange(2).repeat(32)
        at = torch.arange(64) // 2 % 2
        features = kinds[2].repeat(64, 2, 1, 1)
        features[torch.arange(64), at, 0] = kinds[told]
        words = torch.stack([torch.full((64,), BOS), 4 + told, torch.full((64,), EOS)], -1)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        network.encoder.requires_grad_(False)
        for _ in range(60):
            optimizer.zero_grad()
            memory = network.remember(features)
            (cross_entropy(network.decoder, memory, words.unsqueeze(1)).total / 128).backward()
            optimizer.step()
        memory = network.eval().remember(features)
        step = network.decoder(words[:, None, :1], memory, network.decoder.start(memory))
    assert (step.attention[:, 0, 0].argmax(-1) == at).float().mean() > 0.95
    said = network.decoder.logits(step.hidden)[:, 0, 0].argmax(-1)
    assert (said == 4 + told).float().mean() > 0.95


def test_own_words_replace_all_but_the_ends(network, features):
    words = torch.tensor([[[BOS, 4, 5, 6, 7, EOS, PAD]]]).expand(4, 30, -1)
    memory = network.remember(features)
    assert torch.equal(_mix(network.decoder, memory, words, 0.0), words)
    own = _mix(network.decoder, memory, words, 1.0)
    changed = (own != words).flatten(0, 1).any(0).tolist()
    assert changed == [False, True, True, True, True, False, False]


def test_own_words_are_what_the_network_would_say(network, features):
    """A network that always says word 9 reads it in place of each true word but the first."""
    network.decoder.bias.data[9] = 100.0
    words = torch.tensor([[[BOS, 4, 5, 6, EOS], [BOS, 7, 8, EOS, PAD]]]).expand(4, -1, -1)
    read = torch.tensor([[[BOS, 9, 9, 9], [BOS, 9, 9, EOS]]]).expand(4, -1, -1)
    log_probs = logits_of(network, features, read).log_softmax(-1)
    expected = -log_probs.gather(-1, words[..., 1:, None]).squeeze(-1)[words[..., 1:] != PAD].sum()
    memory = network.remember(features)
    assert torch.equal(_mix(network.decoder, memory, words, 1.0)[..., :-1], read)
    term = cross_entropy(network.decoder, memory, words, own_words=1.0)
    torch.testing.assert_close(term.total, expected)


def test_a_mean_counts_once_unless_it_has_a_weight():
    assert Term(torch.zeros(()), 1).weight == 1


def test_what_is_rewarded_is_said_more_often(network, features):
    """Row 0 is paid for word 5, the others for word 6."""

    def reward(row, words):
        return float(words.count(5 if row == 0 else 6))

    def mean_reward():
        with torch.random.fork_rng():
            torch.manual_seed(1)
            memory = network.remember(features)
            drawn = sample(network.decoder, memory, 50, max_words=6, temperature=1).tolist()
        return (
            sum(reward(row, words) for row, several in enumerate(drawn) for words in several) / 200
        )

    before = mean_reward()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        for _ in range(60):
            optimizer.zero_grad()
            memory = network.remember(features)
            self_critical(
                network.decoder, memory, reward, captions=8, most_words=6, temperature=1
            ).total.backward()
            optimizer.step()
    assert mean_reward() > 2 * before


def test_equal_rewards_teach_nothing(network, features):
    memory = network.remember(features)
    self_critical(network.decoder, memory, lambda row, words: 1.0, 3, 5, 1).total.backward()
    assert all(p.grad is None or not p.grad.abs().max() > 1e-7 for p in network.parameters())


def test_concepts_by_hand(features):
    """A window shows what its mean frame shows; what is not known does not count."""
    config = ModelConfig.flat(image_size=32, grid=1, size=16, embedding=8, concept_slots=2)
    network = CaptionNetwork(config, Vocabulary(["dog", "cat", "run"], ["dog", "cat", "run"]))
    targets = torch.tensor([[1.0, 0.0, 0.3]] * 3 + [[0.0] * 3])
    known = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0] * 3])
    chances = network.classifier(features).sigmoid().mean(1)  # of 2 frames
    expected = 0.0
    for row, concept in known.nonzero().tolist():
        chance, target = chances[row, concept], targets[row, concept]
        expected = expected - target * chance.log() - (1 - target) * (1 - chance).log()
    term = classification(network, features, targets, known)
    torch.testing.assert_close(term.total, expected)
    assert term.words == 4


# windows in rows, sentences in columns; those of a place belong together
SIMILAR = torch.tensor([[2.0, 1.5], [-1.0, 0.75]])


def test_each_side_is_told_from_the_others_by_cross_entropy():
    apart = [[0.5, 1.75], [3.0, -0.75]]  # of its own from the other, for windows and for sentences
    losses = [math.log(1 + math.exp(-x / 0.07)) for side in apart for x in side]
    assert match(SIMILAR).item() == pytest.approx(sum(losses) / 2, rel=1e-5)


def test_others_are_ranked_below_by_a_margin():
    # 1 + 1.5 - 2 and 0, of windows; 0 and 1 + 1.5 - 0.75, of sentences
    assert rank(SIMILAR).item() == pytest.approx(0.5 + 1.75)
    assert rank(torch.eye(3) + 0.25).item() == 0
    assert rank(torch.eye(3) * 0.5).item() == pytest.approx(12 * 0.5)
