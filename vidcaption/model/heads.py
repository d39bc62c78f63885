"""What a network can say of a window beside captions, which ``decoder.py`` writes.

A head reads a Memory: ``loss`` is what training minimizes, ``mixed`` what it says together with
others of its kind, and ``describe`` what ``run`` writes of that.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidcaption.errors import ModelError
from vidcaption.model.attention import Memory
from vidcaption.model.config import ModelConfig
from vidcaption.model.search import Caption, Voice, mix, together
from vidcaption.model.vocabulary import Vocabulary


class ClassesHead(nn.Module):
    """Which label fits best: the mean of what is said of each frame (LRCN, Donahue et al. 2015)."""

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        """Raises ModelError where ``vocabulary`` has no labels."""
        super().__init__()
        if not vocabulary.labels:
            raise ModelError("config.json has the head classes, and vocab.json no labels")
        self._labels = vocabulary.labels
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(config.size, len(self._labels))

    def forward(self, memory: Memory) -> Tensor:
        """The log-probability of each of N labels: (B, N)."""
        frames = self.out(self.dropout(memory.frames)).float().log_softmax(-1)  # (B, T, N)
        mean: Tensor = frames.logsumexp(1) - math.log(frames.shape[1])
        return mean

    def loss(self, memory: Memory, labels: Tensor) -> Tensor:
        """The cross entropy of B windows' labels, (B,), added up."""
        return F.nll_loss(self(memory), labels, reduction="sum")

    def mixed(self, memory: Memory, others: Sequence[Voice] = ()) -> Tensor:
        """(B, N), by the weighted mean of the probabilities (LRCN's of RGB and flow)."""
        voices = together(self, memory, others)
        return mix(voices, [voice.head(voice.memory) for voice in voices])

    def describe(self, memory: Memory, others: Sequence[Voice] = ()) -> list[Caption]:
        """The likeliest label of each window, with its log-probability."""
        log_probs, best = (x.cpu() for x in self.mixed(memory, others).max(-1))
        return [
            _said(self._labels[label], log_prob)
            for label, log_prob in zip(best.tolist(), log_probs, strict=True)
        ]


class ScoreHead(nn.Module):
    """A number, from the mean of the frames.

    ``mean`` and ``std``: of the numbers that it learns, so that their scale does not matter.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(config.size, 1)
        self.register_buffer("mean", torch.tensor(0.0))
        self.register_buffer("std", torch.tensor(1.0))

    def standardize(self, scores: Tensor) -> None:
        """Take mean and standard deviation from the numbers to learn, (N,)."""
        self.mean.copy_(scores.mean())
        std = scores.std(correction=0)
        self.std.copy_(std if std > 0 else torch.ones_like(std))

    def forward(self, memory: Memory) -> Tensor:
        """(B,)."""
        return self._standard(memory) * self.std + self.mean

    def _standard(self, memory: Memory) -> Tensor:
        out: Tensor = self.out(self.dropout(memory.frames.mean(1))).float().squeeze(-1)
        return out

    def loss(self, memory: Memory, scores: Tensor) -> Tensor:
        """The squared errors of B windows' numbers, (B,), in standard deviations, added up."""
        wanted = (scores - self.mean) / self.std
        return F.mse_loss(self._standard(memory), wanted, reduction="sum")

    def mixed(self, memory: Memory, others: Sequence[Voice] = ()) -> Tensor:
        """(B,), the weighted mean of the numbers."""
        voices = together(self, memory, others)
        return torch.stack([each.weight * each.head(each.memory) for each in voices]).sum(0)

    def describe(self, memory: Memory, others: Sequence[Voice] = ()) -> list[Caption]:
        """The number of each window, to four significant digits."""
        numbers = self.mixed(memory, others).tolist()
        return [_said(f"{number:.4g}", torch.zeros(())) for number in numbers]


def _said(text: str, log_prob: Tensor) -> Caption:
    return Caption([], log_prob.unsqueeze(0), torch.empty(1, 0), log_prob.item(), text=text)
