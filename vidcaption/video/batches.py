"""One video cut into windows, some at once."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import islice
from typing import Self

from vidcaption.addresses import Address, Location, is_address
from vidcaption.errors import InputError
from vidcaption.options.base import WHOLE
from vidcaption.options.captioning import CaptionOptions, VideoDecoder
from vidcaption.types import Flow, VideoInfo, Window
from vidcaption.video.container import open_remote
from vidcaption.video.reader import VideoReader
from vidcaption.video.split import auto_windows
from vidcaption.video.windows import first_after, fixed_windows, whole_windows

MOST_WINDOWS = 1_000_000  # of one video: 46 days at 4 s each


class WindowReader:
    """Reads a video's windows, ``batch_size`` at once, with frames of (width, height) ``size``.

    ``done``: start and end of the last window that is no longer needed. Frames that only earlier
    windows need are not decoded, except for scenes, which depend on all frames. ``name``: what
    to call the video, its path unless given. ``flow``: see VideoReader. ``reader``: of its frames,
    if they are not in a file.

    Inside the context ``info`` describes the video; ``corrupt`` and ``end_s`` are VideoReader's.
    """

    info: VideoInfo

    def __init__(
        self,
        path: Location,
        size: tuple[int, int],
        options: CaptionOptions,
        batch_size: int,
        decoder: VideoDecoder = "cpu",
        done: tuple[float, float] | None = None,
        name: str | None = None,
        flow: Flow | None = None,
        reader: VideoReader | None = None,
    ) -> None:
        self._path = path.url if isinstance(path, Address) else str(path)
        self._size, self._options = size, options
        self._batch_size, self._decoder, self._done = batch_size, decoder, done
        self._name, self._flow, self._frames = name or str(path), flow, reader
        self._given = 0

    def __enter__(self) -> Self:
        """Raises InputError where the file is not a video that can be read."""
        with ExitStack() as stack, self._renamed():
            if is_address(self._path):  # what is read of it now is needed again later
                stack.enter_context(open_remote(self._path))
            self._reader = self._frames or VideoReader(
                self._path, self._size, self._options.sampling, self._decoder, self._flow
            )
            self._windows = self._open()
            self._closing = stack.pop_all()
        self.info = replace(self._reader.info, path=self._name)
        return self

    def _open(self) -> Iterator[Window]:
        windows, done = self._cut(self._from_first_frame()), self._done
        return (each for each in windows if not done or (each.start_s, each.end_s) > done)

    def _cut(self, options: CaptionOptions) -> Iterator[Window]:
        """All windows, or those from some time before the end of ``done``."""
        if options.window_s == WHOLE:
            return whole_windows(self._reader, options)
        if options.segment == "scenes":
            from vidcaption.video.scenes import scene_windows  # OpenCV, for those who ask for it

            return scene_windows(self._reader, options)
        if options.segment == "auto":
            return auto_windows(self._reader, options, self._done)
        return fixed_windows(self._reader, options, first=first_after(self._done, options))

    def _from_first_frame(self) -> CaptionOptions:
        """The options, with a start that is not before the first frame."""
        start_s, end_s = self._reader.start_s, self._options.end_s
        if end_s is not None and end_s <= start_s:
            raise InputError(
                f"{self._path} shows its first frame at {start_s:.1f} s, and --end is {end_s:g}; "
                "give a later --end"
            )
        return replace(self._options, start_s=max(self._options.start_s, start_s))

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._closing.close()

    @property
    def corrupt(self) -> int:
        return self._reader.corrupt

    @property
    def end_s(self) -> float:
        return self._reader.end_s

    def read(self) -> list[Window]:
        """The next windows; none when the video is over. Raises InputError."""
        with self._renamed():
            windows = list(islice(self._windows, self._batch_size))
        self._given += len(windows)
        if self._given > MOST_WINDOWS:
            raise InputError(
                f"{self._name} would be more than {MOST_WINDOWS:,} windows; caption a part of it "
                "with --start and --end, or give a longer --window"
            )
        return windows

    @contextmanager
    def _renamed(self) -> Iterator[None]:
        """Messages name the video, not the file that it was copied to."""
        try:
            yield
        except InputError as error:
            message = str(error).replace(self._path, self._name)
            raise InputError(message) from error.__cause__
