"""Region vectors to words: by one recurrent layer, or two with the attention between them."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vidcaption.model.attention import Draw, Glimpse, Memory
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

    layers: int  # of recurrent cells

    def __init__(self, config: ModelConfig, vocabulary_size: int) -> None:
        super().__init__()
        self._size, self._parts = config.size, CELLS[config.cell].parts
        # units of what is fed at every word
        self._fed = config.size if config.fed_at_words else 0
        self._looks = "frames" in config.lasts
        self.embedding = nn.Embedding(vocabulary_size, config.embedding)
        self.attention = ATTENTIONS[config.attention](config)
        self._starts = self._make_start(config)
        self.first_word = (
            nn.Linear(config.size, config.embedding) if config.feed == "word" else None
        )
        self.project = nn.Linear(self._make_cells(config), config.embedding)
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))
        self.wording = nn.ModuleList()  # filters of the search
        self.dropout = nn.Dropout(config.dropout)
        nn.init.normal_(self.embedding.weight, std=config.embedding**-0.5)

    def _make_start(self, config: ModelConfig) -> list[str]:
        """The names of the layers that make the first state, one for each part of it."""
        if config.feed in ("word", "every"):
            return []
        names = [f"start_{part}" for part in self._parts]
        for name in names:
            self.add_module(name, nn.Linear(config.size, self.layers * config.size))
        return names

    @abstractmethod
    def _make_cells(self, config: ModelConfig) -> int:
        """Make the recurrent cells. Returns how many units of ``_read`` tell the next word."""

    @abstractmethod
    def _read(self, embedded: Tensor, memory: Memory, state: State) -> Step:
        """What words, (B * K, L, E), gave: a Step with the captions of all windows in one row, and
        what tells the next word as ``hidden``."""

    @abstractmethod
    def _after(self, seen: Tensor) -> State:
        """The state after what was seen, (B, L, E), is read as words are."""

    def start(self, memory: Memory, captions: int = 1) -> State:
        """The state before the first word: by linear layers from what was seen, after that was
        read as a word (Show and Tell, Vinyals et al. 2015), or zeros."""
        seen = memory.pooled if memory.start is None else memory.start
        if self.first_word is not None:
            state = self._after(self.first_word(seen).unsqueeze(1))
        elif self._starts:
            made = [torch.tanh(self.get_submodule(name)(seen)) for name in self._starts]
            every = zip(*(x.chunk(self.layers, -1) for x in made), strict=True)
            state = tuple(x for parts in every for x in parts)
        else:
            state = self._zeros(seen)
        return _shared(state, captions)

    def _zeros(self, like: Tensor) -> State:
        shape = len(like), self._size
        return tuple(like.new_zeros(shape) for _ in range(self.layers * len(self._parts)))

    def _look(self, asked: Tensor, memory: Memory) -> Glimpse:
        """What captions see that ask for it: (B * K, L, D), as is what they get."""
        every = asked.shape[:2]
        # attention sees the K captions of a window as one long one, so memory is never repeated
        queries = asked.reshape(len(memory.pooled), -1, self._size)
        context, weights, draw = self.attention(queries, memory)
        if memory.every is not None:
            always = memory.every.unsqueeze(1)
            context = context + always if self._looks else always.expand_as(context)
        return Glimpse(
            # fp32, as under CUDA's bf16 autocast an LSTM gives fp16, which torch.cat then refuses
            context[..., : self._fed].reshape(*every, self._fed).float(),
            weights.reshape(*every, -1),
            draw and Draw(*(x.reshape(every) for x in draw)),
        )

    def forward(self, words: Tensor, memory: Memory, state: State) -> Step:
        """Read words, say what could follow each. ``words``: (B, K, L) ids."""
        every = batch, captions, _ = words.shape
        # cuDNN takes contiguous states only
        state = tuple(x.reshape(batch * captions, -1).contiguous() for x in state)
        embedded = self.dropout(self.embedding(words.flatten(0, 1)))  # (B*K, L, E)
        told, weights, state, draw = self._read(embedded, memory, state)
        out = self.project(self.dropout(told))
        return Step(
            self.dropout(out).reshape(*every, -1),
            weights.reshape(*every, -1),
            tuple(x.reshape(batch, captions, -1) for x in state),
            draw and Draw(*(x.reshape(every) for x in draw)),
        )

    def logits(self, out: Tensor) -> Tensor:
        """(..., E) -> (..., V); the output layer shares its weights with the word vectors."""
        return nn.functional.linear(out, self.embedding.weight, self.bias)


class SingleDecoder(Decoder):
    """One cell, which reads each word beside what is seen, and tells the next one.

    Its state after the word before asks the attention, and what is seen also stands beside its
    output (Bahdanau et al. 2015; Xu et al. 2015, eq. 1-9, without the gate, and without the word
    in eq. 7). So captions with an attention are read word by word in training, too.
    """

    layers = 1

    def _make_cells(self, config: ModelConfig) -> int:
        self.cell = CELLS[config.cell](config.embedding + self._fed, config.size)
        self._asks = config.attention != "none"
        return config.size + self._fed * self._asks

    def _read(self, embedded: Tensor, memory: Memory, state: State) -> Step:
        steps = []
        for words in embedded.split(1 if self._asks else embedded.shape[1], 1):
            asked = state[0].unsqueeze(1).expand(-1, words.shape[1], -1)
            context, weights, draw = self._look(asked, memory)
            hidden, state = self.cell.read(torch.cat([words, self.dropout(context)], -1), state)
            told = [hidden.float(), context] if self._asks else [hidden]
            steps.append(Step(torch.cat(told, -1), weights, state, draw))
        return _joined(steps)

    def _after(self, seen: Tensor) -> State:
        after: State = self.cell.read(seen, self._zeros(seen))[1]
        return after


class StackedDecoder(Decoder):
    """An attention cell below, a language cell above.

    The lower cell reads words and asks the attention where to look; the upper cell reads the
    lower's state and what was seen, and names the next word (the layout of Anderson et al. 2018,
    fig. 3, but without feedback from the upper to the lower cell, as in Wu et al. 2016, so that a
    whole caption is one parallel pass in training).
    """

    layers = 2

    def _make_cells(self, config: ModelConfig) -> int:
        cell, (below, above) = CELLS[config.cell], self._inputs(config)
        self.lower, self.upper = cell(below, config.size), cell(above + self._fed, config.size)
        return config.size + self._fed

    def _inputs(self, config: ModelConfig) -> tuple[int, int]:
        """How many units each cell reads, without what is seen."""
        return config.embedding, config.size

    def _join(self, embedded: Tensor) -> tuple[Tensor, list[Tensor]]:
        """From words, (N, L, E), what the lower cell reads, and what the upper one does beside the
        lower one's output."""
        return embedded, []

    def _read(self, embedded: Tensor, memory: Memory, state: State) -> Step:
        parts = len(self._parts)
        read, beside = self._join(embedded)
        below, first = self.lower.read(read, state[:parts])
        context, weights, draw = self._look(below, memory)
        seen = torch.cat([*(x.float() for x in (below, *beside)), context], -1)
        above, second = self.upper.read(self.dropout(seen), state[parts:])
        return Step(torch.cat([above.float(), context], -1), weights, (*first, *second), draw)

    def _after(self, seen: Tensor) -> State:
        """The upper cell reads only what the lower one makes of what was seen."""
        parts = len(self._parts)
        state = self._zeros(seen)
        below, first = self.lower.read(seen, state[:parts])
        nothing = self.upper.input_size - below.shape[-1]
        padded = nn.functional.pad(self.dropout(below.float()), (0, nothing))
        _, second = self.upper.read(padded, state[parts:])
        return (*first, *second)


class S2VTDecoder(StackedDecoder):
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
        return _shared(self._after(memory.frames), captions)


# By the number of their layers.
DECODERS: Mapping[int, type[Decoder]] = {1: SingleDecoder, 2: StackedDecoder}


def _shared(state: State, captions: int) -> State:
    """(B, D) each -> (B, captions, D), the same for all captions of a window."""
    return tuple(x.unsqueeze(1).expand(-1, captions, -1) for x in state)


def _joined(steps: Sequence[Step]) -> Step:
    """One that followed the other, in one: of (N, L, ...) each."""
    hidden = torch.cat([step.hidden for step in steps], 1)
    weights = torch.cat([step.attention for step in steps], 1)
    draws = [step.draw for step in steps if step.draw]
    draw = Draw(*(torch.cat(x, 1) for x in zip(*draws, strict=True))) if draws else None
    return Step(hidden, weights, steps[-1].state, draw)
