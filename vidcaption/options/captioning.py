"""Options for captioning: search, windows and devices."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

from vidcaption.errors import UsageError
from vidcaption.options.base import WHOLE, Options, option

VideoDecoder = Literal["cpu", "cuda"]  # FFmpeg's, or an NVIDIA GPU's
Sampling = Literal["exact", "fast", "keyframes"]  # which frame of a video is taken for a time
Engine = Literal["torch", "openvino"]  # what runs the CNN
SHORTEST = 1 / 4  # of a window: shorter ones are merged into their neighbour
MOST_FRAMES = 8192  # of overlapping windows, or of one batch: 1.2 GB at 224 pixels


@dataclass(frozen=True, kw_only=True)
class SearchOptions(Options):
    """Word search."""

    beam: int = option(3, "Beam size; 1 is greedy search.", at_least=1, at_most=50)
    max_words: int = option(20, "Maximum length of a caption, in words.", at_least=1, at_most=100)
    min_words: int = option(3, "Minimum length of a caption, in words.", at_least=0, at_most=100)
    length_penalty: float = option(
        0.7, "Rank hypotheses by log-probability / words ** this.", at_least=0, at_most=5
    )
    no_repeat_ngram: int = option(
        3,
        "Never repeat a sequence of this many words in a caption; 0 allows it.",
        at_least=0,
        at_most=20,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_words > self.max_words:
            raise UsageError(
                f"--min-words is {self.min_words} and --max-words is {self.max_words}; "
                "the first must not exceed the second"
            )


@dataclass(frozen=True, kw_only=True)
class WindowOptions(SearchOptions):
    """Windows and captions. These options change the text."""

    window_s: float = option(4.0, "Seconds per caption.", at_least=0.1, at_most=3600)
    stride_s: float | None = option(
        None, "Seconds from one window's start to the next.  [default: --window]",
        at_least=0.1, at_most=3600,
    )  # fmt: skip
    frames: int = option(
        0, "Frames per window; 0: as many as the model learned from.", at_least=0, at_most=64
    )
    same_within: float = option(
        0.0,
        "Treat frames as equal if no 8x8 block of the network's input differs by more than this, "
        "of 255 levels; 8 suits a static camera.",
        at_least=0,
        at_most=255,
    )
    min_confidence: float = option(
        0.0,
        "Drop captions with a lower confidence; JSON keeps them, marked.",
        at_least=0,
        at_most=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window_s == WHOLE:
            return
        stride_s = self.stride_s or self.window_s
        if (overlapping := math.ceil(self.window_s / stride_s)) * self.frames > MOST_FRAMES:
            raise UsageError(
                f"--stride is {stride_s:g} and --window is {self.window_s:g}: at each time "
                f"{overlapping} windows of {self.frames} frames overlap; the limit is "
                f"{MOST_FRAMES} frames: set a longer --stride, a shorter --window or fewer --frames"
            )

    def of_model(self, frames: int) -> Self:
        """With as many frames as the model learned from, unless a number was given. Raises
        UsageError if they are too many for --stride."""
        return self if self.frames else replace(self, frames=frames)


@dataclass(frozen=True, kw_only=True)
class CaptionOptions(WindowOptions):
    """Windows and captions. These options change the text."""

    window_s: float = option(
        4.0, "Seconds per caption; whole: one caption for each input.",
        at_least=0.1, at_most=3600, whole=True,
    )  # fmt: skip
    segment: Literal["auto", "fixed", "scenes"] = option(
        "auto",
        "auto: windows at fixed times, split at cuts; fixed: not split; scenes: windows start at "
        "cuts, which are searched in every frame.",
    )
    scene_threshold: float = option(
        3.0,
        "A cut is where a frame changes this many times as much as those around it.",
        at_least=1,
        at_most=255,
    )
    min_scene_s: float | None = option(
        None,
        "Merge shorter scenes into the next one, in seconds.  [default: a quarter window]",
        at_least=0,
        at_most=3600,
    )
    sampling: Sampling = option(
        "exact",
        "exact: the frame shown at each time; fast: frames up to 2 s older that need less "
        "decoding, without the loop filter; keyframes: only key frames.",
    )
    start_s: float = option(0.0, "Start here: seconds, or a time such as 1:05.", at_least=0)
    end_s: float | None = option(None, "Stop here.", above=0)
    regions: bool = option(
        False,
        "Also write what each region of the middle frame shows to JSON, by a model with the head "
        "regions.",
    )
    merge: bool = option(True, "Join consecutive segments with the same caption.")

    @property
    def recipe(self) -> dict[str, Any]:
        """By what outputs are compared, whether they are done. Later options are in it only where
        they are used, so that an update captions nothing again."""
        later = set() if self.regions else {"regions"}
        return {name: value for name, value in asdict(self).items() if name not in later}

    @property
    def shortest_scene_s(self) -> float:
        """The minimum length of a scene with its own window, in seconds."""
        return self.window_s * SHORTEST if self.min_scene_s is None else self.min_scene_s

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.end_s is not None and self.end_s <= self.start_s:
            raise UsageError(
                f"--end is {self.end_s:g}; it must be after --start, which is {self.start_s:g}"
            )
        if self.stride_s is not None and self.segment == "scenes":
            raise UsageError("--stride has no effect with --segment scenes; remove one of them")
        if self.window_s == WHOLE:
            if self.stride_s is not None or self.segment == "scenes":
                flag = "--segment scenes" if self.stride_s is None else "--stride"
                raise UsageError(f"{flag} has no effect with --window whole; remove one of them")
            return
        if self.sampling == "keyframes" and self.segment == "scenes":
            raise UsageError(
                "--sampling keyframes has too few frames for --segment scenes; use fast or exact"
            )


@dataclass(frozen=True, kw_only=True)
class PlaceOptions(Options):
    """Device."""

    device: str = option("auto", "cpu, cuda, cuda:N or mps.")
    threads: int | None = option(
        None,
        "CPU threads.  [default: one per core, within a container's limit]",
        at_least=1,
        at_most=256,
    )


@dataclass(frozen=True, kw_only=True)
class DeviceOptions(PlaceOptions):
    """Device and number format."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = option(
        "auto", "Number format of the network; auto: the fastest that is safe on the device."
    )


@dataclass(frozen=True, kw_only=True)
class MachineOptions(DeviceOptions):
    """Device and speed. These options do not change the text."""

    device: str = option(
        "auto", "auto, cpu, cuda, cuda:N or mps, or several, such as cuda:0,cuda:1."
    )
    batch_size: int = option(16, "Windows per batch.", at_least=1, at_most=1024)
    engine: Engine = option(
        "torch", 'Library for the CNN; openvino: on the CPU, needs the extra "openvino".'
    )
    video_decoder: VideoDecoder = option(
        "cpu", "Video decoder; cuda: an NVIDIA GPU, for codecs that it supports."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        places = [place.partition(":")[0] for place in self.device.split(",")]
        if self.engine == "openvino" and not {"auto", "cpu"}.issuperset(places):
            raise UsageError(
                f"--engine openvino runs on the CPU, and --device is {self.device!r}; "
                "remove one of them"
            )
