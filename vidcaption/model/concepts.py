"""Concepts in the picture, as words: a content classifier beside the decoder.

Its most probable words enter the decoder's memory as word vectors with their probability, so that
sentences without pictures, with the concepts that they name, can train the decoder to use them.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vidcaption.errors import ModelError
from vidcaption.model.vocabulary import Vocabulary

HIDDEN = 512
DROPPED = 0.1  # share of the slots left empty in training
SURE = 0.3  # minimum probability for the search to prefer a concept's word
LEAST = 0.1  # probability below which a concept is dropped
COMMON = 600  # words, the most frequent ones
_CLIPPED = 0.01  # limit of probabilities for log-odds


class Concepts(NamedTuple):
    """Some concepts of each of B windows, the most probable first.

    ``ids``: (B, K) indices into the vocabulary's concepts; ``confidence``: (B, K) in [0, 1], 0
    where a slot is empty. ``every``: (B, N), the probabilities of all, if there are others.
    ``lowest``: (B, K), the probability in the frame that shows it least, if there are frames.
    """

    ids: Tensor
    confidence: Tensor
    every: Tensor | None = None
    lowest: Tensor | None = None

    def of(self, count: int) -> Tensor:
        """(B, N): the probability of each of all ``count`` concepts, 0 if it is unknown."""
        if self.every is not None:
            return self.every
        none = self.confidence.new_zeros(len(self.ids), count)
        return none.scatter_reduce(1, self.ids, self.confidence, "amax")


def surest(probabilities: Tensor, count: int, lowest: Tensor | None = None) -> Concepts:
    """The ``count`` highest of (B, N) probabilities, without those below ``LEAST``, and all.

    ``lowest``: (B, N), in any frame. Rounded to three digits, as the others depend on the other
    windows in a batch.
    """
    rounded = probabilities.float().round(decimals=3)
    confidence, ids = rounded.topk(min(count, rounded.shape[-1]))
    if lowest is not None:
        lowest = lowest.float().round(decimals=3).gather(1, ids)
    return Concepts(ids, confidence.where(confidence >= LEAST, 0.0), rounded, lowest)


def pool(scores: Tensor, where: Tensor) -> Tensor:
    """One score for all regions, half by attention, half by the maximum (after the
    multiple-instance learning of Fang et al. 2015, section 3).

    ``scores``, ``where``: (..., R, N), the latter the logits of the attention -> (..., N).
    """
    looked = (where.softmax(-2) * scores).sum(-2)
    pooled: Tensor = (looked + scores.amax(-2)).float() / 2
    return pooled


class ContentClassifier(nn.Module):
    """Which concepts a frame shows: a multi-label classifier over its regions.

    Where the vocabulary says which concept each class of the CNN's original ImageNet classifier is,
    that classifier stays, and the log-odds of its classes, added up by concept, are added to the
    score.
    """

    def __init__(self, channels: int, vocabulary: Vocabulary, dropout: float) -> None:
        super().__init__()
        count = len(vocabulary.concepts)
        self.hidden = nn.Linear(channels, HIDDEN)
        self.where = nn.Linear(HIDDEN, 1)
        self.out = nn.Linear(HIDDEN, count)
        self.dropout = nn.Dropout(dropout)
        self.classifier: nn.Linear | None = None
        if classes := vocabulary.classes:
            named = [(row, concept) for row, concept in enumerate(classes) if concept is not None]
            index = torch.tensor(named, device="cpu").T
            self.register_buffer("_classes", index, persistent=False)  # (2, classes with a concept)
            self.classifier = nn.Linear(channels, len(classes))
            known = torch.zeros(count, device="cpu")
            known[index[1]] = 1.0
            self.register_buffer("_known", known, persistent=False)
            self.trust = nn.Parameter(torch.ones(count))
        nn.init.zeros_(self.out.weight)

    def take_classes(self, last: nn.Linear) -> None:
        """Take the last layer of the CNN's ImageNet classifier. Raises ModelError."""
        if self.classifier is None:
            return
        if last.weight.shape != self.classifier.weight.shape:
            raise ModelError(
                f"the CNN's classifier has {last.out_features} classes, but "
                f"{self.classifier.out_features} have names"
            )
        self.classifier.load_state_dict(last.state_dict())

    def forward(self, features: Tensor) -> Tensor:
        """``features``: (..., R, C) -> logits (..., N); of more channels, the first C count."""
        features = features[..., : self.hidden.in_features]
        hidden = self.dropout(torch.relu(self.hidden(features)))
        logits = pool(self.out(hidden), self.where(hidden))
        if self.classifier is not None:
            logits = logits + self.trust * self._known * self._log_odds(features.mean(-2))
        return logits

    def _log_odds(self, pooled: Tensor) -> Tensor:
        """(..., C) -> (..., N), of the ImageNet classes that are each concept, together."""
        assert self.classifier is not None
        rows, concepts = self._classes
        classes = self.classifier(pooled).float().softmax(-1)
        sums = classes.new_zeros(*classes.shape[:-1], len(self._known))
        sums = sums.index_add(-1, concepts, classes[..., rows])
        return torch.log((sums + _CLIPPED) / (1 - sums + _CLIPPED))

    _classes: Tensor
    _known: Tensor


class ConceptWords(nn.Module):
    """Concepts as the words of the decoder.

    ``rarity``: (V,), 0 for common words, and the logarithm of how much further down the others are
    among the words in order of frequency.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        encoded = [vocabulary.encode(name) for name in vocabulary.concepts]
        longest = max(map(len, encoded))
        # a concept of several words is the mean of their vectors
        weights = torch.zeros(len(encoded), longest, device="cpu")
        words = torch.zeros(len(encoded), longest, dtype=torch.long, device="cpu")
        for row, ids in enumerate(encoded):
            words[row, : len(ids)] = torch.tensor(ids, device="cpu")
            weights[row, : len(ids)] = 1 / len(ids)
        self.register_buffer("_words", words, persistent=False)
        self.register_buffer("_weights", weights, persistent=False)
        ranks = torch.arange(len(vocabulary), device="cpu")
        rarity = (ranks / COMMON).clamp(min=1).log()
        self.register_buffer("rarity", rarity, persistent=False)

    def vectors(self, concepts: Concepts, embedding: nn.Embedding) -> Tensor:
        """(B, K, E): the word vector of each concept."""
        words = embedding(self._words[concepts.ids])  # (B, K, W, E)
        mean: Tensor = (words * self._weights[concepts.ids].unsqueeze(-1)).sum(-2)
        return mean

    def sure_words(self, concepts: Concepts, vocabulary_size: int) -> Tensor:
        """(B, V): the probability of concepts of at least ``SURE`` that are a single word.

        The lowest in any frame, where that is known: captions of a whole window should not be
        about what only a part of it shows.
        """
        words, single = self._words[..., 0], self._weights[..., 0] == 1
        sure = concepts.confidence if concepts.lowest is None else concepts.lowest
        sure = sure * ((sure >= SURE) & single[concepts.ids])
        none = sure.new_zeros(len(sure), vocabulary_size)
        return none.scatter_reduce(1, words[concepts.ids], sure, "amax")

    rarity: Tensor
    _words: Tensor
    _weights: Tensor


class ConceptSlots(ConceptWords):
    """Concepts as vectors that the decoder attends to, from word vectors and confidence."""

    def __init__(self, embedding: int, size: int, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary)
        self.project = nn.Linear(embedding + 1, size)
        self.norm = nn.LayerNorm(size)

    def forward(self, concepts: Concepts, embedding: nn.Embedding) -> Tensor:
        """(B, K, D): a slot for each concept, zero where its confidence is."""
        confidence = concepts.confidence.unsqueeze(-1)
        named = torch.cat([self.vectors(concepts, embedding), confidence], -1)
        slots = torch.relu(self.norm(self.project(named)))
        filled = confidence > 0
        if self.training:
            filled = filled & (torch.rand_like(confidence) >= DROPPED)
        return slots * filled
