"""Puts subtitles into a copy of a video: as a track, with streams copied, or drawn."""

import html
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition, Stream
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import SubtitleSet
from av.video.stream import VideoStream

from vidcaption.errors import InputError, OutputError, UsageError
from vidcaption.output.layout import Cue
from vidcaption.output.write import replacing
from vidcaption.reasons import of_system
from vidcaption.video.container import is_still, open_video

logger = logging.getLogger(__name__)

Watch = Callable[[float], None]  # called with the seconds of video that are done

MILLISECOND = Fraction(1, 1000)
_OPTIONS = {"movflags": "+faststart"}  # of MP4: players can start before the whole file has arrived
# Text encoders need an ASS header and take the style from it.
_HEAD = b"""[Script Info]
ScriptType: v4.00+
[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, OutlineColour, BackColour, Alignment
Style: Default,Arial,16,&Hffffff,&H0,&H0,2
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of container, by FFmpeg's names: the muxer, its subtitles, what to encode with."""

    muxer: str
    subtitles: str
    encoder: str
    encoding: tuple[tuple[str, str], ...]


_H264 = ("libx264", (("crf", "18"), ("preset", "veryfast")))
_VP9 = ("libvpx-vp9", (("crf", "24"), ("deadline", "realtime"), ("cpu-used", "6"), ("row-mt", "1")))
KINDS = {
    ".mp4": Kind("mp4", "mov_text", *_H264),
    ".m4v": Kind("mp4", "mov_text", *_H264),
    ".mov": Kind("mov", "mov_text", *_H264),
    ".mkv": Kind("matroska", "subrip", *_H264),
    ".webm": Kind("webm", "webvtt", *_VP9),
}


def kind_of(target: Path) -> Kind:
    """Raises UsageError if the suffix is not that of a container that holds subtitles."""
    kind = KINDS.get(target.suffix.lower())
    if kind is None:
        raise UsageError(
            f"{target} must end in one of {', '.join(KINDS)}, which can hold subtitles"
        )
    return kind


def add_subtitles(
    video: Path, cues: Sequence[Cue], target: Path, language: str, watch: Watch
) -> None:
    """Write ``target``: the streams of ``video`` as they are, and the cues as a track of text.

    ``cues``: counted from the first frame, in order. ``language``: of ISO 639, such as ``eng``.
    Other subtitles are kept where ``target`` is of the same kind as ``video``. Raises UsageError
    for a kind that is not known, InputError, also if it cannot hold the streams, OutputError.
    """
    kind = kind_of(target)
    same = KINDS.get(video.suffix.lower()) == kind
    with opened(video) as (source, picture), created(target, kind, source) as output:
        kept = [*source.streams.video, *source.streams.audio]
        if same:
            kept += source.streams.subtitles
        elif source.streams.subtitles:
            logger.info(f"{video}: its subtitles are not copied to {target}, another container")
        copied = copies(output, kept)
        track = output.add_stream(kind.subtitles)
        assert isinstance(track, SubtitleStream)
        track.metadata.update(language=language, title="vidcaption")
        track.time_base = track.codec_context.time_base = MILLISECOND
        track.codec_context.subtitle_header = _HEAD
        track.disposition = Disposition.default
        output.start_encoding()
        texts = _packets(track, cues, start_s(picture), kind)
        waiting = next(texts, None)
        for packet in packets_of(video, source, kept):
            at_s = float((packet.dts or 0) * (packet.time_base or 0))
            watch(at_s)
            while waiting is not None and float((waiting.pts or 0) * MILLISECOND) <= at_s:
                output.mux(waiting)
                waiting = next(texts, None)
            packet.stream = copied[packet.stream.index]
            output.mux(packet)
        if waiting is not None:
            output.mux([waiting, *texts])


@contextmanager
def opened(video: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its best video stream. Raises InputError, also for a still image."""
    with open_video(str(video)) as (source, picture):
        if is_still(source, picture):
            raise InputError(f"{video} is a still image, which cannot hold subtitles; name a video")
        yield source, picture


@contextmanager
def created(target: Path, kind: Kind, source: InputContainer) -> Iterator[OutputContainer]:
    """A file with the metadata and chapters of ``source``; it appears if the context succeeds.

    Raises InputError if its kind cannot hold the streams, OutputError if it cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            options = _OPTIONS if kind.subtitles == "mov_text" else {}
            name = f"file:{temporary}"
            with av.open(name, "w", format=kind.muxer, container_options=options) as output:
                output.metadata.update(source.metadata)
                output.set_chapters(source.chapters())
                yield output
    except OSError as error:
        raise OutputError(
            f"{target} cannot be written ({of_system(error)}); choose another place"
        ) from error
    except (FFmpegError, ValueError) as error:
        streams = (*source.streams.video, *source.streams.audio)
        held = ", ".join(stream.name or stream.type for stream in streams)
        raise InputError(
            f"{target} cannot hold the streams of the video ({held}); name a file that ends in .mkv"
        ) from error


def copies(output: OutputContainer, streams: Iterable[Stream]) -> dict[int, Stream]:
    """The output stream for each input stream, by its index, with the same codec settings."""
    found = {}
    for stream in streams:
        found[stream.index] = copy = output.add_stream_from_template(stream)
        copy.metadata.update(stream.metadata)
        copy.disposition = stream.disposition
    return found


def start_s(picture: VideoStream) -> float:
    """Start of the video in the container, in seconds."""
    return float((picture.start_time or 0) * (picture.time_base or 0))


def packets_of(
    video: Path, source: InputContainer, streams: Sequence[Stream]
) -> "Iterator[Packet[Stream]]":
    """The packets of some streams, up to any damage that FFmpeg cannot skip."""
    try:
        for packet in source.demux(*streams):
            if packet.dts is not None:
                yield packet
    except (FFmpegError, IndexError):  # the latter from PyAV, for a stream that appears late
        logger.warning(f"{video} cannot be read to its end; it may be cut off")


def _packets(
    track: SubtitleStream, cues: Sequence[Cue], late_s: float, kind: Kind
) -> "Iterator[Packet[Stream]]":
    for cue in cues:
        lines = cue.lines
        if kind.subtitles == "webvtt":
            lines = tuple(html.escape(line, quote=False) for line in lines)
        # the escape character of ASS, which cannot be escaped
        text = r"\N".join(line.replace("\\", "\uff3c") for line in lines)
        length = cue.end_ms - cue.start_ms
        event = SubtitleSet.create(f"0,0,Default,,0,0,0,,{text}".encode(), 0, length)
        packet = track.codec_context.encode_subtitle(event)
        packet.stream, packet.time_base = track, MILLISECOND
        packet.pts = packet.dts = cue.start_ms + round(1000 * late_s)
        packet.duration = length
        yield packet
