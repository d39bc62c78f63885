"""Attention of the decoder: weights over the slots of a window's memory, which are the region
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
    D / heads) where there are heads. ``pooled``: (B, D), the window as a whole; ``regions``: (B, T,
    R, D), those of its frames in order. ``start``: (B, D), what the decoder starts from, if not
    from ``pooled``; ``every``: (B, D), what it sees at every word besides slots or in their place.
    """

    keys: Tensor
    values: Tensor
    pooled: Tensor
    regions: Tensor
    start: Tensor | None = None
    every: Tensor | None = None

    @property
    def frames(self) -> Tensor:
        """(B, T, D), each frame as a whole."""
        return self.regions.mean(2)

    def of(self, rows: Tensor) -> "Memory":
        """That of these windows."""
        return Memory._make(part if part is None else part[rows] for part in self)


class Draw(NamedTuple):
    """A slot drawn for each of L words: the logarithm of its probability, and the entropy of what
    it was drawn from; (B, L) each."""

    log_prob: Tensor
    entropy: Tensor


class Glimpse(NamedTuple):
    """What was seen for each of L words: ``context``, (B, L, D), by ``weights``, (B, L, M), that
    sum to 1 over M. ``draw``: where the weights have no gradient."""

    context: Tensor
    weights: Tensor
    draw: Draw | None = None


class DotAttention(nn.Module):
    """Scaled dot-product attention with several heads (Vaswani et al. 2017, eq. 1)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        size, self.heads = config.size, config.attention_heads
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, size)
        self.value = nn.Linear(size, size)

    def project(self, slots: Tensor, pooled: Tensor, regions: Tensor) -> Memory:
        """``slots``: (B, M, D); ``pooled``: (B, D); ``regions``: (B, T, R, D)."""
        # laid out head by head: otherwise the products copy all of it for every word
        keys, values = (self._split(x(slots)).contiguous() for x in (self.key, self.value))
        return Memory(keys, values, pooled, regions)

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

    def project(self, slots: Tensor, pooled: Tensor, regions: Tensor) -> Memory:
        """``slots``: (B, M, D); ``pooled``: (B, D); ``regions``: (B, T, R, D)."""
        return Memory(self.key(slots), slots, pooled, regions)

    def forward(self, queries: Tensor, memory: Memory) -> Glimpse:
        """``queries``: (B, L, D)."""
        hidden = torch.tanh(self.query(queries).unsqueeze(2) + memory.keys.unsqueeze(1))
        weights = self.score(hidden).squeeze(-1).softmax(-1)
        return Glimpse(weights @ memory.values, weights)


class HardAttention(AdditiveAttention):
    """A single slot for each word, drawn in training and the likeliest otherwise (Xu et al. 2015,
    section 4.1).

    As drawing has no gradient, ``reinforce`` gives one. ``baseline``: the moving mean of captions'
    log-likelihood.
    """

    REWARD, ENTROPY, KEPT = 0.1, 0.002, 0.9  # what they count for; the baseline's share of the old

    baseline: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.register_buffer("baseline", torch.zeros(1))

    def forward(self, queries: Tensor, memory: Memory) -> Glimpse:
        """``queries``: (B, L, D)."""
        soft = super().forward(queries, memory).weights
        if self.training:
            log_probs = soft.float().clamp(min=1e-9).log()
            slots = torch.distributions.Categorical(logits=log_probs.detach()).sample()
            log_prob = log_probs.gather(-1, slots.unsqueeze(-1)).squeeze(-1)
            draw = Draw(log_prob, -(log_probs.exp() * log_probs).sum(-1))
        else:
            slots, draw = soft.argmax(-1), None
        weights = nn.functional.one_hot(slots, soft.shape[-1]).to(soft)
        return Glimpse(weights @ memory.values, weights, draw)

    def reinforce(self, draw: Draw, log_likelihood: Tensor, real: Tensor) -> Tensor:
        """The loss that makes what helped likelier: the last two terms of equation 12.

        ``draw``: (B, K, L) each; ``log_likelihood``: (B, K) of the captions, given what was drawn;
        ``real``: (B, K, L), false where a caption is padded. Counts the captions in the baseline.
        """
        likely = log_likelihood.detach().float()
        mean = likely.mean()
        baseline = torch.where(self.baseline == 0, mean, self.baseline)  # at first there is none
        self.baseline.copy_(baseline.lerp(mean, 1 - self.KEPT))
        reward = self.REWARD * (likely - baseline).unsqueeze(-1)
        gain: Tensor = (reward * draw.log_prob + self.ENTROPY * draw.entropy) * real
        return -gain.sum()


class NoAttention(nn.Module):
    """Every slot counts the same: the decoder sees the whole (Venugopalan et al. 2015)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()

    def project(self, slots: Tensor, pooled: Tensor, regions: Tensor) -> Memory:
        """``slots``: (B, M, D); ``pooled``: (B, D); ``regions``: (B, T, R, D)."""
        return Memory(slots, slots, pooled, regions)

    def forward(self, queries: Tensor, memory: Memory) -> Glimpse:
        """``queries``: (B, L, D)."""
        batch, length, _ = queries.shape
        context = memory.pooled.unsqueeze(1).expand(-1, length, -1)
        slots = memory.values.shape[1]
        return Glimpse(context, queries.new_full((batch, length, slots), 1 / slots))
