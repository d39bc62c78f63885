import tomllib

import pytest
import torch
from torch import Tensor

from vidcaption.cli.settings import presets
from vidcaption.model.config import ModelConfig
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.options.base import flag_of
from vidcaption.options.training import TrainOptions
from vidcaption.training.stages import stages_of

TINY = {"backbone": "mobilenet_v2", "image_size": 32, "size": 16, "embedding": 8}


def test_the_presets() -> None:
    assert list(presets()) == ["default", "mean-pool", "show-attend-tell", "temporal-attention"]


@pytest.mark.parametrize("name", presets())
def test_a_preset_builds_a_network_that_runs(name: str) -> None:
    text = presets()[name].read_text(encoding="utf-8")
    [(table, values)] = tomllib.loads(text).items()
    assert table == "train" and text.startswith("# ")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    chosen = {
        kind: {
            f.name: values.pop(key) for f in kind.flat_fields() if (key := flag_of(f)[2:]) in values
        }
        for kind in (ModelConfig, TrainOptions)
    }
    assert not values  # each is an option of one of the two
    assert stages_of(TrainOptions(**chosen[TrainOptions]))
    with torch.device("meta"):  # as large as it is, without the numbers
        words, weights = run(ModelConfig.flat(**chosen[ModelConfig]))
    assert words.shape == (1, 1, 3, 11)
    words, weights = run(ModelConfig.flat(**chosen[ModelConfig] | TINY))
    assert words.isfinite().all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 1, 3))


@torch.inference_mode()
def run(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Logits of a vocabulary of 11 after each of three words about two frames, and weights."""
    vocabulary = Vocabulary([f"word{i}" for i in range(7)], ["word0", "word1"])
    network = CaptionNetwork(config, vocabulary).eval()
    frames = torch.zeros(
        1, 2, 3, config.input.image_size, config.input.image_size, dtype=torch.uint8
    )
    network.to(frames.device)  # the CNN keeps some numbers elsewhere
    memory = network.remember(network.encode(frames))
    words = torch.tensor([[[1, 2, 3]]])
    out, weights, *_ = network.decoder(words, memory, network.decoder.start(memory))
    return network.decoder.logits(out), weights
