"""Stages for pipelines of Ray Data: read the windows of videos, and caption them."""

import logging
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vidcaption.errors import InputError
from vidcaption.options.batch import BatchOptions
from vidcaption.options.captioning import CaptionOptions
from vidcaption.types import Frame, Window
from vidcaption.video.protocol import Request
from vidcaption.video.workers import RemoteReader, Workers

if TYPE_CHECKING:
    from vidcaption.store.mixture import Name

logger = logging.getLogger(__name__)

Batch = dict[str, Any]  # columns as arrays of equal length, as Ray Data passes them
BATCH = 8  # windows in one block of rows, unless a window has more than PART_FRAMES frames


class ReadWindows:
    """From videos to their windows, for ``Dataset.map_batches``.

    A batch has a column ``path``. Yields batches with a row for each window: ``path``, ``start_s``,
    ``end_s`` in seconds, ``pts_s`` (T,) of its frames, and ``frames`` (T, H, W, 3) uint8 RGB in
    the size that the model takes, with more channels if the model sees optical flow. A video that
    cannot be read is logged as an error, and has no further rows.

    ``model``: as of ``Captioner.from_pretrained``. ``flags``: options by the names of their flags,
    as of ``Captioner.open``. Raises UsageError, ModelError.

    >>> videos.map_batches(ReadWindows, batch_size=1, concurrency=4).map_batches(
    ...     CaptionWindows, batch_size=8, concurrency=1, num_gpus=1
    ... )
    """

    def __init__(self, model: "Name | None" = None, **flags: Any) -> None:
        from vidcaption.model.manifest import read_config
        from vidcaption.store import resolve

        config = read_config(resolve(model))
        self._options = CaptionOptions().with_flags(flags).of_model(config.frames)
        self._size, self._flow = (config.input.image_size,) * 2, config.input.flow
        self._workers = Workers(1, BatchOptions.file_timeout_s)

    def __call__(self, batch: Batch) -> Iterator[Batch]:
        for path in map(str, batch["path"]):
            request = Request(Path(path), self._size, self._options, BATCH, flow=self._flow)
            try:
                with RemoteReader(self._workers, request) as reader:
                    while windows := reader.read():
                        yield from _columns(path, windows)
            except InputError as error:
                logger.error(str(error))


class CaptionWindows:
    """Captions windows, for ``Dataset.map_batches``: each of its processes loads the model once.

    A batch has the columns ``frames``, (T, H, W, 3) uint8 RGB for each window, and ``start_s`` and
    ``end_s`` if there are any. Returns the batch with ``text`` (empty if nothing is said),
    ``score`` and ``confidence`` (NaN without one), and without ``frames`` and ``pts_s``.

    ``model`` and ``machine``: arguments of ``Captioner.from_pretrained``; ``flags``: options as of
    ``Captioner.open``. On a GPU if Ray gives the process one. Raises UsageError, ModelError,
    DeviceError.
    """

    def __init__(
        self,
        model: "Name | None" = None,
        machine: dict[str, Any] | None = None,
        **flags: Any,
    ) -> None:
        from vidcaption.pipeline import Captioner

        self._options = CaptionOptions().with_flags(flags)
        self._captioner = Captioner.from_pretrained(model, isolate=False, **machine or {})

    def __call__(self, batch: Batch) -> Batch:
        frames = batch["frames"]
        zeros = np.zeros(len(frames))
        windows = [
            Window(float(start_s), float(end_s), tuple(Frame(0.0, image) for image in images))
            for start_s, end_s, images in zip(
                batch.get("start_s", zeros), batch.get("end_s", zeros), frames, strict=True
            )
        ]
        segments = self._captioner.caption_windows(windows, self._options)
        numbers = [
            (np.nan, np.nan)
            if each is None
            else (each.score, np.nan if each.confidence is None else each.confidence)
            for each in segments
        ]
        score, confidence = np.array(numbers, dtype=np.float64).reshape(-1, 2).T
        kept = {name: values for name, values in batch.items() if name not in ("frames", "pts_s")}
        text = np.array([each.text if each else "" for each in segments], dtype=object)
        return kept | {"text": text, "score": score, "confidence": confidence}


def _columns(path: str, windows: list[Window]) -> Iterator[Batch]:
    """Rows of windows; those with equal numbers of frames make one array."""
    for _, group in groupby(windows, lambda window: len(window.frames)):
        rows = list(group)
        yield {
            "path": np.array([path] * len(rows), dtype=object),
            "start_s": np.array([each.start_s for each in rows]),
            "end_s": np.array([each.end_s for each in rows]),
            "pts_s": np.array([[frame.pts_s for frame in each.frames] for each in rows]),
            "frames": np.stack([[frame.image for frame in each.frames] for each in rows]),
        }
