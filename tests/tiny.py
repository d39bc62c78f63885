"""A model that captions in no time: a small network with random weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from vidcaption.model import folder as model_folder
from vidcaption.model.config import ModelConfig
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.vocabulary import Vocabulary

WORDS = [f"word{i}" for i in range(40)]
PEOPLE = ["man", "boys", "woman", "girl", "with", "dog", "near", "car"]


def write_tiny(folder: Path, seed: int = 0, words: Sequence[str] = WORDS, **fields: Any) -> Path:
    """A model folder with random weights, sharp enough that its captions differ."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vocabulary = Vocabulary(words)
        small = {"image_size": 64, "grid": 2, "size": 16, "attention_heads": 2, "embedding": 12}
        config = ModelConfig.flat(**small | fields)
        network = CaptionNetwork(config, vocabulary)
        if config.writes:
            for parameter in network.decoder.parameters():
                parameter.data.mul_(3)
    model_folder.save(folder, network, vocabulary, "# tiny\n")
    return folder
