"""Region vectors to words: an attention cell below, a language cell above.

The lower cell reads words and asks the attention where to look; the upper cell reads the lower's
state and what was seen, and names the next word (the layout of Anderson et al. 2018, fig. 3, but
without feedback from the upper to the lower cell, as in Wu et al. 2016, so that a whole caption is
one parallel pass in training).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vidcaption.model.attention import Draw, Memory
from vidcaption.model.cells import State
from vidcaption.model.config import ModelConfig
from vidcaption.model.parts import ATTENTIONS, CELLS


class Step(NamedTuple):
    """What L words of K captions of each of B windows gave.

    ``hidden``: (B, K, L, E), which ``Decoder.logits`` turns into words; ``attention``: weights (B,
    K, L, M) over the slots; ``state``: after the last word; ``draw``: (B, K, L) each, of an
    attention that draws.
    """

    hidden: Tensor
    attention: Tensor
    state: State
    draw: Draw | None = None


class Decoder(nn.Module):
    """Word by word, or a whole known caption at once; K captions of a window share its memory.

    Its state is a tuple of tensors of (B, K, ...), which nobody else looks into.
    """

    def __init__(self, config: ModelConfig, vocabulary_size: int) -> None:
        super().__init__()
        size, cell = config.size, CELLS[config.cell]
        # units of what is fed at every word
        self._fed = config.size if config.fed_at_words else 0
        self.embedding = nn.Embedding(vocabulary_size, config.embedding)
        self.attention = ATTENTIONS[config.attention](config)
        self._starts = self._make_start(config)
        self.first_word = (
            nn.Linear(config.size, config.embedding) if config.feed == "word" else None
        )
        below, above = self._inputs(config)
        self.lower, self.upper = cell(below, size), cell(above + self._fed, size)
        self.project = nn.Linear(size + self._fed, config.embedding)
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))
        self.wording = nn.ModuleList()  # filters of the search
        self.dropout = nn.Dropout(config.dropout)
        nn.init.normal_(self.embedding.weight, std=config.embedding**-0.5)

    def _make_start(self, config: ModelConfig) -> list[str]:
        """The names of the layers that make the first state, one for each part of it."""
        if config.feed in ("word", "every"):
            return []
        names = [f"start_{part}" for part in CELLS[config.cell].parts]
        for name in names:
            self.add_module(name, nn.Linear(config.size, 2 * config.size))  # of both cells
        return names

    def _inputs(self, config: ModelConfig) -> tuple[int, int]:
        """How many units each cell reads, without what is seen."""
        return config.embedding, config.size

    def _join(self, embedded: Tensor) -> tuple[Tensor, list[Tensor]]:
        """From words, (N, L, E), what the lower cell reads, and what the upper one does beside the
        lower one's output."""
        return embedded, []

    def start(self, memory: Memory, captions: int = 1) -> State:
        """The state before the first word: by linear layers from what was seen, after that was
        read as a word (Show and Tell, Vinyals et al. 2015), or zeros."""
        if self.first_word is not None:
            return self._after(self.first_word(memory.pooled).unsqueeze(1), captions)
        if not self._starts:
            return self._zeros(memory.pooled, captions)
        made = [torch.tanh(self.get_submodule(name)(memory.pooled)) for name in self._starts]
        both = zip(*(x.chunk(2, -1) for x in made), strict=True)
        return tuple(x.unsqueeze(1).expand(-1, captions, -1) for parts in both for x in parts)

    def _after(self, seen: Tensor, captions: int) -> State:
        """The state after the lower cell has read what was seen, (B, L, E), and the upper one only
        what the lower one makes of it."""
        parts = len(self.lower.parts)
        state = self._zeros(seen)
        below, first = self.lower.read(seen, state[:parts])
        nothing = self.upper.input_size - below.shape[-1]
        padded = nn.functional.pad(self.dropout(below.float()), (0, nothing))
        _, second = self.upper.read(padded, state[parts:])
        return tuple(x.unsqueeze(1).expand(-1, captions, -1) for x in (*first, *second))

    def _zeros(self, like: Tensor, *rows: int) -> State:
        shape = len(like), *rows, self.lower.hidden_size
        return tuple(like.new_zeros(shape) for _ in (*self.lower.parts, *self.upper.parts))

    def forward(self, words: Tensor, memory: Memory, state: State) -> Step:
        """Read words, say what could follow each. ``words``: (B, K, L) ids."""
        batch, captions, length = words.shape
        # cuDNN takes contiguous states only
        state = tuple(x.reshape(batch * captions, -1).contiguous() for x in state)
        parts = len(self.lower.parts)
        embedded = self.dropout(self.embedding(words.flatten(0, 1)))  # (B*K, L, E)
        read, beside = self._join(embedded)
        below, first = self.lower.read(read, state[:parts])
        # attention sees the K captions of a window as one long one, so memory is never repeated
        queries = below.reshape(batch, captions * length, -1)
        context, weights, draw = self.attention(queries, memory)
        context = context[..., : self._fed].reshape(batch * captions, length, self._fed)
        # fp32, as under CUDA's bf16 autocast an LSTM gives fp16, which torch.cat then refuses
        seen = torch.cat([x.float() for x in (below, *beside, context)], -1)
        above, second = self.upper.read(self.dropout(seen), state[parts:])
        out = self.project(self.dropout(torch.cat([above.float(), context.float()], -1)))
        every = batch, captions, length
        return Step(
            self.dropout(out).reshape(*every, -1),
            weights.reshape(*every, -1),
            tuple(x.reshape(batch, captions, -1) for x in (*first, *second)),
            draw and Draw(*(x.reshape(every) for x in draw)),
        )

    def logits(self, out: Tensor) -> Tensor:
        """(..., E) -> (..., V); the output layer shares its weights with the word vectors."""
        return nn.functional.linear(out, self.embedding.weight, self.bias)


class S2VTDecoder(Decoder):
    """Reads all frames, then writes (S2VT, Venugopalan et al. 2015b).

    The lower cell reads the frames, and nothing while words are written; the upper one reads what
    the lower one makes of that beside the word before, which is nothing while frames are read.
    """

    def _make_start(self, config: ModelConfig) -> list[str]:
        return []

    def _inputs(self, config: ModelConfig) -> tuple[int, int]:
        return config.size, config.size + config.embedding

    def _join(self, embedded: Tensor) -> tuple[Tensor, list[Tensor]]:
        return embedded.new_zeros(*embedded.shape[:2], self.lower.input_size), [embedded]

    def start(self, memory: Memory, captions: int = 1) -> State:
        """The state after all frames."""
        return self._after(memory.frames, captions)
