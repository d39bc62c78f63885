"""Features of videos' frames, computed once for each picture."""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vidcaption.model.config import STEPS
from vidcaption.types import Frame

BLOCK = 8  # pixels per side of the blocks that are compared

Look = tuple[bytes, ...]  # of a window: the pixels of the picture used for each frame


class Looks:
    """The pictures of one video's frames: frames that are equal, or similar, share a picture.

    ``within``: levels by which pictures may differ and count as equal, see
    ``CaptionOptions.same_within``. ``standing``: the picture used for the last frame before an
    interruption. ``frames`` counts the frames.

    Pictures are similar if in no block the mean of any colour differs by more. A block averages out
    noise, but not a small moving object, as the whole picture would. NoScope (Kang et al., PVLDB
    10(11), 2017) detects differences before a network by squared errors, also by blocks, from a
    picture some time ago. Here pictures are compared with the last one that was not itself replaced
    by a similar one, so slow changes do not accumulate.
    """

    def __init__(self, within: float = 0.0, standing: bytes | None = None) -> None:
        self.frames = 0
        self.standing = standing
        self._within = within
        self._means: NDArray[np.float32] | None = None  # of that picture

    def look(self, frames: Iterable[Frame]) -> Look:
        """The pictures used for frames, which depend on the frames before."""
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
    """From pictures to features, with those of the last batch cached for the next.

    ``encoder``: (N, 3, S, S) uint8 RGB on ``device`` -> (N, R, C), ``at_once`` at most. ``side``:
    the S to which pictures of another size are brought. ``channels``: those that ``encoder`` sees.
    """

    def __init__(
        self,
        encoder: Callable[[Tensor], Tensor],
        device: torch.device,
        at_once: int = 8,
        side: int | None = None,
        channels: slice = slice(None),
    ) -> None:
        self._encoder, self._device, self._at_once = encoder, device, at_once
        self._side, self._channels = side, channels
        self._cuda = device.type == "cuda"  # only there copies can be asynchronous
        self._known: dict[bytes, Tensor] = {}

    def of(self, looks: Sequence[Look], keep: Iterable[Look] = ()) -> tuple[Tensor, list[int]]:
        """(B, T, R, C) of looks of T pictures each, and the number of pictures of each computed.

        They are cached until the next call, with those of the known pictures in ``keep``.
        """
        seen, new, computed = set(self._known), [], []
        for look in looks:
            unknown = [picture for picture in dict.fromkeys(look) if picture not in seen]
            seen.update(unknown)
            new += unknown
            computed.append(len(unknown))
        for start in range(0, len(new), self._at_once):
            part = new[start : start + self._at_once]
            self._known |= zip(
                part, self._encoder(resized(self._on_device(part), self._side)), strict=True
            )
        pictures = dict.fromkeys(chain.from_iterable((*looks, *keep)))
        rows = {
            picture: row for row, picture in enumerate(filter(self._known.__contains__, pictures))
        }
        kept = torch.stack([self._known[picture] for picture in rows])  # frees all others
        self._known = dict(zip(rows, kept, strict=True))
        index = torch.tensor([[rows[picture] for picture in look] for look in looks])
        return kept[index.to(self._device, non_blocking=self._cuda)], computed

    def _on_device(self, pictures: Sequence[bytes]) -> Tensor:
        """(N, C, S, S) uint8, copied asynchronously from pinned memory on CUDA."""
        # with optical flow it has more channels, and a half or sixth of a square is no square
        pixels = len(pictures[0]) // 3
        sides = {math.isqrt(pixels // parts): parts for parts in (1, 2, 1 + STEPS)}
        side = next(side for side, parts in sides.items() if side**2 * parts == pixels)
        images = [
            np.frombuffer(each, np.uint8).reshape(side, side, -1)[..., self._channels]
            for each in pictures
        ]
        shape = len(images), *images[0].shape
        both = torch.empty(shape, dtype=torch.uint8, pin_memory=self._cuda)
        np.stack(images, out=both.numpy())
        return both.to(self._device, non_blocking=self._cuda).permute(0, 3, 1, 2)


def resized(pictures: Tensor, side: int | None) -> Tensor:
    """(N, C, S, S) uint8 with S = ``side``, unless that is None."""
    if side is None or pictures.shape[-1] == side:
        return pictures
    scaled = F.interpolate(pictures.float(), (side, side), mode="bilinear", antialias=True)
    return scaled.round_().to(torch.uint8)


def _block_means(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The mean of each colour in each block, in levels of 255."""
    import cv2  # slow to import, and only needed for similar pictures

    height, width, _ = image.shape
    size = max(1, width // BLOCK), max(1, height // BLOCK)
    means = cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(means, np.float32)
