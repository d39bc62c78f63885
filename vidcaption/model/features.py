"""Features of a video's frames, computed once for each picture."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidcaption.types import Frame

_FRAMES_AT_ONCE = 8
BLOCK = 8  # pixels to a side of what must be alike in two pictures

Look = tuple[bytes, ...]  # of a window: the pixels of the picture that stands for each frame


class Features:
    """From frames to features: what was computed for the last batch is looked up in the next.

    ``encoder``: (N, 3, S, S) uint8 RGB on ``device`` -> (N, R, C). ``within``: levels by which
    pictures may differ and count as the same, as ``CaptionOptions.same_within`` has it. ``frames``
    counts those that were looked at so far, and ``encoded`` those that the CNN had to see.

    A picture is near another one if in no block of it the mean of any colour differs by more. Noise
    is averaged away in a block, and a small thing that moves is not, as it would be in the whole.
    Detectors of differences before a network are NoScope's (Kang et al., PVLDB 10(11), 2017), which
    compares squared errors, also by blocks, with a picture some time ago. Here it is the last one
    that stands for itself, never one that is only near it: so slow changes do not add up.
    """

    def __init__(
        self, encoder: Callable[[Tensor], Tensor], device: torch.device, within: float = 0.0
    ) -> None:
        self.frames = self.encoded = 0
        self._encoder, self._device, self._within = encoder, device, within
        self._cuda = device.type == "cuda"  # which alone copies safely while we go on
        self._latest: tuple[bytes, NDArray[np.float32]] | None = None  # stands for itself
        self._seen: dict[bytes, NDArray[np.uint8]] = {}  # since features were last asked for
        self._known: dict[bytes, Tensor] = {}

    def look(self, frames: Iterable[Frame]) -> Look:
        """The pictures that stand for frames: those that are equal, or near, share one.

        What is near depends on the frames before, however they are divided among calls.
        """
        pictures = []
        for frame in frames:
            picture = self._stand_in(frame.image) if self._within else frame.image.tobytes()
            self._seen.setdefault(picture, frame.image)
            pictures.append(picture)
        self.frames += len(pictures)
        return tuple(pictures)

    def of(self, looks: Sequence[Look]) -> Tensor:
        """(B, T, R, C) of looks of T pictures each. All that was looked at since the last call is
        computed as well, and kept until the next one."""
        new = iter([picture for picture in self._seen if picture not in self._known])
        while part := list(islice(new, _FRAMES_AT_ONCE)):
            images = self._on_device([self._seen[picture] for picture in part])
            self._known |= zip(part, self._encoder(images), strict=True)
            self.encoded += len(part)
        rows = {picture: row for row, picture in enumerate(self._seen)}
        kept = torch.stack([self._known[picture] for picture in rows])  # frees all others
        self._known = dict(zip(rows, kept, strict=True))
        self._seen.clear()
        index = torch.tensor([[rows[picture] for picture in look] for look in looks])
        return kept[index.to(self._device, non_blocking=self._cuda)]

    def _on_device(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """(N, 3, S, S) uint8. CUDA fetches them from pinned memory, and nobody waits for that."""
        shape = len(images), *images[0].shape
        both = torch.empty(shape, dtype=torch.uint8, pin_memory=self._cuda)
        np.stack(images, out=both.numpy())
        return both.to(self._device, non_blocking=self._cuda).permute(0, 3, 1, 2)

    def _stand_in(self, image: NDArray[np.uint8]) -> bytes:
        means = _block_means(image)
        if self._latest is None or np.abs(means - self._latest[1]).max() > self._within:
            self._latest = image.tobytes(), means
        return self._latest[0]


def _block_means(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The mean of each colour in each block, in levels of 255."""
    import cv2  # takes a while, and only those who let pictures differ need it

    height, width, _ = image.shape
    size = max(1, width // BLOCK), max(1, height // BLOCK)
    means = cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(means, np.float32)
