"""Captions as markers for video editors and as chapters of a container."""

import html
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import PurePath
from typing import NamedTuple

from vidcaption.output.text import clock, one_line, printable
from vidcaption.types import CaptionData

USUAL_FPS = 25.0  # if the container gives no frame rate
_NOT_IN_XML = re.compile("[\ufffe\uffff]")


class Mark(NamedTuple):
    """A caption from ``start`` to ``end``, in whole frames or milliseconds."""

    start: int
    end: int
    text: str


def marks(captions: CaptionData, per_second: float) -> Iterator[Mark]:
    """Captions in order, at least one unit long, each ending where the next one starts."""
    starts, earliest = [], 0
    texts = [(segment, text) for segment in captions.shown if (text := one_line(segment.text))]
    for segment, _ in texts:
        starts.append(max(earliest, round(segment.start_s * per_second)))
        earliest = starts[-1] + 1
    bounds = pairwise([*starts, None])
    for (segment, text), (start, following) in zip(texts, bounds, strict=True):
        assert start is not None
        end = max(start + 1, round(segment.end_s * per_second))
        yield Mark(start, end if following is None else min(end, following), text)


def edl(captions: CaptionData) -> str:
    """CMX 3600: an event for each caption, with a marker for DaVinci Resolve and one for Avid.

    Time codes count the video's frames from 00:00:00:00 (non-drop-frame).
    """
    fps = captions.video.fps or USUAL_FPS
    name = printable(PurePath(captions.video.path).name)
    lines = [f"TITLE: {PurePath(name).stem}", "FCM: NON-DROP FRAME"]
    for number, mark in enumerate(marks(captions, fps), start=1):
        start, end = (_timecode(frames, fps) for frames in (mark.start, mark.end))
        lines += [
            "",
            f"{number:03}  AX       V     C        {start} {end} {start} {end}",
            f"* FROM CLIP NAME: {name}",
            f"* LOC: {start} BLUE    {mark.text}",
            f" |C:ResolveColorBlue |M:{mark.text.replace('|', '/')} |D:{mark.end - mark.start}",
        ]
    return "\n".join(lines) + "\n"


def ffmetadata(captions: CaptionData) -> str:
    """Chapters as FFmpeg reads and writes them: https://ffmpeg.org/ffmpeg-formats.html#Metadata."""
    parts = [";FFMETADATA1\n"]
    for mark in marks(captions, 1000):
        title = re.sub(r"[=;#\\]", r"\\\g<0>", mark.text)
        title += " " * title.endswith("\\")  # or FFmpeg reads the next line as part of it
        parts.append(
            f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={mark.start}\nEND={mark.end}\ntitle={title}\n"
        )
    return "\n".join(parts)


def matroska(captions: CaptionData) -> str:
    """Chapters in XML for mkvmerge and mkvpropedit."""
    atoms = [_atom(mark) for mark in marks(captions, 1000)]
    edition = ["  <EditionEntry>", *atoms, "  </EditionEntry>"] if atoms else []
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            '<!DOCTYPE Chapters SYSTEM "matroskachapters.dtd">',
            "<Chapters>",
            *edition,
            "</Chapters>\n",
        ]
    )


def _atom(mark: Mark) -> str:
    text = html.escape(_NOT_IN_XML.sub("\ufffd", mark.text), quote=False)
    return f"""\
    <ChapterAtom>
      <ChapterTimeStart>{clock(mark.start)}</ChapterTimeStart>
      <ChapterTimeEnd>{clock(mark.end)}</ChapterTimeEnd>
      <ChapterDisplay>
        <ChapterString>{text}</ChapterString>
        <ChapterLanguage>und</ChapterLanguage>
      </ChapterDisplay>
    </ChapterAtom>"""


def _timecode(frames: int, fps: float) -> str:
    """``HH:MM:SS:FF``."""
    seconds, frames = divmod(frames, max(1, round(fps)))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}:{frames:02}"
