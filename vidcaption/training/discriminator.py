"""Tells captions by people from those by a network, in adversarial training."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidcaption.model.vocabulary import PAD

WIDTHS = (2, 3, 4)  # words that a convolution sees at once
CHANNELS = 64  # of each


class Discriminator(nn.Module):
    """Convolutions over a sentence's word vectors, the maximum of each over the sentence, beside
    what was seen (Yang et al. 2018, after the classifier of Kim 2014)."""

    def __init__(self, words: int, embedding: int, channels: int) -> None:
        """``channels``: of the CNN's vectors."""
        super().__init__()
        self.embedding = nn.Embedding(words, embedding, padding_idx=PAD)
        self.convolutions = nn.ModuleList(nn.Conv1d(embedding, CHANNELS, n) for n in WIDTHS)
        self.video = nn.Linear(channels, CHANNELS)
        self.joint = nn.Linear((len(WIDTHS) + 1) * CHANNELS, CHANNELS)
        self.out = nn.Linear(CHANNELS, 1)

    def forward(self, words: Tensor, seen: Tensor) -> Tensor:
        """The log-odds that people wrote K captions of each of B videos: (B, K).

        ``words``: (B, K, L) ids, without ``<bos>``, padded; ``seen``: (B, C).
        """
        # so much that each convolution sees padding alone, however much there is
        padded = F.pad(words.flatten(0, 1), (0, max(WIDTHS)), value=PAD)
        vectors = self.embedding(padded).transpose(1, 2)  # (B * K, E, L)
        said = [torch.relu(each(vectors)).amax(-1) for each in self.convolutions]
        video = torch.relu(self.video(seen)).repeat_interleave(words.shape[1], 0)
        joint = torch.relu(self.joint(torch.cat([*said, video], -1)))
        odds: Tensor = self.out(joint)
        return odds.view(words.shape[:2])
