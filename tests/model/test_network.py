import copy

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
    for temporal, ordered in (("lstm", True), ("forward", True), ("none", False)):
        network = make_network(temporal=temporal)
        with torch.inference_mode():
            one, other = (network.remember(x).pooled for x in (features, backwards))
        assert torch.allclose(one, other, atol=1e-6) is not ordered


def test_a_forward_lstm_by_hand(make_network, features):
    """A frame is what is said after it, from a start by the mean; the last one is the whole."""
    network, plain = make_network(temporal="forward"), make_network(temporal="none")
    plain.project, plain.norm = network.project, network.norm
    layer = network.temporal
    with torch.inference_mode():
        seen, memory = (each.remember(features) for each in (plain, network))
        mean = seen.frames.mean(1)
        state = layer.start_hidden(mean), layer.start_cell(mean)
        for index in range(2):
            state = torch.lstm_cell(seen.frames[:, index], state, *layer.all_weights[0])
            torch.testing.assert_close(memory.frames[:, index], state[0])
    torch.testing.assert_close(memory.pooled, state[0])
    apart = seen.regions - seen.frames.unsqueeze(2)
    torch.testing.assert_close(memory.regions - memory.frames.unsqueeze(2), apart)


def test_a_forward_lstm_reads_in_one_direction(make_network, features):
    """Only by its start does it know of later frames."""
    network = copy.deepcopy(make_network(temporal="forward"))
    other = features.clone()
    other[:, 1] += 1
    for started in (True, False):
        with torch.inference_mode():
            one, changed = (network.remember(x).frames for x in (features, other))
        assert torch.equal(one[:, 0], changed[:, 0]) is not started
        assert not torch.equal(one[:, 1], changed[:, 1])
        for start in (network.temporal.start_hidden, network.temporal.start_cell):
            start.weight.data.zero_()


def test_encode_takes_each_frame_by_itself(network):
    frames = torch.randint(0, 256, (2, 3, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        features = network.encode(frames)
        alone = network.encode(frames[1:, 2:])
    assert features.shape == (2, 3, 49, 1280)
    torch.testing.assert_close(features[1:, 2:], alone, rtol=1e-3, atol=1e-4)
