"""Every part of a network trains, is saved, loaded, and captions."""

import pytest
import torch

from vidcaption.model import folder
from vidcaption.model.config import ModelConfig
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.parts import ATTENTIONS, CELLS, TEMPORAL
from vidcaption.model.vocabulary import BOS, EOS, Vocabulary
from vidcaption.options.captioning import SearchOptions
from vidcaption.training.losses import cross_entropy, self_critical

CHOICES = [
    *({"attention": name} for name in ATTENTIONS),
    *({"cell": name} for name in CELLS),
    *({"temporal": name} for name in TEMPORAL),
    {"feed": "every"},
    {"feed": "start", "attention": "none"},
    {"feed": "word", "attention": "none"},
    {"feed": "start", "attention": "none", "temporal": "s2vt", "cell": "gru"},
    {"attention": "hard", "temporal": "s2vt"},
    {"attention": "hard", "feed": "every", "cell": "gru"},
    {"layers": 1},
    {"layers": 1, "attention": "hard", "cell": "gru"},
    {"layers": 1, "attention": "none", "temporal": "forward"},
    {"layers": 1, "attention": "none", "feed": "start"},
    {"layers": 1, "attention": "none", "feed": "word", "cell": "gru"},
    {"attention": "none", "start_with": "tracks", "tracks": 4},
    {"feed": "word", "attention": "none", "start_with": "frames+tracks", "tracks": 4},
    {"every_with": "tracks+frames", "tracks": 4, "cell": "gru"},
    {"temporal": "s2vt", "attention": "none", "every_with": "tracks", "tracks": 4},
]


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: " ".join(map(str, choice.values())))
def test_trains_and_captions_the_same_after_loading(choice, tmp_path):
    torch.manual_seed(0)
    config = ModelConfig.flat(
        **choice, image_size=32, grid=1, size=16, attention_heads=2, embedding=8, dropout=0.1
    )
    vocabulary = Vocabulary([f"word{i}" for i in range(8)])
    network = CaptionNetwork(config, vocabulary).train()
    network.encoder.requires_grad_(False)
    features = torch.randn(4, 3, 2, 1280 + network.encoder.words)
    features[..., 1280:].abs_()
    words = torch.tensor([[[BOS, 4, 5, EOS]], [[BOS, 6, 7, EOS]]]).repeat(2, 1, 1)
    trained = {name: p.clone() for name, p in network.named_parameters() if p.requires_grad}
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        memory = network.remember(features)
        cross_entropy(network.decoder, memory, words, evenly=0.1).total.backward()
        optimizer.step()
    still = [n for n, p in network.named_parameters() if n in trained and p.equal(trained[n])]
    assert still == []  # processes that train together would wait for ever for what has no gradient

    memory = network.eval().remember(features)
    term = self_critical(network.decoder, memory, lambda row, words: row + 0.5, 3, 5, 1.0)
    assert term.total.isfinite()
    folder.save(tmp_path, network, vocabulary, "")
    loaded = folder.load(tmp_path).network
    assert loaded.config == config
    network.load_state_dict({k: v.half().float() for k, v in network.state_dict().items()})
    options = SearchOptions(max_words=5)
    with torch.inference_mode():
        expected, got = (each.caption(features, options) for each in (network, loaded))
    assert [x.ids for x in got] == [x.ids for x in expected]
    for caption in got:
        torch.testing.assert_close(caption.attention.sum(-1), torch.ones(len(caption.ids) + 1))
