import torch


def test_the_state_before_the_first_word_is_within_one(network, features):
    """Like any state of an LSTM's output, however large the features are."""
    with torch.inference_mode():
        memory = network.remember(features)
        large = memory._replace(pooled=1e4 * memory.pooled)
        for state in network.decoder.start(large, 2):
            assert state.shape == (3, 2, 16)
            assert torch.equal(state[:, 0], state[:, 1])
            assert 0.99 < state.abs().max() <= 1
