"""The model of a run, loaded once on each device."""

import gc
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from vidcaption.events import VERBOSE, event
from vidcaption.options.batch import BatchOptions
from vidcaption.options.captioning import MachineOptions
from vidcaption.store.mixture import Mixture, folders
from vidcaption.video.protocol import Pool
from vidcaption.video.workers import Workers, suitable

if TYPE_CHECKING:
    from vidcaption.pipeline import Captioner

logger = logging.getLogger(__name__)


class Captioners:
    """Loads the model in a folder, or those in several to mix, once on each device, when it is
    first called.

    It can be pickled, and then loads the model where it is called. Use it in a ``with`` block;
    otherwise its processes end when it is garbage collected.
    """

    def __init__(self, model: Path | Mixture, machine: MachineOptions, batch: BatchOptions) -> None:
        self._model, self._machine, self._batch = model, machine, batch
        self._pool: Pool | None = None
        self._loaded: list[Captioner] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._workers.end()

    def share(self, pool: Pool, threads: int) -> None:
        """Read in this pool, in place of processes of its own, and leave the other CPUs to others.

        Call it before the model is loaded. ``threads``: of the CPU, unless the options set them.
        """
        self._pool = pool
        self._machine = replace(self._machine, threads=self._machine.threads or threads)

    def __getstate__(self) -> dict[str, Any]:
        state = vars(self) | {"_loaded": [], "_pool": None}
        state.pop("_workers", None)
        return state

    def __call__(self) -> "Sequence[Captioner]":
        """The same captioners each time. Raises ModelError, DeviceError, SetupError."""
        if not self._loaded:
            if self._pool is None:
                self._workers.warm_up()  # one is ready to read when the model is loaded
            self._loaded = self._load()
        return self._loaded

    @property
    def _devices(self) -> list[str]:
        return self._machine.device.split(",")

    @cached_property
    def _workers(self) -> Workers:
        number = max(self._batch.worker_count or suitable(), len(self._devices))
        return Workers(number, self._batch.file_timeout_s)

    def _load(self) -> "list[Captioner]":
        # Only now, as it takes seconds: errors of the command were reported before. Importing
        # makes no garbage, and collecting it would take a tenth of the time.
        gc.disable()
        from vidcaption.pipeline import Captioner

        gc.enable()
        machine = self._machine
        if machine.engine == "openvino":
            from vidcaption.model.engine import cached, require

            require()
            if not all(cached(folder).exists() for folder, _ in folders(self._model)):
                logger.info(
                    "exporting the CNN to OpenVINO, once for this model and version",
                    extra=event("export"),
                )
        captioners = [
            Captioner.from_pretrained(
                self._model,
                device=device,
                precision=machine.precision,
                batch_size=machine.batch_size,
                threads=machine.threads,
                engine=machine.engine,
                video_decoder=machine.video_decoder,
                workers=self._pool or self._workers,
            )
            for device in self._devices
        ]
        name, sha256 = captioners[0].model.name, captioners[0].model.sha256
        facts = event("model", name=name, sha256=sha256)
        logger.log(VERBOSE, f"model {name}, sha256 {sha256}", extra=facts)
        for captioner in captioners:
            captioner.machine.keep_freed_memory()
            device, precision = str(captioner.machine.device), str(captioner.machine.precision)
            facts = event("device", device=device, precision=precision)
            logger.log(VERBOSE, f"on {device}, {precision}", extra=facts)
        return captioners
