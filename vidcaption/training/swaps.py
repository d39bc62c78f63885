"""Sentences in which the name of something is swapped for another that is used like it.

Too few sentences are about rare things for a decoder to learn to say what their concept slot holds:
it keeps to the nearest frequent word, and a lemur becomes a dog. In sentences with swapped names
only the concepts tell which word comes next.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidcaption.model.vocabulary import SPECIAL, Vocabulary
from vidcaption.model.wording import begins_with_vowel

PLACES = (-2, -1, 1, 2)  # of the words that tell how a name is used, from it
CONTEXTS = 3000  # most frequent words
DIMENSIONS = 60
ALIKE = 0.6  # minimum similarity
FLATTENED = 0.75  # exponent of the contexts' probabilities (Levy et al. 2015, section 3.2)

Array = NDArray[np.float64]


class Swap(NamedTuple):
    """A sentence, by the ids of its words, in which the name ``new`` replaces ``old``."""

    sentence: list[int]
    old: int
    new: int


class Swaps:
    """Names to swap: the rarer a name, the more often it takes the place of others.

    Two names are alike if the same words stand around them: by the cosine of their positive
    pointwise mutual information with their contexts, in fewer dimensions (Levy et al. 2015).
    """

    def __init__(
        self, sentences: Sequence[Sequence[int]], names: Iterable[int], vocabulary: Vocabulary
    ) -> None:
        """``sentences``, ``names``: ids of words."""
        self._vocabulary = vocabulary
        counts = np.zeros(len(vocabulary))
        lengths = [len(sentence) for sentence in sentences]
        flat = np.fromiter((id for each in sentences for id in each), np.int64, sum(lengths))
        np.add.at(counts, flat, 1)
        known = np.array(sorted(id for id in set(names) if counts[id]), np.int64)
        similar = _similarity(flat, np.repeat(np.arange(len(lengths)), lengths), known, counts)
        plural = np.array([vocabulary.words[id].endswith("s") for id in known.tolist()])
        self._others: dict[int, tuple[NDArray[np.int64], Array]] = {}
        for row, id in enumerate(known.tolist()):
            alike = (similar[row] >= ALIKE) & (plural == plural[row]) & (known != id)
            if alike.any():
                chances = counts[known[alike]] ** -0.5
                self._others[id] = known[alike], chances / chances.sum()

    def swap(self, sentence: Sequence[int], rng: np.random.Generator) -> Swap | None:
        """The sentence with a random one of its names swapped, or None if it has none to swap."""
        names = [id for id in dict.fromkeys(sentence) if id in self._others]
        if not names:
            return None
        old = names[rng.integers(len(names))]
        others, chances = self._others[old]
        new = int(rng.choice(others, p=chances))
        swapped = [new if id == old else id for id in sentence]
        return Swap(self._with_articles(swapped, new), old, new)

    def _with_articles(self, sentence: list[int], name: int) -> list[int]:
        a, an = self._vocabulary.encode("a an")
        fitting = an if begins_with_vowel(self._vocabulary.words[name]) else a
        return [
            fitting if id in (a, an) and id >= len(SPECIAL) and follower == name else id
            for id, follower in zip(sentence, [*sentence[1:], None], strict=True)
        ]


def _similarity(
    words: NDArray[np.int64], sentences: NDArray[np.int64], names: NDArray[np.int64], counts: Array
) -> Array:
    """(N, N) cosines of N names. ``words``: ids, one sentence after the other; ``sentences``: the
    number of each one's; ``counts``: (V,)."""
    context = np.full(len(counts), -1)
    order = np.argsort(-counts, kind="stable")[:CONTEXTS]
    context[order] = np.arange(len(order))
    row = np.full(len(counts), -1)
    row[names] = np.arange(len(names))
    seen = np.zeros((len(names), len(PLACES) * len(order)))
    at = np.flatnonzero(row[words] >= 0)
    for number, place in enumerate(PLACES):
        inside = at[(at + place >= 0) & (at + place < len(words))]
        inside = inside[sentences[inside] == sentences[inside + place]]
        beside = context[words[inside + place]]
        columns = number * len(order) + beside
        np.add.at(seen, (row[words[inside]][beside >= 0], columns[beside >= 0]), 1)
    shares = seen / max(1.0, seen.sum())
    contexts = shares.sum(0) ** FLATTENED
    expected = shares.sum(1, keepdims=True) * contexts / max(1e-12, contexts.sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.where(seen > 0, np.log(shares / expected), 0.0).clip(0)
    squares, left = np.linalg.eigh(information @ information.T)  # of the singular values
    vectors = left[:, -DIMENSIONS:] * squares[-DIMENSIONS:].clip(0) ** 0.25
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
    similar: Array = vectors @ vectors.T
    return similar
