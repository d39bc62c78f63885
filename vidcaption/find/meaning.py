"""Search by meaning: how similar windows are to a sentence or a picture, in the joint space.

Loads NumPy.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from vidcaption.errors import UsageError
from vidcaption.find.index import PLACE_BITS, POOL, Hit, Index
from vidcaption.find.query import Query
from vidcaption.find.space import Space
from vidcaption.model.sentences import STEPS, read_sentence

BM25_WEIGHT = 0.015  # beside a cosine, chosen by benchmarks/retrieval.py on dev
MERGED = 1000  # of the hits by words
_AT_ONCE = 1 << 18  # bytes of vectors: as float32 they stay in the processor's cache

Numbers = NDArray[np.int64]
Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """What windows should be like: ``vector``, (D,) of length 1 in the joint space of the model
    with this ``sha256``."""

    vector: Vector
    sha256: str


def read_query(space: Space, query: Query) -> Wanted:
    """What windows should be like for a query. Raises UsageError if the model knows none of the
    words, ModelError."""
    vector = read_sentence(space.folder, query.sentence)
    if vector is None:
        raise UsageError("the model knows none of the words")
    return Wanted(vector, space.sha256)


def joined(
    index: Index,
    words: Iterable[Hit],
    wanted: Wanted,
    videos: Sequence[int] | None,
) -> Iterator[Hit]:
    """Windows by what their captions say and by their similarity together, best first.

    ``words``: hits by words, best first; ``videos``: those of which vectors are compared, all if
    None. A hit's rank is the sum of its cosine and of its BM25 times BM25_WEIGHT, or the cosine
    alone without ``words``.
    """
    numbers, ranks = similarities(index, wanted.vector, videos)
    if not len(numbers):
        yield from words
        return
    by_words = {hit.number: hit.rank for hit in islice(words, MERGED)}
    said = np.array(list(by_words), np.int64)
    weighted = BM25_WEIGHT * np.array(list(by_words.values()), np.float32)
    places = np.minimum(np.searchsorted(numbers, said), len(numbers) - 1)
    there = numbers[places] == said
    ranks[places[there]] += weighted[there]
    numbers = np.concatenate([numbers, said[~there]])  # of files without vectors of this model
    ranks = np.concatenate([ranks, weighted[~there]])
    best = np.argpartition(-ranks, POOL)[:POOL] if len(ranks) > POOL else np.arange(len(ranks))
    for place in best[np.argsort(-ranks[best], kind="stable")].tolist():
        number = int(numbers[place])
        has_words = number in by_words or len(by_words) == MERGED  # of more it is not known
        yield Hit(number, float(ranks[place]), has_words)


def similarities(
    index: Index, vector: Vector, videos: Sequence[int] | None
) -> tuple[Numbers, Vector]:
    """The numbers of all windows that have vectors, and their cosines with ``vector``; (N,) each.

    ``videos``: only of these; all if None.
    """
    step = (vector / STEPS).astype(np.float32)
    ids: list[int] = []
    counts: list[int] = []
    cosines: list[Vector] = []
    parts: list[bytes] = []
    held = 0
    for video, part in index.vectors(videos):
        ids.append(video)
        counts.append(len(part) // len(vector))
        parts.append(part)
        held += len(part)
        if held >= _AT_ONCE:
            cosines.append(_products(parts, step))
            parts, held = [], 0
    cosines.append(_products(parts, step))
    before = np.cumsum([0, *counts])[:-1]  # windows of the videos before each
    numbers = np.repeat((np.array(ids, np.int64) << PLACE_BITS) - before, counts)
    numbers += np.arange(len(numbers))
    return numbers, np.concatenate(cosines)


def _products(parts: Sequence[bytes], step: Vector) -> Vector:
    """Of some videos' vectors with another one."""
    rows = np.frombuffer(b"".join(parts), np.int8).reshape(-1, len(step))
    # not @, whose threads wait for each other for seconds beside other programs
    products: Vector = np.vecdot(rows, step)
    return products
