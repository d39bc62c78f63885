import pytest
import torch

from vidcaption.model.vocabulary import BOS


def words(batch, captions, length):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(4, 30, (batch, captions, length), generator=generator)


@pytest.mark.parametrize("attention", ["dot", "additive", "none"])
@pytest.mark.parametrize("temporal", ["none", "lstm"])
def test_attention_sums_to_one_and_shapes_hold(make_network, features, attention, temporal):
    network = make_network(attention=attention, temporal=temporal)
    with torch.inference_mode():
        memory = network.remember(features)
        step = network.decoder(words(3, 2, 5), memory, network.decoder.start(memory, 2))
        logits = network.decoder.logits(step.hidden)
    assert logits.shape == (3, 2, 5, 30)
    assert step.attention.shape == (3, 2, 5, 8)  # 2 frames of 4 regions
    torch.testing.assert_close(step.attention.sum(-1), torch.ones(3, 2, 5))
    assert {x.shape for x in step.state} == {(3, 2, 16)}


def test_word_by_word_is_the_same_as_all_at_once(network, features):
    decoder, said = network.decoder, words(3, 2, 5)
    with torch.inference_mode():
        memory = network.remember(features)
        at_once, *_ = decoder(said, memory, decoder.start(memory, 2))
        state, steps = decoder.start(memory, 2), []
        for i in range(5):
            step = decoder(said[..., i : i + 1], memory, state)
            state = step.state
            steps.append(step.hidden)
    torch.testing.assert_close(torch.cat(steps, 2), at_once, rtol=1e-4, atol=1e-5)


def test_a_caption_cannot_see_its_own_future_or_its_neighbour(network, features):
    decoder, said = network.decoder, words(3, 2, 5)
    changed = said.clone()
    changed[:, 0, 3:] = BOS
    with torch.inference_mode():
        memory = network.remember(features)
        before, *_ = decoder(said, memory, decoder.start(memory, 2))
        after, *_ = decoder(changed, memory, decoder.start(memory, 2))
    torch.testing.assert_close(before[:, 0, :3], after[:, 0, :3])
    torch.testing.assert_close(before[:, 1], after[:, 1])
    assert not torch.allclose(before[:, 0, 3:], after[:, 0, 3:])


def test_the_temporal_lstm_sees_the_order_of_frames(make_network, features):
    backwards = features.flip(1)
    for temporal, ordered in (("lstm", True), ("none", False)):
        network = make_network(temporal=temporal)
        with torch.inference_mode():
            one, other = (network.remember(x).pooled for x in (features, backwards))
        assert torch.allclose(one, other, atol=1e-6) is not ordered


def test_encode_takes_each_frame_by_itself(network):
    frames = torch.randint(0, 256, (2, 3, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        features = network.encode(frames)
        alone = network.encode(frames[1:, 2:])
    assert features.shape == (2, 3, 49, 1280)
    torch.testing.assert_close(features[1:, 2:], alone, rtol=1e-3, atol=1e-4)
