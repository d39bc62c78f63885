"""Four words in place of a picture: subject, verb, object and scene (LRCN, Donahue et al. 2015,
section 6, after Rohrbach et al. 2013).

A conditional random field chooses them among the surest concepts of a window.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidcaption.model.concepts import Concepts, ConceptWords
from vidcaption.model.config import ModelConfig
from vidcaption.model.vocabulary import Vocabulary

ROLES = ("verb", "subject", "object", "scene")
_MOST = 0.999  # probability, at most, that a concept fills a role


class Roles(ConceptWords):
    """The words of the four roles, as vectors that stand in place of frames.

    The field is a tree: the verb, and the three others, each of which depends on the verb. So its
    maximum and its marginals are exact (message passing, Pearl 1988). That a concept fills a role
    is as probable as that it is there, which the content classifier says, and that it has the role
    in a sentence which names it, ``shares``; that a role stays empty, as that no concept fills it.
    ``fits`` says how well two words go together. Both come from the training's sentences.
    """

    shares: Tensor
    fits: Tensor

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary)
        self._likeliest = config.roles == "max"
        count = len(vocabulary.concepts)
        self.register_buffer("shares", torch.zeros(len(ROLES), count))
        # the last row and column are of a role that stays empty
        self.register_buffer("fits", torch.zeros(len(ROLES) - 1, count + 1, count + 1))
        self.project = nn.ModuleList(nn.Linear(config.embedding, config.size) for _ in ROLES)
        self.norm = nn.LayerNorm(config.size)

    def take(self, shares: Tensor, fits: Tensor) -> None:
        """``shares``: (4, N), of the sentences that name a concept, those in which it has the role.
        ``fits``: (3, N + 1, N + 1), for each verb and each subject, object or scene, the logarithm
        of how many times as often as by chance they are together."""
        self.shares.copy_(shares)
        self.fits.copy_(fits)

    def forward(self, concepts: Concepts, embedding: nn.Embedding) -> Tensor:
        """(B, 4, D): the word of each role, or the mean of all by their probability."""
        filled = self.choose(concepts)[..., :-1]
        words = filled @ self.vectors(concepts, embedding)  # (B, 4, E)
        each = [project(word) for project, word in zip(self.project, words.unbind(1), strict=True)]
        return torch.relu(self.norm(torch.stack(each, 1)))

    def choose(self, concepts: Concepts) -> Tensor:
        """Which of the K concepts fills each role: (B, 4, K + 1), 1 for the choice, or
        probabilities that sum to 1. The last is that it stays empty."""
        fills = concepts.confidence.unsqueeze(1) * self.shares[:, concepts.ids].transpose(0, 1)
        fills = fills.clamp(max=_MOST)  # (B, 4, K)
        empty = (-fills).log1p().sum(-1, keepdim=True)
        unary = torch.cat([fills.log(), empty], -1)
        ids = F.pad(concepts.ids, (0, 1), value=self.shares.shape[-1])
        pairs = self.fits[:, ids.unsqueeze(-1), ids.unsqueeze(-2)].transpose(0, 1)
        verbs, others = unary[:, 0], unary[:, 1:]
        scores = pairs + others.unsqueeze(-2)  # (B, 3, K + 1 verbs, K + 1 others)
        if self._likeliest:
            verb = _one(verbs + scores.amax(-1).sum(1))
            given = _one(scores)
        else:
            verb = (verbs + scores.logsumexp(-1).sum(1)).softmax(-1)
            given = scores.softmax(-1)
        rest = (verb[:, None, :, None] * given).sum(-2)
        return torch.cat([verb.unsqueeze(1), rest], 1)


def _one(scores: Tensor) -> Tensor:
    """1 where the last dimension has its first maximum, 0 elsewhere."""
    return torch.zeros_like(scores).scatter(-1, scores.argmax(-1, keepdim=True), 1.0)
