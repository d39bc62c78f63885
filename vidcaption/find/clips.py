"""Cuts moments out of their videos: packets are copied, nothing is re-encoded."""

import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream

from vidcaption.errors import InputError, OutputError
from vidcaption.find.search import Moment
from vidcaption.reasons import of_system
from vidcaption.suffixes import IMAGE_SUFFIXES
from vidcaption.video.container import open_video

_KEPT = {".mp4", ".mov", ".m4v", ".mkv", ".webm", ".ts", ".avi", ".gif"}  # others become Matroska
_APART_S = 2.0  # by which sound may follow its pictures in a file


def cut(moment: Moment, folder: Path, number: int) -> Path:
    """Write a moment to a file in ``folder``, with its sound, and return the path of the file.

    It begins at the last key frame before the moment. A picture is copied. Raises InputError,
    OutputError.
    """
    source = moment.path
    suffix = source.suffix.lower()
    still = suffix in IMAGE_SUFFIXES
    ending = suffix if still or suffix in _KEPT else ".mkv"
    target = folder / f"{number:03}-{source.stem[:60]}-{moment.start_s:.1f}s{ending}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder, prefix=".vidcaption-") as place:
            whole = Path(place, target.name)
            if still:
                shutil.copyfile(source, whole)
            else:
                _copy(moment, whole)
            whole.replace(target)
    except (FFmpegError, ValueError) as error:  # the latter for an unsupported codec
        raise InputError(
            f"{source} cannot be cut: it is damaged, or a {ending} file cannot hold its streams"
        ) from error
    except OSError as error:
        raise OutputError(
            f"{target} cannot be written: {of_system(error)}; choose another place"
        ) from error
    return target


def _copy(moment: Moment, target: Path) -> None:
    with (
        open_video(str(moment.path)) as (source, video),
        av.open(f"file:{target}", "w") as copy,
    ):
        streams: dict[Stream, Stream] = {video: copy.add_stream_from_template(video)}
        for sound in source.streams.audio:
            with suppress(ValueError):  # the container cannot hold it
                streams[sound] = copy.add_stream_from_template(sound)
        origin_s = (source.start_time or 0) / av.time_base
        start_s, end_s = origin_s + moment.start_s, origin_s + moment.end_s
        assert video.time_base is not None, "FFmpeg gives a stream that it decodes a time base"
        if source.duration is not None:  # otherwise it cannot be seeked, and is read from its start
            source.seek(int(start_s / video.time_base), stream=video)
        begin_s: float | None = None
        for packet in source.demux(list(streams)):
            time_s = _time(packet)
            if time_s is None:
                continue
            if time_s >= end_s + _APART_S:
                break
            if packet.stream is video:
                if begin_s is None and packet.pts is not None:
                    begin_s = float(packet.pts * packet.time_base)
            elif begin_s is None or time_s < begin_s:
                continue
            if begin_s is None or time_s >= end_s:
                continue
            shift = round(begin_s / packet.time_base)
            packet.dts = None if packet.dts is None else packet.dts - shift
            packet.pts = None if packet.pts is None else packet.pts - shift
            packet.stream = streams[packet.stream]
            copy.mux(packet)
    if begin_s is None:
        raise InputError(
            f"{moment.path} cannot be cut: its packets have no times; convert it to MP4 first"
        )


def _time(packet: "Packet[Any]") -> float | None:
    """The decoding time of a packet in seconds; None without one, as at the end."""
    time = packet.pts if packet.dts is None else packet.dts
    return None if time is None else float(time * packet.time_base)
