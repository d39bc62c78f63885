"""Reads existing subtitle files: SubRip and WebVTT."""

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import av
from av.error import FFmpegError
from av.subtitles.subtitle import AssSubtitle

from vidcaption.errors import InputError
from vidcaption.output.layout import Cue
from vidcaption.output.text import counted, milliseconds

logger = logging.getLogger(__name__)

FORMATS = {".srt": "srt", ".vtt": "webvtt"}  # FFmpeg's name of each

_STYLE = re.compile(r"\{\\[^}]*\}")


def read_cues(path: Path, video_end_s: float | None = None) -> list[Cue]:
    """The cues of a subtitle file, sorted by time and without styles, up to the video's end.

    An MP4 track shows one cue at a time: one that overlaps the next ends at its start, and those
    that start together are one. Cues that could not be seen are left out with a warning. Raises
    InputError, also if no cue is left.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path} is not a subtitle file of a known format: {', '.join(FORMATS)}")
    try:
        path.read_text(encoding="utf-8")
        found = sorted(_demuxed(path), key=lambda cue: (cue.start_ms, cue.end_ms))
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8; save it in that encoding") from error
    except FFmpegError:
        found = []
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if not found:
        what = "contains no cue that can be read" if path.stat().st_size else "is empty"
        raise InputError(f"{path} {what}; correct it, or name another file with --subtitles")
    last_ms = math.inf if video_end_s is None else milliseconds(video_end_s)
    inside = [cue for cue in found if cue.start_ms < last_ms]
    _warn(path, "after the end of the video", [cue for cue in found if cue.start_ms >= last_ms])
    _warn(path, "shown for no time", [cue for cue in inside if cue.start_ms >= cue.end_ms])
    shown: list[Cue] = []
    for cue in inside:
        if shown and shown[-1].start_ms == cue.start_ms < cue.end_ms:
            shown[-1] = replace(cue, lines=shown[-1].lines + cue.lines)
        elif cue.start_ms < cue.end_ms:
            shown.append(cue)
    if not shown:
        raise InputError(
            f"{path} has no cue that can be shown; correct it, or name another file with "
            "--subtitles"
        )
    next_ms = [*(cue.start_ms for cue in shown[1:]), math.inf]
    return [
        replace(cue, end_ms=int(min(cue.end_ms, following_ms, last_ms)))
        for cue, following_ms in zip(shown, next_ms, strict=True)
    ]


def _warn(path: Path, why: str, cues: Sequence[Cue]) -> None:
    """Say that cues are left out, if there are any."""
    if cues:
        logger.warning(
            f"{path}: left out {counted(len(cues), 'cue')} {why}, such as {cues[0].lines[0]!r} at "
            f"{cues[0].start_ms / 1000:g} s"
        )


def _demuxed(path: Path) -> list[Cue]:
    found = []
    name = FORMATS[path.suffix.lower()]
    options = {"protocol_whitelist": "file"}
    with av.open(f"file:{path}", format=name, container_options=options) as container:
        for packet in container.demux(container.streams.subtitles[0]):
            if packet.pts is None or packet.duration is None or packet.time_base is None:
                continue  # the one that ends the stream
            start, end = (
                max(0, round(1000 * ticks * packet.time_base))
                for ticks in (packet.pts, packet.pts + packet.duration)
            )
            for each in packet.decode():
                assert isinstance(each, AssSubtitle)
                text = _STYLE.sub("", each.dialogue.decode("utf-8"))
                if lines := tuple(line.strip() for line in text.splitlines() if line.strip()):
                    found.append(Cue(start, end, lines))
    return found
