import functools

import pytest
import torch

from vidcaption.model.config import ModelConfig
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.vocabulary import Vocabulary


@pytest.fixture(scope="session")
def vocabulary():
    return Vocabulary([f"word{i}" for i in range(26)])


@pytest.fixture(scope="session")
def make_network(vocabulary):
    """Small random networks; sharper than fresh ones, so that their captions differ."""

    @functools.cache
    def make(seed=0, **fields):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            small = {"image_size": 64, "size": 16, "attention_heads": 2, "embedding": 12}
            network = CaptionNetwork(ModelConfig.flat(**(small | fields)), vocabulary).eval()
            for parameter in network.decoder.parameters():
                parameter.data.mul_(3)
        return network

    return make


@pytest.fixture(scope="session")
def network(make_network):
    return make_network()


@pytest.fixture(scope="session")
def features():
    """(B, T, R, C) = (3, 2, 4, 1280)."""
    return torch.randn(3, 2, 4, 1280, generator=torch.Generator().manual_seed(0))
