"""The confidence of a caption, from 0 to 1."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vidcaption.model.search import Caption
from vidcaption.model.vocabulary import Vocabulary

FEATURES = 4


class Confidence(nn.Module):
    """The share of a caption's nouns, verbs and adjectives that people would use, too: a logistic
    regression, fitted on dev captions, on the caption's score, its length, and the probabilities
    of the concepts that it names and of those that it does not."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.weigh = nn.Linear(FEATURES, 1)
        self._concepts = [frozenset(vocabulary.encode(name)) for name in vocabulary.concepts]

    def describe(self, captions: Sequence[Caption]) -> Tensor:
        """The inputs for the confidence of each of B captions, with their concepts: (B, 4)."""
        rows = []
        for caption in captions:
            words = set(caption.ids)
            named = sum(p for n, p in caption.concepts if self._concepts[n] <= words)
            unsaid = sum(p for _, p in caption.concepts) - named
            rows.append([caption.score, math.log1p(len(caption.ids)), named, unsaid])
        return torch.tensor(rows, dtype=torch.float32)

    def forward(self, captions: Sequence[Caption]) -> list[float]:
        """The confidence of each of B captions, with their concepts."""
        if not captions:
            return []
        weight, bias = self.weigh.weight.float().cpu(), self.weigh.bias.float().cpu()
        rows = self.describe(captions)
        confidence: list[float] = (rows @ weight.T + bias).sigmoid().squeeze(1).tolist()
        return confidence
