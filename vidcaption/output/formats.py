r"""Captions as text: one pure function per format, and several videos in one stream.

All output can be encoded as UTF-8, has ``\n`` line ends, is the same in every locale and is safe
to print on a terminal. JSON and JSONL preserve texts and paths exactly, with escapes; the others
write a text as one line, with ``\uXXXX`` for characters that could control a terminal.
"""

import csv
import html
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import srt

from vidcaption.errors import UsageError
from vidcaption.options.base import plain
from vidcaption.options.output import LANCE, PARQUET
from vidcaption.output.chapters import edl, ffmetadata, matroska
from vidcaption.output.layout import cues
from vidcaption.output.parquet import parquet
from vidcaption.output.text import clock, json_text, milliseconds, one_line, printable
from vidcaption.types import CaptionData, SceneGraph, Segment, Word

SCHEMA_VERSION = 1  # of schema.json; increased when readers of the old version would fail

CSV_HEADER = ("video", "start", "end", "text", "score", "confidence", "concepts")
TSV_HEADER = ("start", "end", "text", "confidence", "concepts")


def format_named(name: str) -> Callable[[CaptionData], str]:
    """The function that renders the format. Raises UsageError for an unknown name."""
    if name not in FORMATS:
        raise UsageError(f"{name!r} is not a caption format; allowed are {', '.join(FORMATS)}")
    return FORMATS[name]


def render_many(format: str, captions: Iterable[CaptionData]) -> Iterator[str]:
    """Several videos in one stream, as pieces of text to write one after the other.

    ``json`` becomes one array; ``csv`` and ``tsv`` have one header, and ``tsv`` a first column
    ``video``; ``txt`` has the video's path above its lines. The structure does not depend on the
    number of videos. Raises UsageError, before anything is read from ``captions``, for an unknown
    format, for one that can hold only a single video, and for ``parquet`` and ``lance``, which are
    not text.
    """
    stream = stream_named(format)
    if isinstance(stream, Table):
        raise UsageError(f"{format} is written to a file alone, as with -o captions.{format}")
    return stream.joined(map(stream.piece, captions))


def stream_named(format: str) -> "Stream | Table":
    """How several videos share one output in the format. Raises UsageError, as ``render_many``."""
    if format not in _STREAMS:
        format_named(format)
        raise UsageError(
            f"{format} holds only one video; formats for several in one output are "
            f"{', '.join(_STREAMS)}, or write one file per video with --out-dir"
        )
    return _STREAMS[format]


@dataclass(frozen=True, slots=True)
class Stream:
    """``piece`` renders one video; the other texts go before, between and after the pieces."""

    piece: Callable[[CaptionData], str]
    head: str = ""
    between: str = ""
    tail: str = ""

    def joined(self, pieces: Iterable[str]) -> Iterator[str]:
        yield self.head
        for number, piece in enumerate(pieces):
            yield self.between * (number > 0) + piece
        yield self.tail


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the lines of JSON that ``piece`` renders for one video.

    ``joined``: the content of its file; of a dataset, which ``lance`` writes, the lines.
    """

    piece: Callable[[CaptionData], str]
    joined: Callable[[Iterable[str]], Iterable[str | bytes]]


def readable_line(segment: Segment) -> str:
    """``[00:00.000 --> 00:04.000] text``, without a line end; with hours if there are any."""
    start, end = (
        clock(milliseconds(seconds)).removeprefix("00:")
        for seconds in (segment.start_s, segment.end_s)
    )
    return f"[{start} --> {end}] {one_line(segment.text)}"


def document(captions: CaptionData) -> dict[str, Any]:
    """What the JSON format holds; see ``schema.json``."""
    return {
        "schema": SCHEMA_VERSION,
        "video": asdict(captions.video),
        "model": asdict(captions.model),
        "options": {name: plain(value) for name, value in asdict(captions.options).items()},
        "corrupt": captions.corrupt,
        "segments": [segment_row(segment) for segment in captions.segments],
    }


def segment_row(segment: Segment) -> dict[str, Any]:
    """A segment as in JSON; see ``schema.json``."""
    return {
        "start": milliseconds(segment.start_s) / 1000,
        "end": milliseconds(segment.end_s) / 1000,
        "text": segment.text,
        "score": round(segment.score, 4),
        "confidence": None if segment.confidence is None else round(segment.confidence, 4),
        "below_min_confidence": segment.below_min_confidence,
        "words": _words(segment.words),
        "concepts": _words(segment.concepts),
        **(_graph(segment.graph) if segment.graph else {}),
    }


def _srt(captions: CaptionData) -> str:
    subtitles = (
        srt.Subtitle(
            index,
            timedelta(milliseconds=cue.start_ms),
            timedelta(milliseconds=cue.end_ms),
            # SRT has no escapes, and some players read any line with this arrow as a timing.
            "\n".join(cue.lines).replace("-->", "→"),
        )
        for index, cue in enumerate(cues(captions.shown, captions.video.duration_s), start=1)
    )
    text: str = srt.compose(subtitles, reindex=False)
    return text


def webvtt(segments: Iterable[Segment], note: str = "", video_end_s: float | None = None) -> str:
    """WebVTT. ``note``: a comment at its beginning; for ``video_end_s`` see ``cues``."""
    parts = ["WEBVTT\n"] + [f"NOTE {one_line(note)}\n"] * bool(note)
    for cue in cues(segments, video_end_s):
        text = html.escape("\n".join(cue.lines), quote=False)
        parts.append(f"{clock(cue.start_ms)} --> {clock(cue.end_ms)}\n{text}\n")
    return "\n".join(parts)


def _vtt(captions: CaptionData) -> str:
    return webvtt(captions.shown, video_end_s=captions.video.duration_s)


def _json(captions: CaptionData) -> str:
    return json_text(document(captions), indent=2, allow_nan=False) + "\n"


def _jsonl(captions: CaptionData) -> str:
    rows = ({"video": captions.video.path, **segment_row(segment)} for segment in captions.segments)
    return "".join(json_text(row, allow_nan=False) + "\n" for row in rows)


def _tsv(captions: CaptionData) -> str:
    return _tab_line(TSV_HEADER) + "".join(map(_tab_line, _tsv_rows(captions)))


def _csv(captions: CaptionData) -> str:
    return _comma_lines([CSV_HEADER]) + _csv_body(captions)


def _txt(captions: CaptionData) -> str:
    return "".join(one_line(segment.text) + "\n" for segment in captions.shown)


FORMATS: dict[str, Callable[[CaptionData], str]] = {
    "srt": _srt,
    "vtt": _vtt,
    "json": _json,
    "jsonl": _jsonl,
    "tsv": _tsv,
    "csv": _csv,
    "txt": _txt,
    "edl": edl,
    "chapters": ffmetadata,
    "xml": matroska,
}


def _json_piece(captions: CaptionData) -> str:
    return "\n" + _json(captions).rstrip("\n")


def _tsv_piece(captions: CaptionData) -> str:
    path = printable(captions.video.path)
    return "".join(_tab_line((path, *row)) for row in _tsv_rows(captions))


def _txt_piece(captions: CaptionData) -> str:
    return f"{printable(captions.video.path)}:\n{_txt(captions)}"


def _words(words: Iterable[Word]) -> list[dict[str, Any]]:
    return [{"text": word.text, "probability": round(word.probability, 4)} for word in words]


def _graph(graph: SceneGraph) -> dict[str, Any]:
    regions = [
        {
            "box": [round(number, 1) for number in each.box],
            "text": each.text,
            "label": each.label or None,
            "score": round(each.score, 4),
        }
        for each in graph.regions
    ]
    relations = [asdict(each) | {"score": round(each.score, 4)} for each in graph.relations]
    return {"regions": regions, "relations": relations}


def _tsv_rows(captions: CaptionData) -> Iterator[tuple[str, ...]]:
    """Whole milliseconds: a spreadsheet could read a decimal point as a thousands separator."""
    for segment in captions.shown:
        start, end = milliseconds(segment.start_s), milliseconds(segment.end_s)
        yield str(start), str(end), one_line(segment.text), *_certainty(segment)


def _certainty(segment: Segment) -> tuple[str, str]:
    """Cells of a table: the confidence, and the concepts as ``dog 0.930; traffic light 0.400``."""
    sure = "" if segment.confidence is None else f"{segment.confidence:.4f}"
    concepts = (f"{one_line(each.text)} {each.probability:.3f}" for each in segment.concepts)
    return sure, "; ".join(concepts)


def _tab_line(cells: Sequence[str]) -> str:
    """The cells hold no tab and no line break: ``printable`` has escaped them."""
    return "\t".join(cells) + "\n"


def _csv_body(captions: CaptionData) -> str:
    return _comma_lines(
        (
            printable(captions.video.path),
            f"{milliseconds(segment.start_s) / 1000:.3f}",
            f"{milliseconds(segment.end_s) / 1000:.3f}",
            one_line(segment.text),
            f"{segment.score:.4f}",
            *_certainty(segment),
        )
        for segment in captions.shown
    )


def _comma_lines(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


_STREAMS: dict[str, Stream | Table] = {
    "json": Stream(_json_piece, head="[", between=",", tail="\n]\n"),
    "jsonl": Stream(_jsonl),
    "tsv": Stream(_tsv_piece, head=_tab_line(("video", *TSV_HEADER))),
    "csv": Stream(_csv_body, head=_comma_lines([CSV_HEADER])),
    "txt": Stream(_txt_piece, between="\n"),
    PARQUET: Table(_jsonl, joined=parquet),
    LANCE: Table(_jsonl, joined=iter),
}
