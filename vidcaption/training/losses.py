"""What training makes small."""

from torch import Tensor
from torch.nn import functional as F

from vidcaption.model.network import CaptionNetwork
from vidcaption.model.vocabulary import PAD


def cross_entropy(
    network: CaptionNetwork, features: Tensor, words: Tensor, smoothing: float
) -> Tensor:
    """Mean over words of the cross entropy of the next word, given the true ones before it.

    ``features``: (B, T, R, C); ``words``: (B, K, L) with ``<bos>`` and ``<eos>``, padded.
    """
    memory = network.remember(features)
    start = network.decoder.start(memory, words.shape[1])
    out, _, _ = network.decoder(words[..., :-1], memory, start)
    targets = words[..., 1:]
    real = targets != PAD  # the output layer is the costliest: spare it the padding
    logits = network.decoder.logits(out[real]).float()
    return F.cross_entropy(logits, targets[real], label_smoothing=smoothing)
