import torch

from vidcaption.model.config import ModelConfig
from vidcaption.model.folder import Model
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.training.words import with_new_words


def tiny():
    config = ModelConfig.flat(image_size=32, grid=1, size=16, attention_heads=2, embedding=8)
    vocabulary = Vocabulary(["a", "dog"])
    network = CaptionNetwork(config, vocabulary)
    network.decoder.bias.data.uniform_(-1, 1)
    return Model(network, vocabulary, "0" * 64)


def test_new_words_stand_behind_the_old_which_stay_as_they_are():
    model = tiny()
    wide = with_new_words(model, ["a red dog", "a red cat"], 1, seed=1)
    assert wide.vocabulary.words[:6] == model.vocabulary.words
    assert wide.vocabulary.words[6:] == ("red", "cat")
    old, new = model.network.state_dict(), wide.network.state_dict()
    for name, values in old.items():
        assert torch.equal(new[name][: len(values)] if values.ndim else new[name], values)
    assert (new["decoder.bias"][6:] == old["decoder.bias"].min()).all()
    again = with_new_words(model, ["a red dog", "a red cat"], 1, seed=1).network.state_dict()
    assert all(torch.equal(again[name], values) for name, values in new.items())


def test_rare_words_are_left_out_and_none_is_no_change():
    model = tiny()
    assert with_new_words(model, ["a red dog", "a red cat"], 2, seed=1).vocabulary.words[6:] == (
        "red",
    )
    assert with_new_words(model, ["a dog"], 1, seed=1) is model
