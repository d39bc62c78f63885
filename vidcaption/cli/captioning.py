"""How commands find and load their model, and caption with it."""

import functools
import gc
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from vidcaption.events import VERBOSE, event
from vidcaption.options import CaptionOptions, DeviceOptions, MachineOptions, VoiceOptions

if TYPE_CHECKING:
    from vidcaption.cli.bar import Bar
    from vidcaption.output.captions import Captions
    from vidcaption.pipeline import Captioner
    from vidcaption.video.workers import Workers

logger = logging.getLogger(__name__)


def resolve_with_bar(name: str | None, offline: bool, voice: VoiceOptions) -> Path:
    """The folder of a model, with a progress bar while it is fetched if ``voice`` wants one.

    Raises ModelError, OutputError.
    """
    from vidcaption.cli.console import make_bar
    from vidcaption.store import resolve

    bar = make_bar(voice)
    with bar or nullcontext():
        return resolve(name, offline=offline, watch=bar.begin if bar else None)


def load_captioners(
    folder: Path, machine: MachineOptions, devices: Sequence[str], workers: "Workers"
) -> "list[Captioner]":
    """The model on each of the devices. Raises ModelError, DeviceError."""
    # Only now, as it takes seconds: whatever can be wrong with the command was said before. No
    # garbage is made meanwhile, and looking for it would take a tenth of the time.
    gc.disable()
    from vidcaption.pipeline import Captioner

    gc.enable()
    if machine.engine == "openvino":
        from vidcaption.model.engine import cached, require

        require()
        if not cached(folder).exists():
            logger.info(
                "exporting the CNN to OpenVINO, once for this model and version",
                extra=event("export"),
            )
    captioners = [
        Captioner.from_pretrained(
            folder,
            device=device,
            precision=machine.precision,
            batch_size=machine.batch_size,
            threads=machine.threads,
            engine=machine.engine,
            video_decoder=machine.video_decoder,
            workers=workers,
        )
        for device in devices
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


def loader(
    model: str | None, offline: bool, machine: DeviceOptions, voice: VoiceOptions
) -> "Callable[[], Captioner]":
    """What loads the model when it is first called. Raises ModelError, DeviceError, OutputError."""

    @functools.cache
    def load() -> "Captioner":
        folder = resolve_with_bar(model, offline, voice)
        from vidcaption.pipeline import Captioner

        return Captioner.from_pretrained(
            folder, device=machine.device, precision=machine.precision, threads=machine.threads
        )

    return load


def caption(
    captioner: "Captioner", path: Path, options: CaptionOptions, bar: "Bar | None"
) -> "Captions":
    """All captions of a video, with its progress on the bar. Raises InputError."""
    with captioner.open(path, options) as captioning:
        if bar is not None:
            duration_s, start_s = captioning.info.duration_s, options.start_s
            bar.begin(f"{path.name}: captions", duration_s, lambda: captioning.progress_s - start_s)
        return captioning.finish()


def beside(found: Mapping[Path, Path], formats: tuple[str, ...]) -> dict[Path, dict[str, Path]]:
    """Where ``run`` writes captions of inputs in some formats, next to each."""
    from vidcaption.batch.ledger import of_others
    from vidcaption.output.naming import output_paths

    return output_paths(found, formats, is_of_another=of_others(found))
