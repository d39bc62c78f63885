"""Captions a stream while it is filmed, with the time of day, and acts on the captions."""

import logging
import os
import shutil
import subprocess
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from vidcaption.batcher import Batcher
from vidcaption.errors import InputError, OutputError, UsageError
from vidcaption.events import event
from vidcaption.options.captioning import CaptionOptions, WindowOptions
from vidcaption.options.live import LiveOptions
from vidcaption.output.formats import segment_row, webvtt
from vidcaption.output.text import json_text, one_line, timestamp
from vidcaption.output.write import write_atomic
from vidcaption.pipeline import Captioner
from vidcaption.types import Segment
from vidcaption.video.live import LiveWindows
from vidcaption.video.source import Source

logger = logging.getLogger(__name__)

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0  # before a stream is connected again
LATEST = 200  # captions in a subtitle file
MOST_RUNNING = 4  # commands at a time
ENDING_S = 10.0  # for running commands at the end
_DROPPED = {
    "windows": "captioning is slower than the stream, so windows are dropped; a longer --window, "
    "fewer --frames or --beam 1 needs less time",
    "packets": "decoding is slower than the stream, so pictures are dropped; let the camera send "
    "fewer or smaller ones",
}


class Watching:
    """Captions of a source as they come; their times are seconds since 1970.

    A stream that breaks off is connected again, at longer and longer intervals. Iterating over it
    raises InputError if the first connection fails, or ``retries`` in a row. ``captions`` counts
    them, ``dropped`` the windows and packets for which there was no time.
    """

    def __init__(
        self, captioner: Captioner, source: Source, windows: WindowOptions, live: LiveOptions
    ) -> None:
        self.captions, self.dropped = 0, Counter[str]()
        self._captioner, self._source, self._timeout_s = captioner, source, live.timeout_s
        options = CaptionOptions(**asdict(windows), segment="fixed", merge=False)
        self._options = options.of_model(captioner.frames)
        self._retries = 0 if source.once else live.retries
        self._failed = 0  # attempts to connect since the last caption
        self._connected = False

    def __iter__(self) -> Iterator[Segment]:
        with closing(self._captioner.batcher(self._options)) as batcher:
            while True:
                error: InputError | None = None
                try:
                    yield from self._until_it_ends(batcher)
                except InputError as broken:
                    if not self._connected:
                        raise
                    error = broken
                if self._retries is not None and self._failed >= self._retries:
                    if error is not None:
                        raise error
                    return
                self._wait(str(error or f"{self._source.name} has ended"))

    def _until_it_ends(self, batcher: Batcher) -> Iterator[Segment]:
        reader = LiveWindows(
            *(self._source, self._captioner.frame_size, self._options, self._timeout_s),
            self._captioner.flow,
        )
        before = self.dropped
        with self._captioner.open_live(reader, self._options, batcher) as captioning:
            self._connected = True
            self._say_connected(captioning.info.codec)
            for segment in captioning:
                self._failed = 0
                self.captions += not segment.below_min_confidence
                self._count(before + reader.dropped)
                start_s, end_s = map(reader.wall.at, (segment.start_s, segment.end_s))
                yield replace(segment, start_s=start_s, end_s=end_s)

    def _wait(self, reason: str) -> None:
        wait_s = min(FIRST_WAIT_S * 2 ** min(self._failed, 16), LONGEST_WAIT_S)
        self._failed += 1
        facts = event("reconnecting", source=self._source.name, wait_s=wait_s)
        logger.warning(f"{reason}; connecting again in {wait_s:g} s", extra=facts)
        time.sleep(wait_s)

    def _say_connected(self, codec: str) -> None:
        facts = event("connected", source=self._source.name, codec=codec)
        logger.info(f"watching {self._source.name} ({codec})", extra=facts)

    def _count(self, dropped: Counter[str]) -> None:
        for what in sorted(dropped.keys() - self.dropped.keys()):
            logger.warning(_DROPPED[what], extra=event("dropping", what=what))
        self.dropped = dropped


class Subtitles:
    """A WebVTT file with the latest captions. Its times count from the start of the first one."""

    def __init__(self, path: Path) -> None:
        """Raises OutputError if it cannot be written."""
        self._path = path
        self._start_s: float | None = None
        self._latest: deque[Segment] = deque(maxlen=LATEST)
        write_atomic(path, webvtt([]))

    def add(self, segment: Segment) -> None:
        """Add a caption. If that fails, the next one may succeed."""
        if self._start_s is None:
            self._start_s = segment.start_s
        start_s, end_s = (each - self._start_s for each in (segment.start_s, segment.end_s))
        self._latest.append(replace(segment, start_s=start_s, end_s=end_s))
        try:
            write_atomic(
                self._path, webvtt(self._latest, f"00:00:00.000 is {timestamp(self._start_s)}")
            )
        except OutputError as error:
            logger.warning(str(error), extra=event("vtt_failed"))


class Hook:
    """Runs a command for each caption that is like one of the patterns, and does not wait for it.

    ``command``: a program and its arguments, without a shell. It has the caption in the environment
    and no input; what it prints goes to standard error.
    """

    def __init__(self, patterns: Sequence[str], command: Sequence[str], source: str) -> None:
        """Raises UsageError if there is no such program."""
        if not patterns or not command:
            given, missing = ("--on", "a command") if patterns else ("a command", "--on")
            raise UsageError(
                f"{given} is given without {missing}; "
                "write --on 'a person*' -- COMMAND with its arguments"
            )
        if shutil.which(command[0]) is None:
            raise UsageError(f"--on is to run {command[0]!r}, and there is no such program")
        self._patterns = [pattern.casefold() for pattern in patterns]
        self._command, self._source = list(command), source
        self._running: list[subprocess.Popen[bytes]] = []

    def add(self, segment: Segment) -> None:
        text = segment.text.casefold()
        if not any(fnmatchcase(text, pattern) for pattern in self._patterns):
            return
        self._running = [process for process in self._running if not self._has_ended(process)]
        if len(self._running) == MOST_RUNNING:
            self._warn(f"still runs for {MOST_RUNNING} earlier captions, so not for this one")
            return
        sure = "" if segment.confidence is None else f"{segment.confidence:.4f}"
        facts = {
            "CAPTION": one_line(segment.text),
            "CAPTION_START": timestamp(segment.start_s),
            "CAPTION_END": timestamp(segment.end_s),
            "CAPTION_CONFIDENCE": sure,
            "CAPTION_SOURCE": self._source,
        }
        try:
            process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=2, env=os.environ | facts
            )
        except OSError as error:
            self._warn(f"cannot be run: {error.strerror}")
        else:
            self._running.append(process)

    def close(self) -> None:
        """Wait a while for commands that are still running, and end them."""
        deadline_s = time.monotonic() + ENDING_S
        for process in self._running:
            try:
                process.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._has_ended(process)

    def _has_ended(self, process: "subprocess.Popen[bytes]") -> bool:
        if process.poll():
            self._warn(f"failed with exit code {process.returncode}")
        return process.returncode is not None

    def _warn(self, what: str) -> None:
        logger.warning(f"{self._command[0]} {what}", extra=event("command", what=what))


def live_line(segment: Segment) -> str:
    """``[2026-01-31 14:03:12 --> 14:03:16] text`` in local time, without a line end."""
    start, end = map(datetime.fromtimestamp, (segment.start_s, segment.end_s))
    return f"[{start:%Y-%m-%d %H:%M:%S} --> {end:%H:%M:%S}] {one_line(segment.text)}"


def live_json(segment: Segment, source: str) -> str:
    """A segment as one line of JSON, as in the format JSONL, with times in ISO 8601."""
    row: dict[str, Any] = {"source": source, **segment_row(segment)}
    row |= {"start": timestamp(segment.start_s), "end": timestamp(segment.end_s)}
    return json_text(row, allow_nan=False)
