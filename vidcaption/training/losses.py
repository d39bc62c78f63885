"""Losses of training."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from vidcaption.model.attention import Memory
from vidcaption.model.decoder import Decoder, Step
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.search import draw, sample
from vidcaption.model.vocabulary import BOS, EOS, PAD

TEMPERATURE = 0.07  # of similarities in the joint space
MARGIN = 1.0  # of an alignment's score


class Term(NamedTuple):
    """A term of the loss: the sum over ``words`` words, and the weight of their mean."""

    total: Tensor
    words: int
    weight: float = 1.0


def cross_entropy(
    decoder: Decoder,
    memory: Memory,
    words: Tensor,
    *,
    smoothing: float = 0.0,
    own_words: float = 0.0,
    evenly: float = 0.0,
) -> Term:
    """The cross entropy of the next word, given the true ones before it.

    ``words``: (B, K, L) from ``<bos>`` on, padded. ``own_words``: share of the words before it that
    the network draws instead, knowing the true ones (scheduled sampling, Bengio et al. 2015, in the
    two passes of Duckworth et al. 2019). ``evenly``: weight of the doubly stochastic regularisation
    (Xu et al. 2015, equation 14), by which each slot gets as much attention over all words. An
    attention that draws is rewarded for what helped.
    """
    known = _mix(decoder, memory, words, own_words) if own_words else words
    step, logits, targets = _logits(decoder, memory, known, words)
    total = F.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="sum")
    real = words[..., 1:] != PAD
    if evenly:
        attention = (step.attention.float() * real.unsqueeze(-1)).sum(2)  # (B, K, M)
        total = total + evenly * (1 - attention).square().sum()
    if step.draw:
        own = -F.cross_entropy(logits.detach(), targets, reduction="none")
        likely = own.new_zeros(real.shape).masked_scatter(real, own).sum(-1)
        total = total + decoder.attention.reinforce(step.draw, likely, real)
    return Term(total, len(targets))


def classification(
    network: CaptionNetwork, features: Tensor, targets: Tensor, known: Tensor
) -> Term:
    """The binary cross entropy of concepts, summed over those that are known.

    ``features``: (B, T, R, C); ``targets``: (B, N) in [0, 1]; ``known``: (B, N), 1 or 0.
    """
    assert network.classifier is not None
    logits = network.classifier(features).float()  # (B, T, N)
    # the logarithm of the mean over frames, whose gradient does not vanish
    yes, no = (F.logsigmoid(x).logsumexp(1) - math.log(x.shape[1]) for x in (logits, -logits))
    losses = -(targets * yes + (1 - targets) * no)
    return Term((losses * known).sum(), len(targets))


def match(similar: Tensor) -> Tensor:
    """How well windows tell their sentence from those of the others, and sentences their window:
    the mean of both cross entropies (InfoNCE, van den Oord et al. 2018, as in CLIP, Radford et al.
    2021), added up.

    ``similar``: (B, B), the cosines of windows and sentences, of which those in the same place
    belong together.
    """
    own = torch.arange(len(similar), device=similar.device)
    logits = similar / TEMPERATURE
    both = [F.cross_entropy(x, own, reduction="sum") for x in (logits, logits.T)]
    return torch.stack(both).mean()


def rank(similar: Tensor) -> Tensor:
    """How far other sentences of a window, and other windows of a sentence, are from a score that
    is ``MARGIN`` below that of its own (Karpathy and Fei-Fei 2015, equation 9), added up.

    ``similar``: (B, B), the scores of windows and sentences, of which those in the same place
    belong together.
    """
    own = similar.diagonal()
    others = ~torch.eye(len(similar), dtype=torch.bool, device=similar.device)
    both = [F.relu(x - own.unsqueeze(1) + MARGIN)[others].sum() for x in (similar, similar.T)]
    return torch.stack(both).sum()


@torch.no_grad()
def _mix(decoder: Decoder, memory: Memory, words: Tensor, share: float) -> Tensor:
    """``words`` with a ``share`` of them drawn by the network from those before."""
    step = decoder(words[..., :-1], memory, decoder.start(memory, words.shape[1]))
    own = draw(decoder.logits(step.hidden).float().softmax(-1))
    true = words[..., 1:]
    swapped = (torch.rand(true.shape, device=true.device) < share) & (true != PAD) & (true != EOS)
    return torch.cat([words[..., :1], torch.where(swapped, own, true)], -1)


def self_critical(
    decoder: Decoder,
    memory: Memory,
    reward: Callable[[int, Sequence[int]], float],
    captions: int,
    most_words: int,
    temperature: float,
) -> Term:
    """REINFORCE on sampled captions (Rennie et al. 2017, eq. 7); see ``reinforce``.

    ``reward``: of a row's caption, ids up to ``<eos>``. Label smoothing leaves each word a chance
    of some percent to be any other; with a ``temperature`` below 1 the samples are sentences again.
    """
    words = sample(decoder, memory, captions, most_words, temperature)  # (B, K, L)
    rewards = torch.tensor(
        [
            [reward(row, [i for i in said if i not in (BOS, PAD)]) for said in several]
            for row, several in enumerate(words.tolist())
        ]
    )
    return reinforce(decoder, memory, words, rewards.to(words.device), temperature)


def reinforce(
    decoder: Decoder, memory: Memory, words: Tensor, rewards: Tensor, temperature: float
) -> Term:
    """The loss that makes captions the likelier, the higher their reward is.

    ``words``: (B, K, L) sampled from ``memory``, from ``<bos>`` on, padded; ``rewards``: (B, K).
    The baseline of each is the mean reward of the others (Luo 2020), so there must be at least two.
    ``temperature``: of the policy, by which logits are divided.
    """
    captions = words.shape[1]
    advantage = (rewards - rewards.mean(1, keepdim=True)) * captions / (captions - 1)
    _, logits, targets = _logits(decoder, memory, words, words)
    spread = advantage.unsqueeze(-1).expand(-1, -1, words.shape[-1] - 1)
    losses = F.cross_entropy(logits / temperature, targets, reduction="none")
    return Term((losses * spread[words[..., 1:] != PAD]).sum(), len(targets))


def _logits(
    decoder: Decoder, memory: Memory, known: Tensor, words: Tensor
) -> tuple[Step, Tensor, Tensor]:
    """The decoder's step; (N, V) logits and (N,) ids of all N ``words`` after ``<bos>`` that are
    not padding.

    ``known``: what the decoder reads, (B, K, L) as ``words``.
    """
    step = decoder(known[..., :-1], memory, decoder.start(memory, words.shape[1]))
    targets = words[..., 1:]
    real = targets != PAD  # the output layer is the costliest: spare it the padding
    return step, decoder.logits(step.hidden[real]).float(), targets[real]
