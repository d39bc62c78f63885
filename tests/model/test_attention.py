import pytest
import torch

from vidcaption.model.attention import HardAttention
from vidcaption.model.config import ModelConfig
from vidcaption.model.parts import ATTENTIONS

CONFIG = ModelConfig(size=8, attention_heads=2)


def look(name, queries=2, slots=5, batch=3, training=False):
    torch.manual_seed(0)
    attention = ATTENTIONS[name](CONFIG).train(training)
    seen = torch.randn(batch, slots, 8)
    memory = attention.project(seen, seen.mean(1), seen.unsqueeze(1))
    return attention, memory, attention(torch.randn(batch, queries, 8), memory)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ATTENTIONS)
def test_weights_sum_to_one(name, training):
    _, _, glimpse = look(name, training=training)
    assert glimpse.context.shape == (3, 2, 8) and glimpse.weights.shape == (3, 2, 5)
    torch.testing.assert_close(glimpse.weights.sum(-1), torch.ones(3, 2))
    assert (glimpse.draw is not None) is (name == "hard" and training)


def test_hard_attention_sees_one_slot():
    attention, memory, glimpse = look("hard")
    soft = super(HardAttention, attention).forward
    torch.manual_seed(0)
    assert set(glimpse.weights.flatten().tolist()) == {0.0, 1.0}
    for row, word in ((0, 0), (2, 1)):
        slot = glimpse.weights[row, word].argmax()
        assert torch.equal(glimpse.context[row, word], memory.values[row, slot])
    again = torch.randn(3, 2, 8)
    looked, expected = attention(again, memory).weights, soft(again, memory).weights
    assert torch.equal(looked.argmax(-1), expected.argmax(-1))  # the likeliest, not drawn


def test_slots_are_drawn_as_often_as_they_are_likely():
    attention, memory, _ = look("hard", batch=1, training=True)
    queries = torch.randn(1, 1, 8).expand(1, 20_000, 8)
    expected = super(HardAttention, attention).forward(queries[:, :1], memory).weights[0, 0]
    glimpse = attention(queries, memory)
    share = glimpse.weights[0].mean(0)
    torch.testing.assert_close(share, expected, rtol=0, atol=0.02)
    drawn = expected[glimpse.weights[0].argmax(-1)]
    torch.testing.assert_close(glimpse.draw.log_prob[0], drawn.log())
    entropy = -(expected * expected.log()).sum()
    torch.testing.assert_close(glimpse.draw.entropy[0, 0], entropy)


def test_reinforce_estimates_the_gradient_of_what_is_expected():
    """Against the gradient by hand: that of the mean reward, and of the entropy."""
    attention, memory, _ = look("hard", slots=3, batch=1, training=True)
    count = 40_000
    query, worth = torch.randn(1, 1, 8), torch.tensor([0.0, 3.0, -2.0])
    weights = super(HardAttention, attention).forward(query, memory).weights[0, 0]
    entropy = -(weights * weights.log()).sum()
    wanted = attention.REWARD * (weights @ worth) + attention.ENTROPY * entropy
    expected = torch.autograd.grad(-wanted, attention.score.weight, retain_graph=True)[0]

    glimpse = attention(query.expand(1, count, 8), memory)
    likely = glimpse.weights[0] @ worth  # each draw as a caption of one word
    draw = type(glimpse.draw)(*(x.view(count, 1, 1) for x in glimpse.draw))
    attention.baseline.fill_(0.7)
    loss = attention.reinforce(draw, likely.view(count, 1), torch.ones(count, 1, 1)) / count
    got = torch.autograd.grad(loss, attention.score.weight)[0]
    torch.testing.assert_close(got, expected, rtol=0.1, atol=0.1 * expected.abs().max().item())
    torch.testing.assert_close(attention.baseline, 0.9 * torch.tensor([0.7]) + 0.1 * likely.mean())


def test_the_first_captions_are_their_own_baseline_and_padding_earns_nothing():
    attention, _, glimpse = look("hard", training=True)
    draw = type(glimpse.draw)(*(x.unsqueeze(1) for x in glimpse.draw))
    likely = torch.tensor([[-4.0], [-5.0], [-9.0]])
    real = torch.ones(3, 1, 2)
    real[..., 1] = 0
    loss = attention.reinforce(draw, likely, real)
    log_prob, entropy = (x[:, 0, 0] for x in draw)
    expected = 0.1 * (torch.tensor([2.0, 1.0, -3.0]) * log_prob).sum() + 0.002 * entropy.sum()
    torch.testing.assert_close(loss, -expected)
    assert attention.baseline.item() == pytest.approx(-6)
