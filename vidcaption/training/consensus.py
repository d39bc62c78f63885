"""CIDEr-D as a reward: fast for single captions, with precomputed document frequencies."""

import math
from collections import Counter
from collections.abc import Sequence

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
        self._references = [[self._vectors(counts) for counts in several] for several in counted]

    def score(self, sample: int, words: Words) -> float:
        """CIDEr-D x 10, as usual, of one caption of one sample."""
        hypothesis = self._vectors(ngrams(words))
        references = self._references[sample]
        return 10 * sum(_similarity(hypothesis, each) for each in references) / len(references)

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


def _similarity(hypothesis: Vectors, reference: Vectors) -> float:
    """Mean over n of the clipped cosine, times the Gaussian length penalty."""
    weights, norms, pairs = hypothesis
    wanted, wanted_norms, wanted_pairs = reference
    cosines = [0.0] * NGRAM
    for gram, weight in weights.items():
        if gram in wanted:
            cosines[len(gram) - 1] += min(weight, wanted[gram]) * wanted[gram]
    for n in range(NGRAM):
        if norms[n] and wanted_norms[n]:
            cosines[n] /= norms[n] * wanted_norms[n]
    return sum(cosines) / NGRAM * math.exp(-((pairs - wanted_pairs) ** 2) / (2 * SIGMA**2))
