"""Words and the regions that they are about (Karpathy and Fei-Fei 2015, section 3.1)."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from vidcaption.model.attention import Memory
from vidcaption.model.config import ModelConfig
from vidcaption.model.joint import MatchingHead
from vidcaption.model.sentences import HIDDEN, SIZE
from vidcaption.model.vocabulary import PAD


class AlignmentHead(MatchingHead):
    """A sentence fits a window as well as each of its words fits the region that it fits best.

    A window is a vector for each region, averaged over its frames, and one for the whole; a
    sentence one for each word, by a bidirectional RNN (equations 2 to 6). Its loss is
    ``training.losses.rank``.
    """

    name = "alignment"

    def _make_reader(self, config: ModelConfig) -> None:
        self.words = nn.RNN(
            *(config.embedding, HIDDEN), nonlinearity="relu", batch_first=True, bidirectional=True
        )
        self.word = nn.Linear(HIDDEN, SIZE)

    def forward(self, memory: Memory) -> Tensor:
        """(B, R + 1, SIZE): the regions of B windows, and each as a whole."""
        regions = memory.values.unflatten(1, (memory.frames.shape[1], -1)).mean(1)
        regions = torch.cat([regions, memory.pooled.unsqueeze(1)], 1)
        vectors: Tensor = self.window(self.dropout(self.norm(regions))).float()
        return vectors

    def read(self, words: Tensor, embedding: nn.Embedding) -> Tensor:
        """(N, L, SIZE): the words of N sentences, 0 where they are padded.

        ``words``: (N, L) ids, padded; ``embedding``: the word vectors.
        """
        real = words != PAD
        # the backward half must begin at a sentence's own end
        packed = pack_padded_sequence(
            self.dropout(embedding(words)),
            real.sum(1).cpu(),
            batch_first=True,
            enforce_sorted=False,
        )
        states, _ = pad_packed_sequence(
            self.words(packed)[0], batch_first=True, total_length=words.shape[1]
        )
        both = states.unflatten(-1, (2, -1)).sum(-2)  # (N, L, HIDDEN)
        return torch.relu(self.word(self.dropout(both))).float() * real.unsqueeze(-1)

    def similar(self, windows: Tensor, sentences: Tensor) -> Tensor:
        """The score of each window and sentence, (B, N): over a sentence's words, the sum of the
        largest product with a region (equation 8)."""
        count, length = sentences.shape[:2]
        products = sentences.flatten(0, 1) @ windows.flatten(0, 1).T
        every = products.view(count, length, *windows.shape[:2])  # (N, L, B, R + 1)
        return every.amax(-1).sum(1).T
