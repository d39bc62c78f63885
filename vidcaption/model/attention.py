"""Where the decoder looks: weights over the slots of a window's memory, which are the region
vectors of its frames, and concepts.

An attention has ``project``, which makes a Memory of slots once, and is called with what the
decoder asks for each word.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vidcaption.model.config import ModelConfig


class Memory(NamedTuple):
    """A window's slots, projected once for all words and beams.

    ``keys``, ``values``: (B, M, D) with M = frames * regions + concept slots, or (B, heads, M,
    D / heads) where there are heads. ``pooled``: (B, D), the window as a whole; ``frames``: (B, T,
    D), its frames in order.
    """

    keys: Tensor
    values: Tensor
    pooled: Tensor
    frames: Tensor


class Glimpse(NamedTuple):
    """What was seen for each of L words: ``context``, (B, L, D), by ``weights``, (B, L, M), that
    sum to 1 over M."""

    context: Tensor
    weights: Tensor


class DotAttention(nn.Module):
    """Scaled dot-product attention with several heads (Vaswani et al. 2017, eq. 1)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        size, self.heads = config.size, config.attention_heads
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, size)
        self.value = nn.Linear(size, size)

    def project(self, slots: Tensor, pooled: Tensor, frames: Tensor) -> Memory:
        """``slots``: (B, M, D); ``pooled``: (B, D); ``frames``: (B, T, D)."""
        # laid out head by head: otherwise the products copy all of it for every word
        keys, values = (self._split(x(slots)).contiguous() for x in (self.key, self.value))
        return Memory(keys, values, pooled, frames)

    def forward(self, queries: Tensor, memory: Memory) -> Glimpse:
        """``queries``: (B, L, D)."""
        query = self._split(self.query(queries))
        scores = (query * query.shape[-1] ** -0.5) @ memory.keys.transpose(-1, -2)
        weights = scores.softmax(-1)  # (B, heads, L, M)
        return Glimpse((weights @ memory.values).transpose(1, 2).flatten(2), weights.mean(1))

    def _split(self, x: Tensor) -> Tensor:
        """(B, M, D) -> (B, heads, M, D / heads)."""
        heads: Tensor = x.unflatten(-1, (self.heads, -1))
        return heads.transpose(1, 2)


class AdditiveAttention(nn.Module):
    """Soft attention by a small tanh network (Bahdanau et al. 2015; Xu et al. 2015, eq. 4-6)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        size = config.size
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, size, bias=False)
        self.score = nn.Linear(size, 1, bias=False)

    def project(self, slots: Tensor, pooled: Tensor, frames: Tensor) -> Memory:
        """``slots``: (B, M, D); ``pooled``: (B, D); ``frames``: (B, T, D)."""
        return Memory(self.key(slots), slots, pooled, frames)

    def forward(self, queries: Tensor, memory: Memory) -> Glimpse:
        """``queries``: (B, L, D)."""
        hidden = torch.tanh(self.query(queries).unsqueeze(2) + memory.keys.unsqueeze(1))
        weights = self.score(hidden).squeeze(-1).softmax(-1)
        return Glimpse(weights @ memory.values, weights)


class NoAttention(nn.Module):
    """Every slot counts the same: the decoder sees the whole (Venugopalan et al. 2015)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()

    def project(self, slots: Tensor, pooled: Tensor, frames: Tensor) -> Memory:
        """``slots``: (B, M, D); ``pooled``: (B, D); ``frames``: (B, T, D)."""
        return Memory(slots, slots, pooled, frames)

    def forward(self, queries: Tensor, memory: Memory) -> Glimpse:
        """``queries``: (B, L, D)."""
        batch, length, _ = queries.shape
        context = memory.pooled.unsqueeze(1).expand(-1, length, -1)
        slots = memory.values.shape[1]
        return Glimpse(context, queries.new_full((batch, length, slots), 1 / slots))
