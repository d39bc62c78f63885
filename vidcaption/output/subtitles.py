"""Reads existing subtitle files: SubRip and WebVTT."""

import re
from itertools import pairwise
from pathlib import Path

import av
from av.error import FFmpegError
from av.subtitles.subtitle import AssSubtitle

from vidcaption.errors import InputError
from vidcaption.output.layout import Cue

FORMATS = {".srt": "srt", ".vtt": "webvtt"}  # FFmpeg's name of each

_STYLE = re.compile(r"\{\\[^}]*\}")


def read_cues(path: Path) -> list[Cue]:
    """The cues of a subtitle file, sorted by time and without styles.

    A cue that overlaps the next one ends at its start: an MP4 track shows one cue at a time.
    Raises InputError.
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
        raise InputError(f"{path} contains no subtitles; correct it, or move it away")
    ends = [min(cue.end_ms, following.start_ms) for cue, following in pairwise(found)]
    ends.append(found[-1].end_ms)
    return [
        Cue(cue.start_ms, end_ms, cue.lines)
        for cue, end_ms in zip(found, ends, strict=True)
        if end_ms > cue.start_ms
    ]


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
