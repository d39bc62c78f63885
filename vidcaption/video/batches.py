"""One video cut into windows, in batches as large as the network takes at once."""

from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from vidcaption.errors import InputError
from vidcaption.options import WHOLE, CaptionOptions, VideoDecoder
from vidcaption.types import VideoInfo, Window
from vidcaption.video.reader import VideoReader
from vidcaption.video.split import auto_windows
from vidcaption.video.windows import fixed_windows, whole_windows

MOST_WINDOWS = 1_000_000  # of one video: 46 days at 4 s each


class WindowReader:
    """Reads a video's windows, ``batch_size`` at once, with frames of (width, height) ``size``.

    Inside the context ``info`` describes the video; ``corrupt`` and ``end_s`` are VideoReader's.
    """

    info: VideoInfo

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        options: CaptionOptions,
        batch_size: int,
        decoder: VideoDecoder = "cpu",
    ) -> None:
        self._path, self._size, self._options = path, size, options
        self._batch_size, self._decoder = batch_size, decoder
        self._given = 0

    def __enter__(self) -> Self:
        """Raises InputError where the file is not a video that can be read."""
        self._reader = self._open()
        self.info = self._reader.info
        if self._options.window_s == WHOLE:
            self._windows = whole_windows(self._reader, self._options)
        elif self._options.segment == "scenes":
            from vidcaption.video.scenes import scene_windows  # OpenCV, for those who ask for it

            self._windows = scene_windows(self._reader, self._options)
        elif self._options.segment == "auto":
            self._windows = auto_windows(self._reader, self._options)
        else:
            self._windows = fixed_windows(self._reader, self._options)
        return self

    def _open(self) -> VideoReader:
        return VideoReader(self._path, self._size, self._options.sampling, self._decoder)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._reader.close()

    @property
    def corrupt(self) -> int:
        return self._reader.corrupt

    @property
    def end_s(self) -> float:
        return self._reader.end_s

    def read(self) -> list[Window]:
        """The next windows; none when the video is over. Raises InputError."""
        windows = list(islice(self._windows, self._batch_size))
        self._given += len(windows)
        if self._given > MOST_WINDOWS:
            raise InputError(
                f"{self._path} gives more than {MOST_WINDOWS:,} windows; caption a part of it with "
                "--start and --end, or give a longer --window"
            )
        return windows
