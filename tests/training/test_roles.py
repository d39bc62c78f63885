"""Who does what to whom and where, as people who read the sentences say."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from colours import CONCEPTS, trainer

from vidcaption.datasets.objects import ObjectNames
from vidcaption.datasets.samples import Sample
from vidcaption.model.folder import Model
from vidcaption.training.material import Material
from vidcaption.training.roles import read_roles, role_tables
from vidcaption.training.words import with_heads

NOUNS = "man woman dog people field ball bench park building hand shirt bike water hot+dog stick"
NAMES = ObjectNames(
    (),
    {
        **{word.replace("+", " "): word.replace("+", " ") for word in NOUNS.split()},
        **{"dogs": "dog", "brown": "brown", "group": "group", "swimming": "swim"},
        **{"riding": "ride", "rides": "ride", "running": "run", "runs": "run"},
        **{"sitting": "sit", "sit": "sit", "holding": "hold", "holds": "hold"},
    },
)
# which tell that "run", "ride", "hold", "sit" and "swim" are verbs, and "building" is not
OTHERS = [
    *["a dog is running", "the man is riding", "a woman is holding", "people are sitting"],
    *["a man is swimming", "a building", "the brown building", "a group"],
]


def roles_of(sentence: str) -> tuple[str | None, ...]:
    """Verb, subject, object and scene."""
    return tuple(read_roles([sentence, *OTHERS], NAMES)[0])


@pytest.mark.parametrize(
    ("sentence", "verb", "subject", "object_", "scene"),
    [
        ("A brown dog is running through the field.", "run", "dog", None, "field"),
        ("a man rides a bike", "ride", "man", "bike", None),
        ("a man in a brown shirt is holding a hot-dog", "hold", "man", "hot dog", None),
        ("a group of people sit on the bench in the park", "sit", "people", None, "park"),
        ("dogs running with a ball", "run", "dog", "ball", None),
        ("a man and a woman riding on a field", "ride", "man", None, "field"),
        ("a woman sitting in front of a building", "sit", "woman", None, "building"),
        ("a woman sitting next to the water", "sit", "woman", None, "water"),
        ("a dog runs through the water with a stick in its hand", "run", "dog", "stick", "water"),
        ("a man sitting on a bench holding a ball", "sit", "man", None, "bench"),
        ("a man dressed in brown holds the dog", "hold", "man", "dog", None),
        ("a dog in the park", None, "dog", None, "park"),
        ("in the park a man rides", "ride", "man", None, None),
        ("a man in a swimming pool", None, "man", None, None),  # an unknown noun is none
        ("a tall building near the water", None, "building", None, "water"),
        ("two unknown things", None, None, None, None),
        ("holding a ball", "hold", None, "ball", None),
        ("with a ball a dog runs", "run", "dog", None, None),
        ("", None, None, None, None),
    ],
)
def test_roles(
    sentence: str, verb: str | None, subject: str | None, object_: str | None, scene: str | None
) -> None:
    assert roles_of(sentence) == (verb, subject, object_, scene)


def test_a_word_that_mostly_stands_before_a_noun_is_none() -> None:
    brown = ["a brown dog", "a brown ball", "the brown bench"]
    [(_, seldom, *_), *_] = read_roles(["a brown", *brown], NAMES)
    [(_, often, *_), *_] = read_roles(["a brown", *brown[:2]], NAMES)
    assert (seldom, often) == (None, "brown")


def test_a_form_in_ing_that_is_seldom_behind_is_is_no_verb() -> None:
    names = ObjectNames((), {"building": "building", "man": "man"})
    for count, verb in ((19, "building"), (20, None)):
        sentences = ["a man is building", *["the building"] * count]
        assert read_roles(sentences, names)[0].verb == verb


def test_what_seldom_ends_in_ing_is_no_verb() -> None:
    names = ObjectNames((), {"sticking": "stick", "stick": "stick", "man": "man"})
    for count, verb in ((4, "stick"), (5, None)):
        sentences = ["a man is sticking", *["the stick"] * count]
        assert read_roles(sentences, names)[0].verb == verb


def test_tables_by_hand() -> None:
    names = ObjectNames(("dog", "run", "field"), {k: v for k, v in NAMES.meanings.items() if v in (
        "dog", "run", "field"
    )})  # fmt: skip
    sentences = ["a dog is running on the field", "a dog is running", "the field", "a dog"]
    shares, fits = role_tables(sentences, names)
    # verb, subject, object and scene; "the field" is the subject of a sentence without a verb
    expected = [[0, 1, 0], [1, 0, 0.5], [0, 0, 0], [0, 0, 0.5]]
    torch.testing.assert_close(shares, torch.tensor(expected))
    assert fits.shape == (3, 4, 4) and fits.isfinite().all()
    # two sentences have the verb, three the subject dog; both have both, by chance 2 * 3 / 4
    assert fits[0, 1, 0].item() == pytest.approx(math.log((2 + 1) / (1.5 + 1)))
    # the scene is there once, beside the verb; without a verb it never is
    assert fits[2, 1, 2].item() == pytest.approx(math.log((1 + 1) / (0.5 + 1)))
    assert fits[2, 3, 2].item() == pytest.approx(math.log((0 + 1) / (0.5 + 1)))
    # no sentence has an object: all verbs are as often without one as expected
    assert fits[1, 1, 3].item() == 0


def test_a_training_counts_its_sentences_and_a_model_keeps_its_counts(
    samples: list[Sample], tmp_path: Path
) -> None:
    config = replace(CONCEPTS, roles="max", attention="none", feed="every")
    samples = [replace(s, captions=(*s.captions, "the red is moving")) for s in samples]
    first = trainer(tmp_path, samples, config=config)
    shares, fits = first.material.role_tables()
    assert shares.any() and fits.any()
    slots = first.network.slots
    assert torch.equal(slots.shares, shares) and torch.equal(slots.fits, fits)
    texts = ["a plain red is plain"]
    more = Material(
        *(samples, texts), min_count=1, seed=1, with_concepts=True, vocabulary=first.vocabulary
    )
    assert not torch.equal(more.role_tables()[0], shares)
    slots.shares.fill_(0.5)
    second = trainer(tmp_path / "b", samples, init=Model(first.network, first.vocabulary, ""))
    assert (second.network.slots.shares == 0.5).all()


def test_other_heads_of_such_a_model_see_the_regions(samples: list[Sample], tmp_path: Path) -> None:
    config = replace(CONCEPTS, roles="max", attention="none", feed="every")
    made = trainer(tmp_path, samples, config=config)
    model = Model(made.network, made.vocabulary, "")
    alone = with_heads(model, "alignment", (), seed=1)
    assert alone.network.config.roles == "none" and alone.network.slots is None
    assert alone.vocabulary.words == made.vocabulary.words
    beside = with_heads(model, "caption+joint", (), seed=1)
    assert torch.equal(beside.network.slots.fits, made.network.slots.fits)
