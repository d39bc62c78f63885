"""Which objects a frame shows, by a CNN that learned to detect them.

It is the trunk of an SSD detector with MobileNetV2 (Sandler et al. 2018, section 6.2). A detector
has been taught where small objects are, which captions do not say, so it sees what the captioner's
own CNN misses. Here it gives no boxes: its maps of strides 16 and 32 go through one hidden layer,
and the scores of their regions are pooled as the content classifier's are.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidcaption.model.concepts import pool
from vidcaption.model.mobilenet import mobilenet_v2

CHANNELS = 1280 + 576  # of the maps of strides 32 and 16
HIDDEN = 512
_TAPPED = 14  # the block whose widened input is SSD's map of stride 16
LEAST = 1e-4  # what is as good as no probability


class ObjectDetector(nn.Module):
    """O objects in single frames, and what their scores change in the classifier's.

    The log-odds of the classifier, with those found here, are combined linearly, by ``mix``: what
    each counts for, and an offset.
    """

    def __init__(self, objects: int) -> None:
        super().__init__()
        layers: list[Any] = list(mobilenet_v2(same=True))
        widen, *narrow = layers[_TAPPED].conv.children()  # with stride 2 it adds nothing
        self.trunk = nn.Sequential(
            nn.Sequential(*layers[:_TAPPED], widen),
            nn.Sequential(*narrow, *layers[_TAPPED + 1 :]),
        )
        self.hidden = nn.Linear(CHANNELS, HIDDEN)
        self.out = nn.Linear(HIDDEN, objects)
        self.where = nn.Linear(HIDDEN, objects)
        self.mix = nn.Parameter(torch.tensor([0.5, 0.5, 0.0]))

    def forward(self, images: Tensor) -> Tensor:
        """``images``: (N, 3, S, S) uint8 RGB -> logits (N, O)."""
        return self.tell(self.regions(images))

    def regions(self, images: Tensor) -> Tensor:
        """``images``: (N, 3, S, S) uint8 RGB -> what the trunk sees, (N, R, C)."""
        pixels = images.to(memory_format=torch.channels_last, dtype=torch.float32)
        near = self.trunk[0](pixels.div_(127.5).sub_(1))
        last = self.trunk[1](near)
        near = F.adaptive_max_pool2d(near.float(), last.shape[-2:])
        return torch.cat([last.float(), near], 1).flatten(2).transpose(1, 2)

    def tell(self, regions: Tensor, dropout: float = 0.0) -> Tensor:
        """(N, R, C) -> logits (N, O); ``dropout``: the share of hidden units to drop."""
        hidden = F.dropout(torch.relu(self.hidden(regions)), dropout)
        return pool(self.out(hidden), self.where(hidden))

    def combine(self, probabilities: Tensor, found: Tensor) -> Tensor:
        """Probabilities of objects by both. ``probabilities``: (..., B, O) of the
        classifier; ``found``: (B, O) logits."""
        own = torch.logit(probabilities.clamp(LEAST, 1 - LEAST))
        mixed: Tensor = (self.mix[0] * own + self.mix[1] * found + self.mix[2]).sigmoid()
        return mixed
