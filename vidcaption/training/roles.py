"""Subject, verb, object and scene of sentences, without a parser, and how often words have them.

The rules are for plain descriptions, as "a brown dog is running through the grass with a ball".
Phrases end at function words and verbs, and the last word of a phrase is its noun. Verbs are the
words that often end in -ing, and then are also found behind "is" or "are"; the first that is not
part of a phrase is the sentence's. A noun before it is the subject, one right behind it or behind
"with", "to" or "for" the object, and the last one behind a preposition of place the scene.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from vidcaption.datasets.objects import ObjectNames
from vidcaption.training.concepts import function_words, stem

VERB = 0.05  # share of a verb's forms in -ing that are behind "is" or "are", at least
DOING = 0.2  # share of a verb's mentions that are forms in -ing, at least
NOUN = 1 / 3  # share of a noun's mentions that are the last word of their phrase, at least
ADDED = 1.0  # to the sentences with each pair of words, and to those expected by chance

_IS = {"is", "are", "was", "were"}
_OWN = {"his", "her", "its", "their", "my", "our", "your"}
_BEGINS = {  # a phrase
    *_OWN,
    *("a", "an", "the", "this", "that", "these", "those", "some", "another", "other"),
    *("two", "three", "four", "five", "six"),
}
_PLACE = {
    *("in", "on", "at", "through", "across", "over", "along", "down", "up", "under", "behind"),
    *("near", "next", "by", "beside", "around", "into", "onto", "from", "against", "outside"),
    *("inside", "toward", "towards", "above", "below", "beneath", "between", "among", "off"),
}
_THING = {"with", "to", "for"}
_OF = {"of", "front", "top", "middle", "side", "back", "bottom", "center"}  # what follows
_END = (".", None)
_NO_VERB_BEHIND = {*_BEGINS, *_PLACE, *_THING, "of"}


class RoleWords(NamedTuple):
    """The concepts of a sentence by their role, in the order of ``model.roles.ROLES``."""

    verb: str | None = None
    subject: str | None = None
    object: str | None = None
    scene: str | None = None


class _Part(NamedTuple):
    """A verb, or a phrase by its last word, and which of the roles its place allows."""

    role: str
    concept: str | None


def read_roles(sentences: Iterable[str], names: ObjectNames) -> list[RoleWords]:
    """The roles of each sentence, by what is a verb and a noun in all of them. ``names``: of the
    concepts."""
    read = [list(names.read(sentence)) for sentence in sentences]
    verbs = _verbs(read)
    parts = [list(_parts(words, verbs)) for words in read]
    mentions = Counter(concept for words in read for _, concept in words)
    last = Counter(concept for each in parts for role, concept in each if role != "verb")
    nouns = {concept for concept, count in last.items() if count >= NOUN * mentions[concept]}
    return [_roles(each, nouns - {None}) for each in parts]


def role_tables(sentences: Sequence[str], names: ObjectNames) -> tuple[Tensor, Tensor]:
    """What ``model.roles.Roles.take`` takes: (4, N) and (3, N + 1, N + 1)."""
    count = len(names.classes)
    index: dict[str | None, int] = {name: i for i, name in enumerate(names.classes)} | {None: count}
    ids = torch.tensor([[index[each] for each in said] for said in read_roles(sentences, names)])
    named = Counter(name for sentence in sentences for name in names.named(sentence))
    mentions = torch.tensor([max(1, named[name]) for name in names.classes])
    filled = torch.stack([role.bincount(minlength=count + 1) for role in ids.T])
    together = torch.stack(
        [
            (ids[:, 0] * (count + 1) + role).bincount(minlength=(count + 1) ** 2)
            for role in ids.T[1:]
        ]
    ).view(-1, count + 1, count + 1)
    expected = filled[0, :, None] * filled[1:, None, :] / len(ids)
    return filled[:, :-1] / mentions, ((together + ADDED) / (expected + ADDED)).log()


def _verbs(sentences: Iterable[Sequence[tuple[str, str | None]]]) -> set[str]:
    """The concepts that are verbs."""
    mentions, doing, behind_is = Counter[str](), Counter[str](), Counter[str]()
    for words in sentences:
        for (before, _), (word, concept) in pairwise([_END, *words]):
            if concept:
                mentions[concept] += 1
                if word.endswith("ing") and stem(word) != word:
                    doing[concept] += 1
                    behind_is[concept] += before in _IS
    return {
        concept
        for concept, count in doing.items()
        if count >= DOING * mentions[concept] and behind_is[concept] >= VERB * count
    }


def _parts(words: Iterable[tuple[str, str | None]], verbs: set[str]) -> Iterator[_Part]:
    """The first verb and all phrases of a sentence, in order."""
    role, phrase, verb = "subject", list[str | None](), None
    for (before, _), (word, concept) in pairwise([_END, *words, _END]):
        is_verb = concept in verbs and before not in _NO_VERB_BEHIND
        if not is_verb and word[0].isalnum() and word not in _breaks():
            if not (word.endswith("ed") and stem(word) != word):  # "a man dressed in black"
                phrase.append(concept)
            continue
        if phrase and word != "of":  # of "a group of people" the people count
            yield _Part(role, phrase[-1])
            role = "subject"
        phrase = []
        if is_verb and verb is None:
            role, verb = "object", concept
            yield _Part("verb", concept)
        elif is_verb or (word in _OWN and role == "scene"):
            role = "other"
        elif word in _PLACE:
            role = "scene"
        elif word in _THING:
            role = "scene" if before == "next" else "object"
        elif word not in _BEGINS and word not in _OF:
            role = "subject"


@lru_cache
def _breaks() -> frozenset[str]:
    """Words at which a phrase ends or begins."""
    return function_words().union(_BEGINS, _PLACE, _THING)


def _roles(parts: Iterable[_Part], nouns: Set[str | None]) -> RoleWords:
    said = RoleWords()
    for role, concept in parts:
        if role == "verb":
            said = said._replace(verb=concept, scene=None)
        elif concept not in nouns:
            continue
        elif role == "scene":
            said = said._replace(scene=concept)
        elif role == "object" and said.verb:
            said = said._replace(object=said.object or concept)
        elif role == "subject" and not said.verb:
            said = said._replace(subject=said.subject or concept)
    return said
