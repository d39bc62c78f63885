"""Captions of single videos, for commands that make something else of them."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vidcaption.cli.weights import resolve_with_bar
from vidcaption.options import CaptionOptions, DeviceOptions, VoiceOptions

if TYPE_CHECKING:
    from vidcaption.cli.bar import Bar
    from vidcaption.output.captions import Captions
    from vidcaption.pipeline import Captioner


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
