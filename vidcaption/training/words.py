"""Adds words to a model that is trained further."""

from collections.abc import Iterable

import torch

from vidcaption.model.folder import Model
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.vocabulary import SPECIAL, Vocabulary


def with_new_words(
    model: Model, captions: Iterable[str], min_count: int | None, seed: int
) -> Model:
    """``model``, its vocabulary extended by the words of ``captions``; see ``Vocabulary.build``.

    Known words are unchanged; new words start with random vectors and the lowest probability.
    """
    known = model.vocabulary.words
    new = [word for word in Vocabulary.build(captions, min_count).words if word not in known]
    if not new:
        return model
    old = model.vocabulary
    words = [*known[len(SPECIAL) :], *new]
    vocabulary = Vocabulary(words, old.concepts, old.classes, old.objects, old.labels)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = CaptionNetwork(model.network.config, vocabulary)
    state = network.state_dict()
    for name, old in model.network.state_dict().items():
        if state[name].shape == old.shape:
            state[name] = old
        else:  # one row or number per word
            state[name][: len(old)] = old
            if old.ndim == 1:
                state[name][len(old) :] = old.min()
    network.load_state_dict(state)
    return Model(network, vocabulary, model.sha256)
