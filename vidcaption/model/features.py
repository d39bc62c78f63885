"""Features of videos' frames, computed once for each picture."""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidcaption.types import Frame

BLOCK = 8  # pixels to a side of what must be alike in two pictures

Look = tuple[bytes, ...]  # of a window: the pixels of the picture that stands for each frame


class Looks:
    """What the frames of one video look like: those that are equal, or near, share a picture.

    ``within``: levels by which pictures may differ and count as the same, as
    ``CaptionOptions.same_within`` has it. ``standing``: the picture that stood for the last frame,
    where an earlier run was interrupted. ``frames`` counts those that were looked at.

    A picture is near another one if in no block of it the mean of any colour differs by more. Noise
    is averaged away in a block, and a small thing that moves is not, as it would be in the whole.
    Detectors of differences before a network are NoScope's (Kang et al., PVLDB 10(11), 2017), which
    compares squared errors, also by blocks, with a picture some time ago. Here it is the last one
    that stands for itself, never one that is only near it: so slow changes do not add up.
    """

    def __init__(self, within: float = 0.0, standing: bytes | None = None) -> None:
        self.frames = 0
        self.standing = standing
        self._within = within
        self._means: NDArray[np.float32] | None = None  # of the standing picture

    def look(self, frames: Iterable[Frame]) -> Look:
        """The pictures that stand for frames, which depend on the frames before."""
        look = tuple(
            self._stand_in(frame.image) if self._within else frame.image.tobytes()
            for frame in frames
        )
        self.frames += len(look)
        return look

    def _stand_in(self, image: NDArray[np.uint8]) -> bytes:
        means = _block_means(image)
        if self.standing is not None and self._means is None and len(self.standing) == image.size:
            before = np.frombuffer(self.standing, np.uint8).reshape(image.shape)
            self._means = _block_means(before)
        near = self._means is not None and np.abs(means - self._means).max() <= self._within
        if self.standing is None or not near:
            self.standing, self._means = image.tobytes(), means
        return self.standing


class Features:
    """From looks to features: what was computed for the last batch is looked up in the next.

    ``encoder``: (N, 3, S, S) uint8 RGB on ``device`` -> (N, R, C), ``at_once`` at most.
    """

    def __init__(
        self, encoder: Callable[[Tensor], Tensor], device: torch.device, at_once: int = 8
    ) -> None:
        self._encoder, self._device, self._at_once = encoder, device, at_once
        self._cuda = device.type == "cuda"  # which alone copies safely while we go on
        self._known: dict[bytes, Tensor] = {}

    def of(self, looks: Sequence[Look], keep: Iterable[Look] = ()) -> tuple[Tensor, list[int]]:
        """(B, T, R, C) of looks of T pictures each, and how many pictures of each were computed.

        They are kept until the next call, as are those of the pictures in ``keep`` that are known.
        """
        seen, new, computed = set(self._known), [], []
        for look in looks:
            unknown = [picture for picture in dict.fromkeys(look) if picture not in seen]
            seen.update(unknown)
            new += unknown
            computed.append(len(unknown))
        for start in range(0, len(new), self._at_once):
            part = new[start : start + self._at_once]
            self._known |= zip(part, self._encoder(self._on_device(part)), strict=True)
        pictures = dict.fromkeys(chain.from_iterable((*looks, *keep)))
        rows = {
            picture: row for row, picture in enumerate(filter(self._known.__contains__, pictures))
        }
        kept = torch.stack([self._known[picture] for picture in rows])  # frees all others
        self._known = dict(zip(rows, kept, strict=True))
        index = torch.tensor([[rows[picture] for picture in look] for look in looks])
        return kept[index.to(self._device, non_blocking=self._cuda)], computed

    def _on_device(self, pictures: Sequence[bytes]) -> Tensor:
        """(N, 3, S, S) uint8. CUDA fetches them from pinned memory, and nobody waits for that."""
        side = math.isqrt(len(pictures[0]) // 3)
        shape = len(pictures), side, side, 3
        both = torch.empty(shape, dtype=torch.uint8, pin_memory=self._cuda)
        images = [np.frombuffer(each, np.uint8).reshape(shape[1:]) for each in pictures]
        np.stack(images, out=both.numpy())
        return both.to(self._device, non_blocking=self._cuda).permute(0, 3, 1, 2)


def _block_means(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The mean of each colour in each block, in levels of 255."""
    import cv2  # takes a while, and only those who let pictures differ need it

    height, width, _ = image.shape
    size = max(1, width // BLOCK), max(1, height // BLOCK)
    means = cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(means, np.float32)
