"""How commands find and load their model, and caption with it."""

import functools
import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from vidcaption.options import CaptionOptions, DeviceOptions, VoiceOptions

if TYPE_CHECKING:
    from vidcaption.cli.bar import Bar
    from vidcaption.output.captions import Captions
    from vidcaption.pipeline import Captioner

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
