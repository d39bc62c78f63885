"""Region vectors of a frozen CNN, computed once and kept on disk.

One safetensors shard per ``SHARD`` samples; the folder's name carries a fingerprint of backbone,
weights, preprocessing and frames, so that features of another CNN are never mixed in. A run that
was cut short goes on at the first missing shard.
"""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vidcaption.datasets.samples import Sample, load_frames
from vidcaption.errors import OutputError
from vidcaption.model.encoder import Encoder

SHARD = 500
_BATCH = 16


def fingerprint(encoder: Encoder, samples: Sequence[Sample], frames: int) -> str:
    """Changes with the CNN, its weights, its input, and the samples."""
    config = encoder.config
    looks = (config.backbone, config.image_size, config.mean, config.std, config.grid, frames)
    digest = hashlib.sha256(repr(looks).encode())
    for name, tensor in encoder.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().float().numpy().tobytes())
    for sample in samples:
        source = (sample.stills, sample.video, sample.start_s, sample.end_s)
        digest.update(f"{sample.id}\0{source}\n".encode())
    return digest.hexdigest()[:16]


class FeatureCache:
    """Features of each sample: (F, R, C) fp16, F being 1 for an image and at most ``frames``."""

    def __init__(
        self, folder: Path, encoder: Encoder, samples: Sequence[Sample], frames: int
    ) -> None:
        self.folder = folder / fingerprint(encoder, samples, frames)
        self._samples = samples
        self._frames = frames
        self._open: dict[int, safe_open] = {}

    def fill(self, encoder: Encoder, progress: Progress) -> None:
        """Compute what is missing. Raises InputError for an unreadable sample, OutputError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        parts = [self._samples[i : i + SHARD] for i in range(0, len(self._samples), SHARD)]
        task = progress.add_task("features", total=len(self._samples))
        for number, part in enumerate(parts):
            path = self._path(number)
            if not path.exists():
                self._write(path, dict(self._encode(encoder, part)))
            progress.advance(task, len(part))

    @staticmethod
    def _write(path: Path, features: dict[str, Tensor]) -> None:
        partial = path.with_suffix(".part")
        try:
            save_file(features, partial)
            partial.replace(path)
        except (OSError, SafetensorError) as error:
            partial.unlink(missing_ok=True)
            raise OutputError(f"cannot write {path}: {error}") from error

    @torch.inference_mode()
    def _encode(self, encoder: Encoder, part: Sequence[Sample]) -> Iterator[tuple[str, Tensor]]:
        size, device = encoder.config.image_size, encoder.mean.device
        with ThreadPoolExecutor(2) as pool:
            loaded = list(pool.map(lambda s: load_frames(s, self._frames, size), part))
        frames = [torch.from_numpy(frame) for stills in loaded for frame in stills]
        rows: list[Tensor] = []
        for i in range(0, len(frames), _BATCH):
            batch = torch.stack(frames[i : i + _BATCH]).permute(0, 3, 1, 2).to(device)
            rows += encoder(batch).half().cpu()
        at = 0
        for number, stills in enumerate(loaded):
            yield str(number), torch.stack(rows[at : at + len(stills)])
            at += len(stills)

    def __getitem__(self, index: int) -> Tensor:
        number = index // SHARD
        if number not in self._open:
            self._open[number] = safe_open(self._path(number), "pt")
        tensor: Tensor = self._open[number].get_tensor(str(index % SHARD))
        return tensor

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": {}}  # a worker process opens files of its own

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.safetensors"
