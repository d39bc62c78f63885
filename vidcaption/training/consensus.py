"""CIDEr-D as a reward: fast for single captions, with precomputed document frequencies."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

NGRAM = 4
SIGMA = 6.0  # of the length penalty, in words

Words = Sequence[int]
Vectors = tuple[dict[tuple[int, ...], float], list[float], int]


def ngrams(words: Words) -> Counter[tuple[int, ...]]:
    """The number of occurrences of each n-gram of 1 to 4 words."""
    return Counter(
        tuple(words[i : i + n]) for n in range(1, NGRAM + 1) for i in range(len(words) - n + 1)
    )


class Consensus:
    """CIDEr-D (Vedantam et al. 2015, section 4 and 6.1) of captions against known references.

    ``references``: for each sample the ids of its captions. These and the scored captions should
    end with ``<eos>``: then truncated captions score lower.
    """

    def __init__(self, references: Sequence[Sequence[Words]]) -> None:
        counted = [[ngrams(words) for words in several] for several in references]
        documents = Counter(gram for several in counted for gram in set().union(*several))
        self._log_samples = math.log(len(references))
        self._log_documents = {gram: math.log(count) for gram, count in documents.items()}
        self._references = [_References(map(self._vectors, several)) for several in counted]

    def score(self, sample: int, words: Words) -> float:
        """CIDEr-D x 10, as usual, of one caption of one sample."""
        return 10 * self._references[sample].similarity(self._vectors(ngrams(words)))

    def _vectors(self, counts: Counter[tuple[int, ...]]) -> Vectors:
        """tf-idf of each n-gram, norms for n = 1 to 4, and the number of word pairs."""
        weights = {
            gram: count * (self._log_samples - self._log_documents.get(gram, 0.0))
            for gram, count in counts.items()
        }
        squares = [0.0] * NGRAM
        for gram, weight in weights.items():
            squares[len(gram) - 1] += weight * weight
        pairs = sum(count for gram, count in counts.items() if len(gram) == 2)
        return weights, [math.sqrt(square) for square in squares], pairs


class _References:
    """The captions of a sample, by the n-grams in them: most captions share few."""

    def __init__(self, references: Iterable[Vectors]) -> None:
        self._norms: list[list[float]] = []
        self._pairs: list[int] = []
        self._weights: dict[tuple[int, ...], list[tuple[int, float]]] = defaultdict(list)
        for number, (weights, norms, pairs) in enumerate(references):
            self._norms.append(norms)
            self._pairs.append(pairs)
            for gram, weight in weights.items():
                self._weights[gram].append((number, weight))

    def similarity(self, hypothesis: Vectors) -> float:
        """The mean over references, and over n, of the clipped cosine times the Gaussian length
        penalty."""
        weights, norms, pairs = hypothesis
        products = [[0.0] * NGRAM for _ in self._norms]
        for gram, weight in weights.items():
            for number, wanted in self._weights.get(gram, ()):
                products[number][len(gram) - 1] += min(weight, wanted) * wanted
        total = 0.0
        for product, wanted_norms, wanted_pairs in zip(
            products, self._norms, self._pairs, strict=True
        ):
            lengths = [norms[n] * wanted_norms[n] for n in range(NGRAM)]
            cosines = [
                x / length if length else x for x, length in zip(product, lengths, strict=True)
            ]
            total += sum(cosines) * math.exp(-((pairs - wanted_pairs) ** 2) / (2 * SIGMA**2))
        return total / NGRAM / len(self._norms)
