"""Region vectors of a frozen CNN, computed once and cached on disk for any number of trainings.

Each CNN has its own folder, named by a fingerprint of backbone, weights, input and frames, so that
features of different CNNs are never mixed; ``features.json`` there describes it. Its safetensors
shards hold a tensor for each sample, named by a key of its files. So a cache serves any dataset and
split, only new features are computed, and an interrupted run continues after its last shard.
"""

import json
import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from vidcaption.datasets.samples import Clip, Sample, load_frames
from vidcaption.errors import InputError, OutputError
from vidcaption.model.device import Machine
from vidcaption.model.encoder import Encoder
from vidcaption.output.text import counted
from vidcaption.output.write import sweep, write_atomic
from vidcaption.types import Flow, Watch

logger = logging.getLogger(__name__)

ABOUT = "features.json"
SCHEMA = 2  # changes with the computation for the same CNN and files
SHARD = 512  # frames: the most that a killed run loses
READERS = 2
_BATCH = 16


class FeatureCache:
    """Features of each sample: (F, R, C) fp16, F being 1 for an image and at most ``frames``.

    ``folder``: of the caches of all CNNs; ``self.folder`` is that of this one. Raises InputError
    for a sample whose file is missing.
    """

    def __init__(
        self,
        folder: Path,
        encoder: Encoder,
        samples: Sequence[Sample],
        frames: int,
        machine: Machine,
    ) -> None:
        self.machine = machine
        self.about = _describe(encoder, frames) | {"precision": machine.precision}
        self.folder = folder / sha256(json.dumps(self.about).encode()).hexdigest()[:16]
        self._keys = [_key(sample) for sample in samples]
        self._samples = dict(zip(self._keys, samples, strict=True))
        self._shards: dict[str, Path] = {}
        self._open: dict[Path, safe_open] = {}

    def fill(self, encoder: Encoder, watch: Watch | None = None, workers: int = READERS) -> int:
        """Compute missing features, and log it; returns the number of samples computed here.

        Processes that fill a cache at the same time share the work, shard by shard, and none waits
        for another longer than a shard takes. ``workers``: threads that read frames ahead of the
        CNN; they do not change the result. Raises InputError for an unreadable sample, and
        OutputError; finished shards are kept.
        """
        if not (missing := self._find_missing()):
            return 0
        write_atomic(self.folder / ABOUT, json.dumps(self.about, indent=2) + "\n")
        sweep(self.folder)
        logger.info(self._announce(len(missing)))
        done = 0

        def advance(count: int = 1) -> None:
            nonlocal done
            done += count

        if watch:
            watch("features", len(missing), lambda: done)
        shards = {self._path(keys): keys for keys in _cut(missing, self.about["frames"])}
        computed = 0
        for wait in (False, True):  # at the end, wait for shards of other processes
            for path, keys in list(shards.items()):
                with _claim(path, wait) as claimed:
                    if not claimed:
                        continue
                    if self._index(path):
                        advance(len(keys))
                    else:
                        self._compute(encoder, path, keys, workers, advance)
                        computed += len(keys)
                del shards[path]
        return computed

    def _find_missing(self) -> dict[str, Sample]:
        """Samples in no shard. Broken shards are ignored, and so computed again."""
        for path in self.folder.glob("*.safetensors"):
            self._index(path)
        return {key: each for key, each in self._samples.items() if key not in self._shards}

    def _index(self, path: Path) -> bool:
        """Note which samples a shard holds. False if there is no such file, or it is broken."""
        with suppress(SafetensorError, OSError), safe_open(path, "pt") as file:
            self._shards |= dict.fromkeys(file.keys(), path)
            return True
        return False

    def _path(self, keys: Sequence[str]) -> Path:
        name = sha256("".join(keys).encode()).hexdigest()[:16]
        return self.folder / f"{name}.safetensors"

    def _announce(self, missing: int) -> str:
        what = f"computing the features of {counted(missing, 'sample')}, kept in {self.folder}"
        return what + ("" if self._shards else self._unlike())

    def _unlike(self) -> str:
        """Why the most similar cache does not fit; empty if there is none."""
        reasons = []
        for path in sorted(self.folder.parent.glob(f"*/{ABOUT}")):
            with suppress(OSError, ValueError, AttributeError):  # broken ones are skipped
                other = json.loads(path.read_text(encoding="utf-8"))
                unlike = [name for name, own in self.about.items() if other.get(name) != own]
                named = [f"{name} {other.get(name)}, not {self.about[name]}" for name in unlike]
                if unlike and unlike[-1] == "weights_sha256":
                    named[-1] = "other weights"
                if unlike:
                    reasons.append((len(unlike), f"; {path.parent} has {' and '.join(named)}"))
        return min(reasons)[1] if reasons else ""

    def _compute(
        self,
        encoder: Encoder,
        path: Path,
        keys: Sequence[str],
        workers: int,
        advance: Callable[[], None],
    ) -> None:
        samples = [self._samples[key] for key in keys]
        frames, seen = self.about["frames"], encoder.config
        with closing(_read_ahead(samples, frames, seen.image_size, workers, seen.flow)) as clips:
            features = _encode(encoder, clips, self.machine, advance)
        write_atomic(path, to_safetensors(dict(zip(keys, features, strict=True))))
        self._shards |= dict.fromkeys(keys, path)

    def __getitem__(self, index: int) -> Tensor:
        key = self._keys[index]
        path = self._shards[key]
        if path not in self._open:
            self._open[path] = safe_open(path, "pt")
        tensor: Tensor = self._open[path].get_tensor(key)
        return tensor

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": {}}  # a worker process opens its own files


@contextmanager
def _claim(shard: Path, wait: bool) -> Iterator[bool]:
    """Whether this process alone may write ``shard``; optionally wait for another one.

    The lock of a process ends with it.
    """
    path = shard.with_suffix(".lock")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        yield False
        return
    except OSError as error:
        raise OutputError(f"{path} cannot be locked: {error.strerror}") from error
    try:
        yield True
    finally:
        lock.release()
        # processes that have it open, or create it again, find the finished shard
        with suppress(OSError):
            path.unlink()


def _describe(encoder: Encoder, frames: int) -> dict[str, Any]:
    """Everything that determines the features of a file. Lists, as JSON has no tuples."""
    config = encoder.config
    digest = sha256()
    for name, tensor in encoder.state_dict().items():
        # in fp16, as in a model folder, and without the sign of zero, which averaging drops: a
        # model and the weights it was trained from share features
        digest.update(name.encode() + (tensor.detach().cpu().half() + 0.0).numpy().tobytes())
    return {
        "schema": SCHEMA,
        "backbone": config.backbone,
        "image_size": config.image_size,
        "mean": list(config.mean),
        "std": list(config.std),
        "grid": config.grid,
        "frames": frames,
        **({"pyramid": config.pyramid} if config.pyramid > 1 else {}),
        **({"crops": config.crops} if config.crops > 1 else {}),
        **({"flow": [config.flow_gap_s, config.flow_method]} if config.flow else {}),
        **({"tracks": config.tracks, "input": config.kind} if config.tracks else {}),
        "weights_sha256": digest.hexdigest(),
    }


def _key(sample: Sample) -> str:
    """The key of a sample: of its files and its part; changes when they are changed or moved."""
    digest = sha256(repr((float(sample.start_s), sample.end_s)).encode())
    for path in (sample.video,) if sample.video else sample.stills:
        try:
            found = path.stat()
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
        digest.update(os.fsencode(os.path.realpath(path)))
        digest.update(f"\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]


def _most(sample: Sample, frames: int) -> int:
    return frames if sample.video else min(frames, len(sample.stills))


def _cut(samples: Mapping[str, Sample], frames: int) -> Iterator[list[str]]:
    """The keys of each shard in turn, with at least ``SHARD`` frames."""
    keys: list[str] = []
    held = 0
    for key, sample in samples.items():
        keys.append(key)
        held += _most(sample, frames)
        if held >= SHARD:
            yield keys
            keys, held = [], 0
    if keys:
        yield keys


def _read_ahead(
    samples: Iterable[Sample], frames: int, size: int, workers: int, flow: Flow | None = None
) -> Generator[list[Clip], None, None]:
    """The frames of each sample in order, read by threads while the CNN runs.

    At most two batches, or a sample per thread, are waiting: memory does not grow with the dataset.
    """
    room = max(2 * _BATCH, workers * frames)
    waiting: deque[tuple[int, Future[list[Clip]]]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        held = 0
        for sample in samples:
            count = _most(sample, frames)
            while waiting and held + count > room:
                first, future = waiting.popleft()
                held -= first
                yield future.result()
            waiting.append((count, pool.submit(load_frames, sample, frames, size, flow)))
            held += count
        while waiting:
            yield waiting.popleft()[1].result()
    finally:
        pool.shutdown(cancel_futures=True)


@torch.inference_mode()
def _encode(
    encoder: Encoder,
    clips: Iterable[list[Clip]],
    machine: Machine,
    advance: Callable[[], None],
) -> list[Tensor]:
    """(F, R, C) fp16 on the CPU for each clip, from batches across clips."""
    counts: list[int] = []
    waiting: list[Tensor] = []
    rows: list[Tensor] = []

    def run() -> None:
        pictures = torch.stack(waiting[:_BATCH]).permute(0, 3, 1, 2)
        batch = pictures[:, encoder.config.channels].to(machine.device)
        with machine.autocast():
            rows.extend(encoder(batch).half().cpu())
        del waiting[:_BATCH]

    for clip in clips:
        counts.append(len(clip))
        waiting += map(torch.from_numpy, clip)
        while len(waiting) >= _BATCH:
            run()
        advance()
    if waiting:
        run()
    each = iter(rows)
    return [torch.stack(list(islice(each, count))) for count in counts]
