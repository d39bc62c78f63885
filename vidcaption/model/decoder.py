"""Region vectors to words: an attention LSTM below, a language LSTM above.

The lower LSTM reads words and asks the attention where to look; the upper LSTM reads the lower's
state and what was seen, and names the next word (the layout of Anderson et al. 2018, fig. 3, but
without feedback from the upper to the lower LSTM, as in Wu et al. 2016, so that a whole caption is
one parallel pass in training).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vidcaption.model.attention import Memory, make_attention
from vidcaption.model.config import ModelConfig


class State(NamedTuple):
    """Hidden and cell states of both LSTMs for K captions of each window: (B, K, D) each."""

    hidden1: Tensor
    cell1: Tensor
    hidden2: Tensor
    cell2: Tensor


class Decoder(nn.Module):
    """Word by word, or a whole known caption at once; K captions of a window share its memory."""

    def __init__(self, config: ModelConfig, vocabulary_size: int) -> None:
        super().__init__()
        size = config.size
        self.embedding = nn.Embedding(vocabulary_size, config.embedding)
        self.attention = make_attention(config)
        self.start_hidden = nn.Linear(size, 2 * size)
        self.start_cell = nn.Linear(size, 2 * size)
        self.lower = nn.LSTM(config.embedding, size, batch_first=True)
        self.upper = nn.LSTM(2 * size, size, batch_first=True)
        self.project = nn.Linear(2 * size, config.embedding)
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))
        # (V,): what the search takes off a word's log-probability once the caption has it
        self.register_buffer("repeated", torch.zeros(vocabulary_size, device="cpu"), False)
        self.dropout = nn.Dropout(config.dropout)
        nn.init.normal_(self.embedding.weight, std=config.embedding**-0.5)

    repeated: Tensor

    def start(self, memory: Memory, captions: int = 1) -> State:
        """State before the first word, made from the features by two linear layers."""
        hidden = torch.tanh(self.start_hidden(memory.pooled)).chunk(2, -1)
        cell = torch.tanh(self.start_cell(memory.pooled)).chunk(2, -1)
        first, second = zip(hidden, cell, strict=True)
        states = [x.unsqueeze(1).expand(-1, captions, -1) for x in (*first, *second)]
        return State(*states)

    def forward(self, words: Tensor, memory: Memory, state: State) -> tuple[Tensor, Tensor, State]:
        """Read words, say what could follow each.

        ``words``: (B, K, L) ids. Returns what ``logits`` turns into words: (B, K, L, E); attention
        weights (B, K, L, M); and the state after the last word.
        """
        batch, captions, length = words.shape
        # cuDNN takes contiguous states only
        h1, c1, h2, c2 = (x.reshape(1, batch * captions, -1).contiguous() for x in state)
        embedded = self.dropout(self.embedding(words.flatten(0, 1)))  # (B*K, L, E)
        below, (h1, c1) = _through(self.lower, embedded, (h1, c1))
        # attention sees the K captions of a window as one long one, so memory is never repeated
        queries = below.reshape(batch, captions * length, -1)
        context, weights = self.attention(queries, memory)
        context = context.reshape(batch * captions, length, -1)
        # fp32, as under CUDA's bf16 autocast an LSTM gives fp16, which torch.cat then refuses
        seen = torch.cat([below.float(), context.float()], -1)
        above, (h2, c2) = _through(self.upper, self.dropout(seen), (h2, c2))
        out = self.project(self.dropout(torch.cat([above.float(), context.float()], -1)))
        after = State(*(x.reshape(batch, captions, -1) for x in (h1, c1, h2, c2)))
        return (
            self.dropout(out).reshape(batch, captions, length, -1),
            weights.reshape(batch, captions, length, -1),
            after,
        )

    def logits(self, out: Tensor) -> Tensor:
        """(..., E) -> (..., V); the output layer shares its weights with the word vectors."""
        return nn.functional.linear(out, self.embedding.weight, self.bias)


def _through(
    lstm: nn.LSTM, x: Tensor, state: tuple[Tensor, Tensor]
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """What ``lstm`` gives for ``x``: (N, L, E), from a ``state`` of (1, N, D) each."""
    if x.shape[1] > 1 or not x.is_cpu:
        out: tuple[Tensor, tuple[Tensor, Tensor]] = lstm(x, state)
        return out
    # on the CPU the layer packs its weights anew in each call, which costs more than one word does
    hidden, cell = torch.lstm_cell(x[:, 0], [each[0] for each in state], *lstm.all_weights[0])
    return hidden.unsqueeze(1), (hidden.unsqueeze(0), cell.unsqueeze(0))
