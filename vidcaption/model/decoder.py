"""Region vectors to words: an attention cell below, a language cell above.

The lower cell reads words and asks the attention where to look; the upper cell reads the lower's
state and what was seen, and names the next word (the layout of Anderson et al. 2018, fig. 3, but
without feedback from the upper to the lower cell, as in Wu et al. 2016, so that a whole caption is
one parallel pass in training).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vidcaption.model.attention import Memory
from vidcaption.model.cells import State
from vidcaption.model.config import ModelConfig
from vidcaption.model.parts import ATTENTIONS, CELLS


class Step(NamedTuple):
    """What L words of K captions of each of B windows gave.

    ``hidden``: (B, K, L, E), which ``Decoder.logits`` turns into words; ``attention``: weights (B,
    K, L, M) over the slots; ``state``: after the last word.
    """

    hidden: Tensor
    attention: Tensor
    state: State


class Decoder(nn.Module):
    """Word by word, or a whole known caption at once; K captions of a window share its memory.

    Its state is a tuple of tensors of (B, K, ...), which nobody else looks into.
    """

    def __init__(self, config: ModelConfig, vocabulary_size: int) -> None:
        super().__init__()
        size, cell = config.size, CELLS[config.cell]
        self.embedding = nn.Embedding(vocabulary_size, config.embedding)
        self.attention = ATTENTIONS[config.attention](config)
        self._starts = [f"start_{part}" for part in cell.parts]
        for name in self._starts:  # of both cells
            self.add_module(name, nn.Linear(size, 2 * size))
        self.lower = cell(config.embedding, size)
        self.upper = cell(2 * size, size)
        self.project = nn.Linear(2 * size, config.embedding)
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))
        # (V,): what the search takes off a word's log-probability once the caption has it
        self.register_buffer("repeated", torch.zeros(vocabulary_size, device="cpu"), False)
        self.dropout = nn.Dropout(config.dropout)
        nn.init.normal_(self.embedding.weight, std=config.embedding**-0.5)

    repeated: Tensor

    def start(self, memory: Memory, captions: int = 1) -> State:
        """The state before the first word, made from the features by linear layers."""
        made = [torch.tanh(self.get_submodule(name)(memory.pooled)) for name in self._starts]
        both = zip(*(x.chunk(2, -1) for x in made), strict=True)
        return tuple(x.unsqueeze(1).expand(-1, captions, -1) for parts in both for x in parts)

    def forward(self, words: Tensor, memory: Memory, state: State) -> Step:
        """Read words, say what could follow each. ``words``: (B, K, L) ids."""
        batch, captions, length = words.shape
        # cuDNN takes contiguous states only
        state = tuple(x.reshape(batch * captions, -1).contiguous() for x in state)
        parts = len(self._starts)
        embedded = self.dropout(self.embedding(words.flatten(0, 1)))  # (B*K, L, E)
        below, first = self.lower.read(embedded, state[:parts])
        # attention sees the K captions of a window as one long one, so memory is never repeated
        queries = below.reshape(batch, captions * length, -1)
        context, weights = self.attention(queries, memory)
        context = context.reshape(batch * captions, length, -1)
        # fp32, as under CUDA's bf16 autocast an LSTM gives fp16, which torch.cat then refuses
        seen = torch.cat([below.float(), context.float()], -1)
        above, second = self.upper.read(self.dropout(seen), state[parts:])
        out = self.project(self.dropout(torch.cat([above.float(), context.float()], -1)))
        return Step(
            self.dropout(out).reshape(batch, captions, length, -1),
            weights.reshape(batch, captions, length, -1),
            tuple(x.reshape(batch, captions, -1) for x in (*first, *second)),
        )

    def logits(self, out: Tensor) -> Tensor:
        """(..., E) -> (..., V); the output layer shares its weights with the word vectors."""
        return nn.functional.linear(out, self.embedding.weight, self.bias)
