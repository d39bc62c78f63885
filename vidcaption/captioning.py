"""Captions one video: reader -> windows -> network -> segments."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from vidcaption.batcher import Batcher, Costs, Pending
from vidcaption.errors import InputError
from vidcaption.model.features import Looks
from vidcaption.model.neighbours import AHEAD, choose
from vidcaption.model.people import KINDS, who
from vidcaption.model.search import Caption
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.options.captioning import CaptionOptions
from vidcaption.output.captions import Captions
from vidcaption.output.merge import merge_equal
from vidcaption.types import ModelInfo, Progress, Segment, VideoInfo, Word
from vidcaption.video.protocol import Reader
from vidcaption.video.workers import RemoteReader

KEEP_S = 15.0  # between two saves of the finished windows

Keep = Callable[[int, Progress], bool]


class _Waiting(NamedTuple):
    """A window in the network. ``standing``: see ``Progress``."""

    start_s: float
    end_s: float
    caption: Pending
    standing: bytes | None


@dataclass(frozen=True, slots=True)
class Statistics:
    """What captioning a video took.

    ``frames``: how many were sampled, counted in each window. ``encoded``: how many distinct
    pictures of them went through the CNN. ``captioned_s``: seconds of the video. ``missing_s``:
    those that the container declares but the stream does not have, once it is read. ``seconds``:
    spent waiting for frames, in the CNN and in the word search.
    """

    frames: int
    encoded: int
    captioned_s: float
    missing_s: float
    seconds: dict[str, float]


class Captioning:
    """One video while it is being captioned: a context manager that yields segments once.

    ``shared``: whether other videos also use ``batcher``; otherwise it is closed with this one.
    ``live``: whether ``reader`` waits for what is filmed. Then each window is captioned before the
    next one is read, and memory does not grow: ``captions`` has no segments.
    ``before``: what an earlier run has finished, which ``reader`` skips. ``keep`` is called with
    the number of windows already saved and those finished since, every ``keep_s`` seconds and when
    the context is left early; it returns whether it saved them. Nothing is saved for damaged
    videos, whose broken packets would be counted wrongly.

    ``info``: the video. ``progress_s``: the end of the captioned part, ``resumed_s``: its start,
    and ``kept_s``: the end of the saved part, in seconds. ``costs``: of the network.
    """

    def __init__(
        self,
        model: ModelInfo,
        vocabulary: Vocabulary,
        reader: AbstractContextManager[Reader],
        options: CaptionOptions,
        batcher: Batcher,
        *,
        shared: bool = False,
        live: bool = False,
        before: Progress | None = None,
        keep: Keep | None = None,
    ) -> None:
        before = before or Progress()
        self._model, self._vocabulary, self._opening = model, vocabulary, reader
        self.options, self.costs = options, Costs()
        self.progress_s = self.resumed_s = max(options.start_s, before.end_s)
        self.kept_s = before.end_s
        self._closing = ExitStack()
        if not shared:
            self._closing.callback(batcher.close)
        self._batcher = batcher
        self._live, self._ahead = live, 0 if live else batcher.size + AHEAD
        self._before, self._keep = before, keep
        self._kept, self._kept_at = len(before.segments), math.inf
        self.keep_s = KEEP_S
        self._finished: list[Segment | None] = []  # and not saved
        self._last: _Waiting | None = None  # of the finished windows
        self._looks = Looks(options.same_within, before.standing)
        self._queue: deque[_Waiting] = deque()
        self._entered = self._over = self._stopped = False
        self._error: InputError | None = None  # to be raised when the queue is empty
        self._decode_s = 0.0
        self._segments: list[Segment] = []
        self._ready = self._collect()  # a single pass, however often it is iterated over

    def __enter__(self) -> "Captioning":
        """Raises InputError if the file is not a video that can be read."""
        self._enter()
        self._kept_at = time.monotonic()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is not None or self.kept_s:
                self._keep_finished()
        finally:
            self.close()

    def close(self) -> None:
        """Stop reading."""
        self._closing.close()

    def stop(self) -> None:
        """Interrupt it from another thread, also where it waits for a file that does not answer.

        KeyboardInterrupt is raised in place of the next window, or InputError before the first.
        """
        self._stopped = True
        if isinstance(self._opening, RemoteReader):
            self._opening.stop()

    @property
    def info(self) -> VideoInfo:
        return self._reader.info

    @property
    def corrupt(self) -> int:
        """Broken packets skipped so far."""
        return self._reader.corrupt

    @property
    def statistics(self) -> Statistics:
        """What it took so far."""
        costs, missing_s = self.costs, 0.0
        if self.info.duration_s is not None and self.options.end_s is None:
            missing_s = max(0.0, self.info.duration_s - self._reader.end_s)
        return Statistics(
            frames=self._looks.frames,
            encoded=costs.encoded,
            captioned_s=self.progress_s - self.resumed_s,
            missing_s=missing_s,
            seconds={
                "decode": self._decode_s,
                "encode": costs.encode_s,
                "search": costs.search_s,
            },
        )

    @property
    def reading(self) -> bool:
        """Whether there may be more to read."""
        return not self._over and self._error is None

    @property
    def queued(self) -> int:
        """Number of windows read, whose segments were not requested yet."""
        return len(self._queue)

    def __iter__(self) -> Iterator[Segment]:
        return self._ready

    def begin(self) -> None:
        """Let a worker start reading, if there is one."""
        if isinstance(self._opening, RemoteReader):
            self._opening.begin()
            self._closing.callback(self._opening.close)

    def prefetch(self) -> None:
        """Read the first windows, to go through the network with those of other videos.

        Errors are raised later, by ``__enter__`` or after the segments before them.
        """
        try:
            self._enter()
        except InputError as error:
            self._error = error
        else:
            self._read_ahead()

    def finish(self) -> Captions:
        """Caption the rest, and return everything. Raises InputError."""
        for _ in self:
            pass
        return self.captions()

    def captions(self) -> Captions:
        """The captions yielded so far."""
        return Captions(
            video=self.info,
            model=self._model,
            options=self.options,
            segments=tuple(self._segments),
            corrupt=self.corrupt,
        )

    def _collect(self) -> Iterator[Segment]:
        segments = self._caption_windows()
        for segment in merge_equal(segments) if self.options.merge else segments:
            if not self._live:
                self._segments.append(segment)
            yield segment

    def _caption_windows(self) -> Iterator[Segment]:
        done = self._before.segments
        empty = not done
        yield from filter(None, done)
        last = done[-1] if done else None
        people = who((word.text for word in last.words) if last else (), KINDS)
        while (window := self._next()) is not None:
            empty = False
            near = (window, *islice(self._queue, AHEAD))
            caption = choose(people, [each.caption.result(self.costs) for each in near])
            people = caption.people
            segment = segment_of(
                caption,
                window.start_s,
                window.end_s,
                self._vocabulary,
                self.options.min_confidence,
                (self.info.width, self.info.height) if self.options.regions else None,
            )
            self.progress_s = window.end_s
            # before an error those without all that follows may be chosen otherwise the next time
            certain = self._error is None or len(near) > AHEAD
            if self._keep is not None and certain:
                self._finished.append(segment)
                self._last = window
                if time.monotonic() - self._kept_at >= self.keep_s:
                    self._keep_finished()
            if segment is not None:
                yield segment
        if empty:
            raise InputError(
                f"{self.info.path} has nothing to caption: it lasts {self._reader.end_s:.1f} s, "
                f"and --start is {self.options.start_s:g}"
            )

    def _enter(self) -> None:
        if self._entered:
            return
        if self._error is not None:
            raise self._error
        self._reader = self._closing.enter_context(self._opening)
        self._entered = True

    def _next(self) -> _Waiting | None:
        """The next window, or None after the last one; more are read while the network runs.

        Raises InputError.
        """
        self._read_ahead()
        if self._stopped:
            raise KeyboardInterrupt
        if self._queue:
            return self._queue.popleft()
        if self._error is not None:
            raise self._error
        return None

    def _read_ahead(self) -> None:
        while self.reading and len(self._queue) <= self._ahead:
            began = time.monotonic()
            try:
                windows = self._reader.read()
            except InputError as error:
                self._error, windows = error, []
            self._decode_s += time.monotonic() - began
            self._over = not windows
            for window in windows:
                caption = self._batcher.add(self._looks.look(window.frames), self.costs)
                standing = self._looks.standing
                self._queue.append(_Waiting(window.start_s, window.end_s, caption, standing))

    def _keep_finished(self) -> None:
        self._kept_at = time.monotonic()
        if self._keep is None or self._last is None or not self._finished or self.corrupt:
            return
        last = self._last
        progress = Progress(tuple(self._finished), last.start_s, last.end_s, last.standing)
        if self._keep(self._kept, progress):
            self._kept += len(self._finished)
            self._finished.clear()
            self.kept_s = last.end_s


def segment_of(
    caption: Caption,
    start_s: float,
    end_s: float,
    vocabulary: Vocabulary,
    least: float,
    size: tuple[int, int] | None = None,
) -> Segment | None:
    """The segment of a window, or None if nothing is said of it.

    ``least``: ``--min-confidence``; ``size``: (width, height) of the frames, if regions are wanted.
    """
    if not (caption.ids or caption.text):
        return None
    words = vocabulary.decode(caption.ids)
    log_probs = caption.log_probs[:-1].tolist()  # without <eos>
    text = " ".join(words)
    sure = caption.confidence
    return Segment(
        start_s=start_s,
        end_s=end_s,
        text=caption.text or text[0].upper() + text[1:],  # labels are as in the dataset
        score=caption.score,
        words=tuple(Word(w, math.exp(p)) for w, p in zip(words, log_probs, strict=True)),
        confidence=sure,
        concepts=tuple(Word(vocabulary.concepts[n], p) for n, p in caption.concepts),
        below_min_confidence=sure is not None and sure < least,
        vector=caption.vector,
        graph=caption.graph.scaled(*size) if caption.graph and size else None,
    )
