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
from vidcaption.options.batch import FindOptions

BM25_WEIGHT = 0.015  # beside a cosine, chosen by benchmarks/retrieval.py on dev
MERGED = 1000  # of the hits by words
_AT_ONCE = 1 << 20  # bytes of vectors: they stay in the processor's cache

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
    query: Query | None,
    options: FindOptions,
) -> Iterator[Hit]:
    """Windows by what their captions say and by their similarity together, best first.

    ``words``: hits by words, best first; ``videos``: those of which vectors are compared, all if
    None; ``query``: for what it excludes. A hit's rank is the sum of its cosine and of its BM25
    times BM25_WEIGHT, or the cosine alone without ``words``.
    """
    numbers, ranks = similarities(index, wanted.vector, videos)
    if not len(numbers):
        yield from words
        return
    by_words = {hit.number: hit for hit in islice(words, MERGED)}
    said = np.array(list(by_words), np.int64)
    weighted = BM25_WEIGHT * np.array([hit.rank for hit in by_words.values()], np.float32)
    places = np.minimum(np.searchsorted(numbers, said), len(numbers) - 1)
    there = numbers[places] == said
    ranks[places[there]] += weighted[there]
    numbers = np.concatenate([numbers, said[~there]])  # of files without vectors of this model
    ranks = np.concatenate([ranks, weighted[~there]])
    best = np.argpartition(-ranks, POOL)[:POOL] if len(ranks) > POOL else np.arange(len(ranks))
    excluded = query.none_of() if query else ""
    for place in best[np.argsort(-ranks[best], kind="stable")].tolist():
        number = int(numbers[place])
        hit = by_words.get(number)
        entry = hit.entry if hit else index.entry(number, excluded, options.min_confidence)
        if entry is not None:
            has_words = hit is not None or len(by_words) == MERGED  # of more it is not known
            yield Hit(number, entry, float(ranks[place]), has_words)


def similarities(
    index: Index, vector: Vector, videos: Sequence[int] | None
) -> tuple[Numbers, Vector]:
    """The numbers of all windows that have vectors, and their cosines with ``vector``; (N,) each.

    ``videos``: only of these; all if None.
    """
    numbers, cosines = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    step = (vector / STEPS).astype(np.float32)
    for ids, counts, rows in _parts(index.vectors(videos), len(vector)):
        first = np.cumsum(counts) - counts  # rows before those of each video
        places = np.arange(len(rows)) - np.repeat(first, counts)
        numbers.append(np.repeat(ids << PLACE_BITS, counts) + places)
        # not @, whose threads wait for each other for seconds beside other programs
        cosines.append(np.vecdot(rows.astype(np.float32), step))
    return np.concatenate(numbers), np.concatenate(cosines)


def _parts(
    vectors: Iterator[tuple[int, bytes]], size: int
) -> Iterator[tuple[Numbers, Numbers, NDArray[np.int8]]]:
    """Some videos at a time: their numbers, how many windows each has, and all their vectors,
    (N, ``size``)."""
    ids: list[int] = []
    rows: list[bytes] = []
    held = 0
    for video, part in vectors:
        ids.append(video)
        rows.append(part)
        held += len(part)
        if held >= _AT_ONCE:
            yield _joined(ids, rows, size)
            ids, rows, held = [], [], 0
    if ids:
        yield _joined(ids, rows, size)


def _joined(
    ids: Sequence[int], rows: Sequence[bytes], size: int
) -> tuple[Numbers, Numbers, NDArray[np.int8]]:
    counts = np.array([len(part) // size for part in rows])
    return np.array(ids), counts, np.frombuffer(b"".join(rows), np.int8).reshape(-1, size)
