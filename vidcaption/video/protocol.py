"""The interface of readers of windows, in this process or another."""

from typing import Protocol, Self

from vidcaption.types import VideoInfo, Window


class Reader(Protocol):
    """Yields the windows of a video, as ``WindowReader`` does."""

    @property
    def info(self) -> VideoInfo: ...

    @property
    def corrupt(self) -> int: ...

    @property
    def end_s(self) -> float: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def read(self) -> list[Window]: ...
