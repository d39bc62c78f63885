"""``vidcaption mux``."""

import logging
import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from vidcaption.cli.console import closing_words
from vidcaption.cli.flags import Models, Offline, Videos, with_options
from vidcaption.cli.help import helped
from vidcaption.errors import InputError, UsageError
from vidcaption.options.captioning import CaptionOptions, DeviceOptions
from vidcaption.options.output import MuxOptions, VoiceOptions

if TYPE_CHECKING:
    from vidcaption.cli.bar import Bar
    from vidcaption.output.layout import Cue

logger = logging.getLogger(__name__)


@helped(
    """
    vidcaption mux talk.mp4                 write talk.captioned.mp4
    vidcaption mux talk.mp4 -o talk.mkv --subtitles talk.de.srt --language deu
    vidcaption mux talk.mp4 --burn          draw the captions
    """,
    first="output subtitles language burn window model device force",
)
@with_options
def mux(
    output: MuxOptions,
    options: CaptionOptions,
    machine: DeviceOptions,
    voice: VoiceOptions,
    inputs: Videos,
    model: Models = None,
    offline: Offline = False,
) -> int:
    """Put captions into copies of videos, as a subtitle track or drawn.

    Picture and sound are copied, unless --burn draws the captions. These are taken from the .srt
    or .vtt file beside a video, which may be edited; without one, the video is captioned first,
    with the options below.
    """
    from vidcaption.batch import beside, discover
    from vidcaption.cli.captioning import caption, loader, make_each, resolve_mixture
    from vidcaption.cli.console import interruptible, make_bar
    from vidcaption.output.layout import cues
    from vidcaption.output.mux import kind_of
    from vidcaption.output.subtitles import read_cues
    from vidcaption.output.write import check_some_writable
    from vidcaption.video.reader import probe

    def find_cues(video: Path) -> "list[Cue]":
        there = [path for path in (output.subtitles, *files[video].values()) if path]
        if (path := next(filter(os.path.isfile, there), None)) is not None:
            read = read_cues(path, probe(video).duration_s)
            logger.info(f"{video}: captions from {path}")
            return read
        captions = caption(load(), video, options, bar)
        made = list(cues(captions.shown, captions.video.duration_s))
        if not made:
            reason = "none reaches --min-confidence" if captions else "the model gave none"
            raise InputError(f"{video} has no captions; {reason}")
        return made

    def is_done(target: Path) -> bool:
        there = target.exists() and not output.force
        if there:
            logger.info(f"{target} exists and is kept; --force replaces it")
            if output.subtitles:
                read_cues(output.subtitles)  # whose errors are not to appear only with --force
        return there

    with closing_words(), interruptible():
        found = discover(inputs)
        targets = {video: output.output or _target(video) for video in found}
        # an output of an earlier command in the same folder
        videos = [video for video in found if video not in targets.values()]
        _check(output, list(found), targets)
        for target in targets.values():
            kind_of(target)
        check_some_writable(targets[video] for video in videos)
        load = loader(lambda: resolve_mixture(model, offline, voice), machine)
        files = beside(found, ("srt", "vtt"))
        pairs = ((video, targets[video]) for video in videos if not is_done(targets[video]))
        with make_bar(voice) or nullcontext() as bar:
            return make_each(
                pairs, lambda video, target: _write(video, find_cues(video), target, output, bar)
            )


def _target(video: Path) -> Path:
    from vidcaption.output.mux import KINDS

    suffix = video.suffix if video.suffix.lower() in KINDS else ".mkv"
    return video.with_name(f"{video.stem}.captioned{suffix}")


def _check(output: MuxOptions, videos: list[Path], targets: dict[Path, Path]) -> None:
    """Raises UsageError if the options do not fit the videos."""
    for flag, value in (("--output", output.output), ("--subtitles", output.subtitles)):
        if value is not None and len(videos) > 1:
            raise UsageError(
                f"{flag} is for one video, and there are {len(videos)}; omit it, or name one video"
            )
    if output.subtitles is not None and not output.subtitles.is_file():
        raise UsageError(f"--subtitles is {output.subtitles}, which does not exist")
    for video, target in targets.items():
        if os.path.realpath(video) == os.path.realpath(target):
            raise UsageError(f"--output is {target}, which is the input; choose another name")


def _write(
    video: Path, cues: "list[Cue]", target: Path, output: MuxOptions, bar: "Bar | None"
) -> None:
    from vidcaption.cli.console import positioned
    from vidcaption.output.burn import burn_subtitles
    from vidcaption.output.mux import add_subtitles
    from vidcaption.video.reader import probe

    duration_s = probe(video).duration_s if bar is not None else None
    watch = positioned(bar, f"{video.name} -> {target.name}", duration_s)
    if output.burn:
        burn_subtitles(video, cues, target, output.font, watch)
    else:
        add_subtitles(video, cues, target, output.language, watch)
