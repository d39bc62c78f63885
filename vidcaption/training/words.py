"""Adds words and heads to a model that is trained further."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from vidcaption.errors import UsageError
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
    vocabulary = Vocabulary(
        *(words, old.concepts, old.classes, old.objects, old.labels), old.things, old.predicates
    )
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


def with_heads(
    model: Model,
    heads: str,
    labels: Sequence[str],
    seed: int,
    names: tuple[Sequence[str], Sequence[str]] = ((), ()),
) -> Model:
    """``model`` with other heads: those that it has stay as they are, and new ones start at random.

    ``labels``: for the head classes, which is new if the model does not know one of them;
    ``names``: things and predicates for the head regions, in the same way. Raises UsageError for
    the head caption if the model writes none, and for regions if it knows no words.
    """
    old, before = model.vocabulary, model.network.config
    asked, told = heads.split("+"), (old.things, old.predicates)
    writes = "caption" in asked
    if writes and not before.writes:
        raise UsageError(
            "the model of --init writes no captions; choose one that does, or --heads "
            f"{before.heads}"
        )
    if set(labels) <= set(old.labels):
        labels = old.labels
    if "regions" in asked and not before.reads:
        raise UsageError(
            "the model of --init knows no words for --heads regions; choose one that writes "
            "captions, or leave out --init"
        )
    if all(set(new) <= set(known) for new, known in zip(names, told, strict=True)):
        names = told
    if writes:
        config = replace(before, heads=heads)
    else:
        config = replace(
            before,
            heads=heads,
            input=replace(before.input, tracks=0),
            concept_slots=0,
            roles="none",
            start_with="frames",
            every_with="frames",
        )
    words = old.words[len(SPECIAL) :] if config.reads else ()
    concepts = (old.concepts, old.classes, old.objects) if writes else ((), (), ())
    vocabulary = Vocabulary(words, *concepts, labels, *names)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = CaptionNetwork(config, vocabulary)
    known = model.network.state_dict()
    if vocabulary.labels != old.labels:
        known = {name: x for name, x in known.items() if not name.startswith("heads.classes.")}
    if (vocabulary.things, vocabulary.predicates) != told:
        known = {name: x for name, x in known.items() if not name.startswith("heads.regions.")}
    state = network.state_dict()
    network.load_state_dict(state | {name: x for name, x in known.items() if name in state})
    return Model(network, vocabulary, model.sha256)
