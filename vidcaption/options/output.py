"""Options for output and messages."""

import os
from dataclasses import dataclass, fields
from pathlib import Path, PurePath
from typing import Literal

from vidcaption.addresses import Location, location_of
from vidcaption.errors import UsageError
from vidcaption.options.base import Options, option

PARQUET, LANCE = TABLES = ("parquet", "lance")  # which only --output writes
_STDOUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


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
        None,
        "Write one file, in the format of its suffix, also .parquet or .lance; - is standard "
        "output.",
        short="-o",
    )
    out_dir: Path | None = option(
        None, "Write under this folder, in the same tree as the inputs.", addresses=True
    )

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
    def folder(self) -> Location | None:
        """``out_dir``, which may be an address."""
        return None if self.out_dir is None else location_of(self.out_dir)

    @property
    def _suffix(self) -> str:
        return PurePath(self.output or "").suffix.lower().removeprefix(".")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.output is not None and self.out_dir is not None:
            raise UsageError("--output and --out-dir contradict each other; remove one of them")
        if self.out_dir is not None and not self.formats:
            raise UsageError("--out-dir is given without a format; add one, such as --srt")
        folder = self._suffix != LANCE and os.path.isdir(self.output or "")
        if self.output and (self.output[-1] in "/\\" or folder):
            raise UsageError(
                f"--output is {self.output!r}, which is a folder; to write into it, use --out-dir "
                "and a format, such as --srt"
            )
        if self.output is not None and len(self.formats) > 1:
            raise UsageError(
                f"--output is one file, for one format, and {len(self.formats)} are given; "
                "omit --output to write each next to its input, or use --out-dir"
            )
        named, known = self._suffix, (*self.known_formats(), *TABLES)
        # any text may be called .txt
        if named in known and named not in (*self.formats, "txt"):
            raise UsageError(
                f"--output is {self.output!r}, a name for {named}, and --{self.formats[0]} is "
                f"given; remove that, or end the name in .{self.formats[0]}"
            )
        if not set(self.formats) <= set(known):
            raise UsageError(
                f"--output is {self.output!r} and its suffix is not that of a format; end it "
                f"in one of .{', .'.join(known)}, or add a format, such as --srt"
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
    recursive: bool = option(False, "Include subfolders, and follow links to folders.", short="-r")
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
