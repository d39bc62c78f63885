"""The page of a job that is done, as ``vidcaption report`` draws it, once it is asked for."""

import logging
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

from vidcaption.datasets.samples import Clip
from vidcaption.output.captions import Captions
from vidcaption.output.write import write_atomic
from vidcaption.pipeline import Captioner
from vidcaption.report.video import video_page
from vidcaption.serve.jobs import Job
from vidcaption.serve.place import Place

logger = logging.getLogger(__name__)

_LONGEST_SIDE = 400  # pixels of a picture


@dataclass(eq=False)
class Drawing:
    """A page that is being drawn. ``captions``: so many have their pictures."""

    future: "Future[None]"
    captions: int = 0

    def watch(self, captions: int) -> None:
        self.captions = captions


class Player:
    """Draws pages one after the other, in a thread of its own; a context manager, which ends it."""

    def __init__(self, captioner: Captioner, place: Place) -> None:
        self._captioner, self._place = captioner, place
        self._drawings: dict[str, Drawing] = {}
        self._closing = False
        self._threads = ThreadPoolExecutor(1, "pages")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._threads.shutdown(cancel_futures=True)

    def draw(self, job: Job) -> Drawing:
        """Begin to draw, or say how far that is. Called in one thread."""
        for id in [id for id, drawing in self._drawings.items() if drawing.future.done()]:
            if id != job.id:
                del self._drawings[id]
        drawing = self._drawings.get(job.id)
        if drawing is None:
            drawing = self._drawings[job.id] = Drawing(Future())
            drawing.future = self._threads.submit(self._draw, job, drawing)
        return drawing

    def _draw(self, job: Job, drawing: Drawing) -> None:
        captions, page = self._place.captions(job), self._place.page(job.id)
        html = video_page(
            captions,
            self._captioner.loaded,
            self._captioner.machine,
            page,
            job.id,
            drawing.watch,
            source=f"/v1/captions/{job.id}/video",
            frames=self._frames(job, captions),
        )
        if page.parent.is_dir():  # or the job was deleted meanwhile
            write_atomic(page, html)

    def _frames(self, job: Job, captions: Captions) -> Iterator[tuple[int, Sequence[Clip]]]:
        """The number of each segment, and the frames of its first window."""
        starts = [segment.start_s for segment in captions.shown]
        width, height = captions.video.width, captions.video.height
        scale = min(1.0, _LONGEST_SIDE / max(width, height))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        last = -1
        for window in self._captioner.windows(job.path, job.options, size):
            number = bisect_right(starts, (window.start_s + window.end_s) / 2) - 1
            if number > last:
                last = number
                yield number, [frame.image for frame in window.frames]
            if last == len(starts) - 1 or self._closing:
                return
