"""The data passed from reader to writer. Times are PTS in seconds from the container's start."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from vidcaption.options.captioning import CaptionOptions

if TYPE_CHECKING:  # a finished batch does not need NumPy
    import numpy as np
    from numpy.typing import NDArray

# How progress is shown: called with a label, the total (None where it is not known) and a function
# that gives what is done of it, this replaces what was shown before.
Watch = Callable[[str, float | None, Callable[[], float]], None]


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """The video stream of a container, as described by its header.

    ``width`` and ``height`` are pixels as displayed, after ``rotation`` (degrees clockwise: 0, 90,
    180 or 270; a picture stored mirrored is mirrored first). ``duration_s``: where the video ends,
    in seconds from the container's start. That, ``fps`` (average) and ``frames`` (an estimate) are
    None if the container does not tell. A still image has ``duration_s`` None and ``frames`` 1.
    """

    path: str
    codec: str
    width: int
    height: int
    rotation: int
    duration_s: float | None
    fps: float | None
    frames: int | None


# Optical flow as levels of a picture. Share of the frame's side that something moves to reach the
# end of the scale: shares and not pixels, so that the flow of a resized frame is the resized flow.
REACH = 0.125
REST = 128  # the level of no motion
LEVELS = 127  # from there to the end of the scale


class Flow(NamedTuple):
    """How optical flow is computed: from each frame to that ``gap_s`` seconds later, and so on for
    this number of ``steps``, by the ``method`` dis or farneback."""

    gap_s: float
    method: str
    steps: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded picture. ``image``: (H, W, 3) uint8 RGB, or (H, W, 6) with its optical flow as x,
    y and magnitude, see ``video/flow.py``, and 3 more for each further step; ``pts_s``: seconds
    from the start."""

    pts_s: float
    image: "NDArray[np.uint8]"


@dataclass(frozen=True, slots=True)
class Span:
    """A period to be captioned, and the times in it at which frames are sampled.

    ``start_s <= times_s[0] <= ... <= times_s[-1] < end_s``, all in seconds.
    """

    start_s: float
    end_s: float
    times_s: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A span with its sampled frames, in time order; at least one frame."""

    start_s: float
    end_s: float
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a caption, or a concept, with its probability by the model, in [0, 1]."""

    text: str
    probability: float


@dataclass(frozen=True, slots=True)
class Region:
    """A box in a picture: its left and upper edge, width and height.

    They are shares of the picture's, or pixels where that is said. ``text``: a phrase for it;
    ``label``: what kind of object it is; either may be empty. ``score``: how surely there is
    something, in [0, 1].
    """

    box: tuple[float, float, float, float]
    text: str = ""
    label: str = ""
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class Relation:
    """``subject`` and ``object``: indices of regions, as in "a cup on a table"; ``score``: the
    probability of ``predicate``, times the scores of both."""

    subject: int
    predicate: str
    object: int
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class SceneGraph:
    """What a picture shows where, and how that is related."""

    regions: tuple[Region, ...] = ()
    relations: tuple[Relation, ...] = ()

    def scaled(self, width: float, height: float) -> "SceneGraph":
        """With its boxes multiplied by these."""
        regions = (
            replace(each, box=(x * width, y * height, w * width, h * height))
            for each in self.regions
            for x, y, w, h in [each.box]
        )
        return SceneGraph(tuple(regions), self.relations)


@dataclass(frozen=True, slots=True)
class Segment:
    """One timed caption. ``score`` is the mean log-probability of its words, at most 0.

    ``confidence``: the model's estimate of the share of its nouns, verbs and adjectives that people
    would use, too, in [0, 1]; ``concepts``: the most probable ones, in order. Models without a
    concept classifier give neither. ``below_min_confidence``: whether the confidence is below the
    requested minimum, so that only JSON has this caption. ``vector``: the window in the model's
    joint space of sentences and windows, a signed byte per dimension; empty if it has none.
    ``graph``: the regions of the frame in the middle, in its pixels; None unless requested.
    """

    start_s: float
    end_s: float
    text: str
    score: float
    words: tuple[Word, ...] = ()
    confidence: float | None = None
    concepts: tuple[Word, ...] = ()
    below_min_confidence: bool = False
    vector: bytes = b""
    graph: SceneGraph | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """The first, finished windows of a video, after which an interrupted run continues.

    ``segments``: one for each window, None without a caption. ``start_s``, ``end_s``: of the last
    window, in seconds. ``standing``: the pixels of the picture used for its last frame, if similar
    pictures count as equal.
    """

    segments: tuple[Segment | None, ...] = ()
    start_s: float = 0.0
    end_s: float = 0.0
    standing: bytes | None = None


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The model that wrote the captions. ``sha256``: 64 lower-case hexadecimal digits."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class CaptionData:
    """What formats write for one video. ``corrupt`` counts the broken packets skipped."""

    video: VideoInfo
    model: ModelInfo
    options: CaptionOptions
    segments: tuple[Segment, ...]
    corrupt: int = 0

    @property
    def shown(self) -> tuple[Segment, ...]:
        """The segments that all formats have: those that reach ``options.min_confidence``."""
        return tuple(each for each in self.segments if not each.below_min_confidence)
