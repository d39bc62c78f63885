"""All options: command-line flags, keyword arguments and their checks come from here.

Each field has its help text, flag and bounds as metadata; ``cli/flags.py`` turns the classes into
Typer options, and ``__post_init__`` checks values wherever they come from.
"""

import math
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path, PurePath
from types import UnionType
from typing import Any, Literal, Self, get_args, get_origin

from vidcaption.errors import UsageError

VideoDecoder = Literal["cpu", "cuda"]  # FFmpeg's, or an NVIDIA GPU's
Sampling = Literal["exact", "fast", "keyframes"]  # which frame of a video is taken for a time
Engine = Literal["torch", "openvino"]  # what runs the CNN

_STDOUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
_CLOCK = re.compile(r"(?:(\d+):(?=[0-5]?\d:))?(\d+):([0-5]?\d(?:\.\d*)?)")

SHORTEST = 1 / 4  # of a window: shorter ones are merged into their neighbour
WHOLE = math.inf  # window length: the whole video
TABLES = tuple[dict[str, Any], ...]  # the type of an option that is given once for each table
MOST_FRAMES = 8192  # of overlapping windows, or of one batch: 1.2 GB at 224 pixels


def option(
    default: Any,
    help: str,
    *,
    flag: str | None = None,
    short: str | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    whole: bool = False,
    choices: Collection[str] = (),
    several: bool = False,
) -> Any:
    """A dataclass field with metadata for its flag and check. Bounds other than ``above``
    are inclusive.

    ``whole``: the value may be WHOLE, written as "whole". ``choices``: the allowed words of a field
    that is not a ``Literal``; ``several``: any of them, joined by +.
    """
    metadata = {
        "help": help,
        "flag": flag,
        "short": short,
        "at_least": at_least,
        "at_most": at_most,
        "above": above,
        "whole": whole,
        "choices": choices,
        "several": several,
    }
    return field(default=default, metadata=metadata)


def flag_of(f: Field[Any]) -> str:
    """The long flag of a field: ``--window`` for ``window_s``."""
    flag: str | None = f.metadata["flag"]
    return flag or "--" + f.name.removesuffix("_s").replace("_", "-")


def is_seconds(name: str) -> bool:
    """Whether a field of that name is a time or a duration."""
    return name.endswith("_s")


def parse(f: Field[Any], value: Any) -> Any:
    """The value of a field as typed: strings are converted to numbers if the field is one.

    Seconds may be written as 90, 90s, 1:30 or 00:01:30.5; a table as in TOML. Raises UsageError.
    """
    if f.type == TABLES and isinstance(value, str):
        return _table(f, value)
    kinds = {f.type, *get_args(f.type)}
    if not isinstance(value, str) or not {int, float}.intersection(kinds):
        return value
    if value == "whole" and f.metadata["whole"]:
        return WHOLE
    try:
        if int in kinds:
            return int(value)
        return _seconds(value) if is_seconds(f.name) else float(value)
    except ValueError as error:
        kind = "a whole number" if int in kinds else "a number"
        if is_seconds(f.name):
            kind = "seconds, such as 90 or 90s, or a time, such as 1:30 or 00:01:30.5"
        raise UsageError(f"{flag_of(f)} is {value!r}; it must be {kind}") from error


def _table(f: Field[Any], text: str) -> dict[str, Any]:
    """Raises UsageError."""
    try:
        table = tomllib.loads(f"table = {text}")["table"]
    except tomllib.TOMLDecodeError:
        table = None
    if not isinstance(table, dict):
        raise UsageError(f'{flag_of(f)} is {text!r}; it must be a TOML table: {{name = "value"}}')
    return table


def _seconds(text: str) -> float:
    """Raises ValueError."""
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, seconds = clock.groups(default="0")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    return float(text.removesuffix("s"))


def nearest(name: str, known: Collection[str]) -> str:
    """The hint for an unknown name: the most similar known ones, or all."""
    near = get_close_matches(name, known)
    return f"did you mean {' or '.join(near)}" if near else f"known are {', '.join(sorted(known))}"


def plain(value: Any) -> Any:
    """A value as in JSON and TOML."""
    return "whole" if value == WHOLE else value


def choices_of(f: Field[Any]) -> tuple[str, ...]:
    """The allowed words of a field; empty if it has no fixed choices."""
    return get_args(f.type) if get_origin(f.type) is Literal else tuple(f.metadata["choices"])


def group_of(f: Field[Any]) -> "type[Options] | None":
    """The class of a field that holds further options."""
    return f.type if isinstance(f.type, type) and issubclass(f.type, Options) else None


def _fits(value: Any, kind: Any) -> bool:
    """Whether ``value`` is of type ``kind``; an int is also a float, a bool is neither."""
    if get_origin(kind) is UnionType:
        return any(_fits(value, one) for one in get_args(kind))
    if get_origin(kind) is dict:
        return isinstance(value, dict)
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        if inner[1:] == (...,):
            return isinstance(value, tuple | list) and all(_fits(one, inner[0]) for one in value)
        return (
            isinstance(value, tuple) and len(value) == len(inner) and all(map(_fits, value, inner))
        )
    if kind is int or kind is float:
        return isinstance(value, int if kind is int else int | float) and not isinstance(
            value, bool
        )
    return isinstance(value, kind)


def check(f: Field[Any], value: Any) -> None:
    """Raises UsageError if ``value`` does not fit the field's type, choices and bounds."""
    if choices := choices_of(f):
        several = f.metadata["several"] and isinstance(value, str)
        given = value.split("+") if several else [value]
        if not all(each in choices for each in given) or len(set(given)) < len(given):
            joined = ", or several of them joined by +" if f.metadata["several"] else ""
            raise UsageError(f"{flag_of(f)} is {value!r}; allowed are {', '.join(choices)}{joined}")
    elif not _fits(value, f.type):
        kind = "a whole number" if f.type is int else getattr(f.type, "__name__", str(f.type))
        raise UsageError(f"{flag_of(f)} is {value!r}; it must be {kind}")
    else:
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, int | float) and not isinstance(one, bool):
                _check_bounds(f, _as_float(one))


def _as_float(value: float) -> float:
    """A number as a float; integers that are too large become infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value > 0 or -1)


def _check_bounds(f: Field[Any], value: float) -> None:
    low, high, above = (f.metadata[key] for key in ("at_least", "at_most", "above"))
    if value == WHOLE and f.metadata["whole"]:
        return
    if (
        not math.isfinite(value)
        or (low is not None and value < low)
        or (high is not None and value > high)
        or (above is not None and value <= above)
    ):
        wanted = [f"at least {low:g}"] if low is not None else []
        wanted += [f"above {above:g}"] if above is not None else []
        wanted += [f"at most {high:g}"] if high is not None else []
        allowed = " and ".join(wanted) or "finite"
        allowed += ", or whole" if f.metadata["whole"] else ""
        raise UsageError(f"{flag_of(f)} is {value:g}; it must be {allowed}")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base: checks each field against the bounds in its metadata. Raises UsageError."""

    def __post_init__(self) -> None:
        for f in fields(self):
            check(f, getattr(self, f.name))

    @classmethod
    def flat_fields(cls) -> list[Field[Any]]:
        """Its fields that have a flag: those of groups instead of the groups."""
        found: list[Field[Any]] = []
        for f in fields(cls):
            group = group_of(f)
            found += group.flat_fields() if group else [f]
        return found

    @classmethod
    def flat(cls, **values: Any) -> Self:
        """Options by the names of ``flat_fields``; what is left out takes its default.

        Raises UsageError.
        """
        for f in fields(cls):
            if group := group_of(f):
                own = {each.name for each in group.flat_fields()} & values.keys()
                values[f.name] = group.flat(**{name: values.pop(name) for name in own})
        return cls(**values)

    def flat_values(self) -> dict[str, Any]:
        """The value of each of ``flat_fields``, by flag."""
        found: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            found |= value.flat_values() if isinstance(value, Options) else {flag_of(f): value}
        return found

    def with_flags(self, flags: Mapping[str, Any]) -> Self:
        """A copy with other values, by the names of their flags: ``window`` for ``window_s``.

        Seconds may also be strings, see ``parse``. Raises UsageError.
        """
        known = {flag_of(f).removeprefix("--").replace("-", "_"): f for f in fields(self)}
        if unknown := [name for name in flags if name not in known]:
            raise UsageError(f"there is no option {unknown[0]!r}; {nearest(unknown[0], known)}")
        values = {known[name]: value for name, value in flags.items()}
        return replace(
            self,
            **{f.name: parse(f, v) if is_seconds(f.name) else v for f, v in values.items()},
        )


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
class CaptionOptions(SearchOptions):
    """Windows and captions. These options change the text."""

    window_s: float = option(
        4.0, "Seconds per caption; whole: one caption for each input.",
        at_least=0.1, at_most=3600, whole=True,
    )  # fmt: skip
    stride_s: float | None = option(
        None, "Seconds from one window's start to the next.  [default: --window]",
        at_least=0.1, at_most=3600,
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
    frames: int = option(4, "Frames per window.", at_least=1, at_most=64)
    sampling: Sampling = option(
        "exact",
        "exact: the frame shown at each time; fast: frames up to 2 s older that need less "
        "decoding, without the loop filter; keyframes: only key frames.",
    )
    same_within: float = option(
        0.0,
        "Treat frames as equal if no 8x8 block of the network's input differs by more than this, "
        "of 255 levels; 8 suits a static camera.",
        at_least=0,
        at_most=255,
    )
    start_s: float = option(0.0, "Start here: seconds, or a time such as 1:05.", at_least=0)
    end_s: float | None = option(None, "Stop here.", above=0)
    merge: bool = option(True, "Join consecutive segments with the same caption.")
    min_confidence: float = option(
        0.0,
        "Drop captions with a lower confidence; JSON keeps them, marked.",
        at_least=0,
        at_most=1,
    )

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
        stride_s = self.stride_s or self.window_s
        if (overlapping := math.ceil(self.window_s / stride_s)) * self.frames > MOST_FRAMES:
            raise UsageError(
                f"--stride is {stride_s:g} and --window is {self.window_s:g}: at each time "
                f"{overlapping} windows of {self.frames} frames overlap; the limit is "
                f"{MOST_FRAMES} frames: set a longer --stride, a shorter --window or fewer --frames"
            )
        if self.sampling == "keyframes" and self.segment == "scenes":
            raise UsageError(
                "--sampling keyframes has too few frames for --segment scenes; use fast or exact"
            )


@dataclass(frozen=True, kw_only=True)
class PlaceOptions(Options):
    """Device."""

    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps.")
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
    batch_size: int = option(8, "Windows per batch.", at_least=1, at_most=1024)
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


@dataclass(frozen=True, kw_only=True)
class OutputOptions(Options):
    """Output: files next to each input, by default."""

    srt: bool = option(False, "Write SubRip subtitles.")
    vtt: bool = option(False, "Write WebVTT subtitles.")
    json: bool = option(False, "Write JSON with all data: video, model, options, words.")
    jsonl: bool = option(False, "Write one JSON object per line.")
    tsv: bool = option(False, "Write tab-separated values, times in milliseconds.")
    csv: bool = option(False, "Write comma-separated values.")
    txt: bool = option(False, "Write plain text without times, one caption per line.")
    edl: bool = option(False, "Write markers for editors such as DaVinci Resolve (CMX 3600).")
    chapters: bool = option(False, "Write chapters for FFmpeg (FFmetadata).")
    xml: bool = option(False, "Write chapters for mkvmerge (Matroska XML).")
    output: str | None = option(
        None, "Write one file, in the format of its suffix; - is standard output.", short="-o"
    )
    out_dir: Path | None = option(None, "Write under this folder, in the same tree as the inputs.")

    @classmethod
    def known_formats(cls) -> tuple[str, ...]:
        """The formats that have a flag."""
        return tuple(f.name for f in fields(cls) if f.type is bool)

    @property
    def formats(self) -> tuple[str, ...]:
        """The requested formats, by flag or by the suffix of ``output``; none: readable lines."""
        asked = tuple(name for name in self.known_formats() if getattr(self, name))
        if asked or self.place in (None, "-"):
            return asked
        return (self._suffix,)

    @property
    def place(self) -> str | None:
        """``output``, with ``-`` for all names of standard output."""
        return "-" if self.output in _STDOUT else self.output

    @property
    def _suffix(self) -> str:
        return PurePath(self.output or "").suffix.lower().removeprefix(".")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.output is not None and self.out_dir is not None:
            raise UsageError("--output and --out-dir contradict each other; remove one of them")
        if self.out_dir is not None and not self.formats:
            raise UsageError("--out-dir is given without a format; add one, such as --srt")
        if self.output and (self.output[-1] in "/\\" or os.path.isdir(self.output)):
            raise UsageError(
                f"--output is {self.output!r}, which is a folder; to write into it, use --out-dir "
                "and a format, such as --srt"
            )
        if self.output is not None and len(self.formats) > 1:
            raise UsageError(
                f"--output is one file, for one format, and {len(self.formats)} are given; "
                "omit --output to write each next to its input, or use --out-dir"
            )
        named = self._suffix
        # any text may be called .txt
        if named in self.known_formats() and named not in (*self.formats, "txt"):
            raise UsageError(
                f"--output is {self.output!r}, a name for {named}, and --{self.formats[0]} is "
                f"given; remove that, or end the name in .{self.formats[0]}"
            )
        if not set(self.formats) <= set(self.known_formats()):
            raise UsageError(
                f"--output is {self.output!r} and its suffix is not that of a format; end it "
                f"in one of .{', .'.join(self.known_formats())}, or add a format, such as --srt"
            )


@dataclass(frozen=True, kw_only=True)
class MuxOptions(Options):
    """Output and captions."""

    output: Path | None = option(
        None,
        "The video to write: .mp4, .m4v, .mov, .mkv or .webm.  [default: NAME.captioned.mp4, or "
        "another of these]",
        short="-o",
    )
    subtitles: Path | None = option(None, "SubRip or WebVTT file.  [default: NAME.srt or NAME.vtt]")
    language: str = option("eng", "Language of the captions, as three letters of ISO 639.")
    burn: bool = option(False, "Draw the captions into the picture, which is re-encoded.")
    font: Path | None = option(
        None, "Font file for --burn; the built-in one has only Latin letters."
    )
    force: bool = option(False, "Replace existing videos.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.font is not None and not self.burn:
            raise UsageError("--font needs --burn; add it, or remove --font")
        if not (self.language.isascii() and self.language.isalpha() and len(self.language) == 3):
            raise UsageError(
                f"--language is {self.language!r}; give three letters of ISO 639, such as eng"
            )


@dataclass(frozen=True, kw_only=True)
class ReportOptions(Options):
    """Output: pages next to each input, by default."""

    out_dir: Path | None = option(None, "Write under this folder, in the same tree as the inputs.")
    recursive: bool = option(
        False, "Look into the folders within a folder, too, and follow links.", short="-r"
    )
    embed: bool = option(False, "Embed the video in its page, up to 256 MB.")
    force: bool = option(False, "Caption and write everything again, and replace existing files.")


@dataclass(frozen=True, kw_only=True)
class VoiceOptions(Options):
    """Messages on standard error. Standard output is for results only."""

    quiet: bool = option(False, "Print only failures.", short="-q")
    verbose: bool = option(False, "Also print the model, the device and each video.", short="-v")
    progress: Literal["auto", "on", "off"] = option(
        "auto", "Progress bar; auto: only on a terminal."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.quiet and self.verbose:
            raise UsageError("--quiet and --verbose contradict each other; remove one of them")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(Options):
    """Samples."""

    frames: int = option(4, "Frames per sample.", at_least=1, at_most=64)


@dataclass(frozen=True, kw_only=True)
class FeatureOptions(Options):
    """Features."""

    frames: int = option(8, "Maximum number of frames per sample.", at_least=1, at_most=64)
    workers: int = option(2, "Threads that read frames ahead of the CNN.", at_least=1, at_most=256)


@dataclass(frozen=True, kw_only=True)
class LogOptions(VoiceOptions):
    """Messages on standard error, and the log. Standard output is for results only."""

    debug: bool = option(
        False, "Also print why each file is processed or skipped, and timings.", short="-vv"
    )
    log_json: bool = option(False, "Print messages as JSON, one object per line, without a bar.")
    log_file: Path | None = option(
        None, "Append the messages of --verbose to this file, even with --quiet."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.quiet and self.debug:
            raise UsageError("--quiet and --debug contradict each other; remove one of them")


@dataclass(frozen=True, kw_only=True)
class BatchOptions(Options):
    """Many inputs: selecting, resuming and recording them."""

    recursive: bool = option(
        False, "Look into the folders within a folder, too, and follow links.", short="-r"
    )
    suffix: str | None = option(
        None, "In folders, also take files with these suffixes: .dat or .dat,.bin."
    )
    from_file: str | None = option(
        None,
        "Read input paths from this file, one per line or separated by NUL; - is standard input.",
    )
    force: bool = option(False, "Caption inputs that are done as well, and replace existing files.")
    dry_run: bool = option(False, "Print what would be done, and do nothing.")
    fail_fast: bool = option(False, "Stop at the first input that fails.")
    retries: int = option(
        0,
        "Retries if reading or writing fails for a temporary reason.",
        at_least=0,
        at_most=100,
    )
    file_timeout_s: float = option(
        300.0, "Let an input fail if nothing can be read from it for this many seconds.", above=0
    )
    workers: str = option(
        "auto", "Inputs read at once, each by its own process; auto depends on the machine."
    )
    shard: str | None = option(
        None,
        "Process one part of all inputs: I/N, from 1/N to N/N, or auto for the one of this Slurm "
        "array task or torchrun process.",
    )
    manifest: Path | None = option(None, "Append a JSON row for each finished input to this file.")
    retry_failed: Path | None = option(
        None, "Process only the inputs that failed according to this manifest; INPUT is optional."
    )

    @property
    def worker_count(self) -> int | None:
        """None if the machine decides."""
        return None if self.workers == "auto" else int(self.workers)

    def __post_init__(self) -> None:
        super().__post_init__()
        number = self.workers.isascii() and self.workers.isdecimal() and int(self.workers)
        if self.workers != "auto" and not 1 <= number <= 256:
            raise UsageError(f"--workers is {self.workers!r}; it must be auto, or from 1 to 256")


@dataclass(frozen=True, kw_only=True)
class IndexOptions(Options):
    """Index."""

    index: Path | None = option(
        None, "The index, an SQLite file.  [default: in the user's data folder]"
    )
    redo: bool = option(
        False,
        "Also caption files that were captioned differently, or that failed.",
    )
    prune: bool = option(
        False, "Remove missing files from the index, including those on unmounted drives."
    )


@dataclass(frozen=True, kw_only=True)
class FindOptions(Options):
    """Search."""

    limit: int = option(10, "Maximum number of moments.", at_least=1, at_most=10_000)
    path: str | None = option(
        None, "Only in files whose path contains this; * and ? are wildcards."
    )
    longer_s: float | None = option(
        None, "Only in videos of at least this many seconds.", at_least=0
    )
    shorter_s: float | None = option(None, "Only in videos of at most this many seconds.", above=0)
    after: str | None = option(
        None, "Only in files modified on this day, such as 2026-05-31, or later."
    )
    before: str | None = option(None, "Only in files modified before this day.")
    min_confidence: float | None = option(
        None, "Only captions of at least this confidence.", at_least=0, at_most=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("after", "before"):
            day = getattr(self, name)
            try:
                datetime.fromisoformat(day or "2026-05-31").timestamp()
            except (ValueError, OverflowError, OSError) as error:  # years out of range
                raise UsageError(
                    f"--{name} is {day!r}; give a date, such as 2026-05-31 or 2026-05-31T18:00"
                ) from error


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Options):
    """Training: first on cached features of a frozen CNN, then end to end."""

    stage: tuple[dict[str, Any], ...] = option(
        (),
        "A stage, as a TOML table; once for each. They replace those of the options below.",
    )
    concept_epochs: int = option(
        6, "Epochs of the content classifier, which come first, with --concept-slots.",
        at_least=0, at_most=1000,
    )  # fmt: skip
    epochs: int = option(7, "Epochs with the CNN frozen.", at_least=0, at_most=1000)
    finetune_epochs: int = option(
        4, "Further epochs that also train the CNN.", at_least=0, at_most=1000
    )
    scst_epochs: int = option(
        0, "Further epochs that reward sampled captions by CIDEr, with the CNN frozen.",
        at_least=0, at_most=1000,
    )  # fmt: skip
    batch: int = option(32, "Batch size.", flag="--batch-size", at_least=1, at_most=4096)
    finetune_batch: int = option(
        32,
        "Batch size when the CNN is trained as well.",
        flag="--finetune-batch-size",
        at_least=1,
        at_most=4096,
    )
    frames: int = option(
        4,
        "Maximum number of frames per clip; batches draw 1, 2, 4... up to it.",
        at_least=1,
        at_most=64,
    )
    finetune_frames: int = option(
        2, "The same when the CNN is trained as well.", at_least=1, at_most=64
    )
    cached_frames: int = option(
        8, "Frames per sample whose features are cached; clips are drawn from them.",
        at_least=1, at_most=64,
    )  # fmt: skip
    finetune_from: int = option(
        4, "Number of first blocks of the CNN that stay frozen.", at_least=0
    )
    text_batch: int = option(
        96, "Sentences of --text mixed into each step.", at_least=0, at_most=4096
    )
    text_weight: float = option(0.5, "Loss weight of these sentences.", at_least=0, at_most=100)
    concept_weight: float = option(
        0.05, "Weight of the content classifier's loss when the CNN is trained as well.",
        at_least=0, at_most=100,
    )  # fmt: skip
    captions: int = option(3, "Captions drawn per sample and epoch.", at_least=1, at_most=100)
    min_count: int | None = option(
        None, "Rarer words are unknown.  [default: 5, less for small datasets]",
        at_least=1,
    )  # fmt: skip
    optimizer: Literal["adamw", "adam", "adagrad"] = option("adamw", "Optimizer.")
    lr: float = option(8e-4, "Peak learning rate.", above=0, at_most=1)
    concept_lr: float = option(
        1e-3, "Peak learning rate of the content classifier in its own epochs.", above=0, at_most=1
    )
    finetune_lr: float = option(
        3e-4, "Peak learning rate when the CNN is trained as well.", above=0, at_most=1
    )
    backbone_lr: float = option(1e-4, "Peak learning rate of the CNN.", above=0, at_most=1)
    scst_lr: float = option(
        1e-4, "Peak learning rate when captions are rewarded.", above=0, at_most=1
    )
    scst_temperature: float = option(
        0.5, "Temperature for sampling the captions that are rewarded.", above=0, at_most=2
    )
    scst_concepts: float = option(
        0.5, "Reward for naming the concepts of a sample, relative to CIDEr, with --concept-slots.",
        at_least=0, at_most=100,
    )  # fmt: skip
    scst_imitate: float = option(
        0.1, "Weight of the cross entropy of reference captions beside the reward.",
        at_least=0, at_most=100,
    )  # fmt: skip
    warmup: float = option(0.05, "Share of steps in which the learning rate rises; then it decays.",
                           at_least=0, at_most=1)  # fmt: skip
    weight_decay: float = option(0.01, "AdamW's weight decay.", at_least=0, at_most=1)
    label_smoothing: float = option(0.1, "Label smoothing.", at_least=0, at_most=0.9)
    own_words: float = option(
        0.0, "Scheduled sampling: share of the model's own words, rising from 0 to this.",
        at_least=0, at_most=1,
    )  # fmt: skip
    even_attention: float = option(
        0.0, "Weight of a loss that spreads attention evenly over a caption's words; 0: none.",
        at_least=0, at_most=100,
    )  # fmt: skip
    clip_norm: float = option(1.0, "Gradient clipping: maximum norm.", above=0)
    ema: float = option(
        0.995, "Decay of the moving average of the weights, which is what is saved; 0: none.",
        at_least=0, at_most=1,
    )  # fmt: skip
    select: Literal["cider", "loss"] = option("cider", "Dev score that selects the best epoch.")
    patience: int = option(
        3, "Early stopping: epochs of a stage without a better dev score.", at_least=1
    )
    workers: int = option(
        1, "Processes that load clips; 0 loads them in the main process.", at_least=0, at_most=64
    )
    seed: int = option(1, "Random seed.", at_least=0)
