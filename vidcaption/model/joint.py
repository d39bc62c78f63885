"""A space in which windows and sentences that belong together are close (Kiros et al. 2014)."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vidcaption.errors import UsageError
from vidcaption.model.attention import Memory
from vidcaption.model.config import ModelConfig
from vidcaption.model.search import Caption, Voice
from vidcaption.model.sentences import EPSILON, HIDDEN, SIZE, STEPS
from vidcaption.model.vocabulary import PAD, Vocabulary


class MatchingHead(nn.Module):
    """How similar windows and sentences are.

    Called with a Memory, it gives B windows in a form that ``similar`` compares with that in which
    ``read`` gives N sentences. ``embedding``: the word vectors, where there is no decoder to share
    those of.
    """

    name: str

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.LayerNorm(config.size)
        self.window = nn.Linear(config.size, SIZE)
        self._make_reader(config)
        self.embedding = None
        if not config.writes:
            self.embedding = nn.Embedding(len(vocabulary), config.embedding)
            nn.init.normal_(self.embedding.weight, std=config.embedding**-0.5)

    @abstractmethod
    def _make_reader(self, config: ModelConfig) -> None:
        """Make the layers that read sentences."""

    def mixed(self, memory: Memory, others: Sequence[Voice] = ()) -> Tensor:
        """B windows, as the head gives them. ``others``: none, as each model has a space of its
        own."""
        windows: Tensor = self(memory)
        return windows

    def describe(self, memory: Memory, others: Sequence[Voice] = ()) -> list[Caption]:
        """Raises UsageError, as it has nothing to say."""
        raise UsageError(
            f"the model has the head {self.name} alone, which says nothing of a video; train one "
            "with --heads caption+joint"
        )


class JointHead(MatchingHead):
    """Windows and sentences as vectors of length 1, whose product says how well they match.

    A window's comes from its memory as a whole, a sentence's from the mean of the states of a GRU
    that reads its words. VSE++ (Faghri et al. 2018) takes the last state, and as its loss the
    hardest sentence and window of a batch; see ``training.losses.match``.
    """

    name = "joint"

    def _make_reader(self, config: ModelConfig) -> None:
        self.words = nn.GRU(config.embedding, HIDDEN, batch_first=True)
        self.sentence = nn.Linear(HIDDEN, SIZE)

    def forward(self, memory: Memory) -> Tensor:
        """The vectors of B windows: (B, SIZE) of length 1."""
        return F.normalize(self.window(self.dropout(self.norm(memory.pooled))).float(), dim=-1)

    def read(self, words: Tensor, embedding: nn.Embedding) -> Tensor:
        """The vectors of N sentences: (N, SIZE) of length 1.

        ``words``: (N, L) ids, padded; ``embedding``: the word vectors. Rows of padding alone give
        some vector.
        """
        vectors = F.layer_norm(embedding(words), (embedding.embedding_dim,), eps=EPSILON)
        states, _ = self.words(self.dropout(vectors))  # (N, L, HIDDEN)
        real = (words != PAD).unsqueeze(-1)
        mean = (states * real).sum(1) / real.sum(1).clamp(min=1)
        return F.normalize(self.sentence(mean).float(), dim=-1)

    def fit(self, windows: Tensor, words: Tensor, embedding: nn.Embedding) -> Tensor:
        """The cosine of each window, (B, SIZE), and its own captions, (B, N, L) ids, padded:
        (B, N)."""
        sentences = self.read(words.flatten(0, 1), embedding).unflatten(0, words.shape[:2])
        cosines: Tensor = (windows.unsqueeze(1) * sentences).sum(-1)
        return cosines

    def similar(self, windows: Tensor, sentences: Tensor) -> Tensor:
        """The cosine of each window and sentence: (B, N)."""
        return windows @ sentences.T


def pack(vectors: Tensor) -> list[bytes]:
    """The vectors of windows, (B, SIZE), as they are kept: a signed byte per dimension."""
    steps = (vectors * STEPS).round().clamp(-127, 127).to(torch.int8).cpu().numpy()
    return [row.tobytes() for row in steps]


def unpack(vectors: Sequence[bytes]) -> NDArray[np.float32]:
    """Packed vectors as (N, SIZE)."""
    rows = np.frombuffer(b"".join(vectors), np.int8).reshape(-1, SIZE)
    return rows.astype(np.float32) / np.float32(STEPS)
