"""The page of ``vidcaption report``: a video with its captions, to watch and to search."""

import base64
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from vidcaption.datasets.samples import Clip
from vidcaption.errors import InputError
from vidcaption.evaluation.captioning import to_clip
from vidcaption.model.device import Machine
from vidcaption.model.folder import Model
from vidcaption.output.captions import Captions
from vidcaption.output.text import milliseconds
from vidcaption.report.cases import Attention, attend
from vidcaption.report.page import render, script
from vidcaption.report.pictures import AREA, data_uri, heat, jpeg_uri, ratio, strip
from vidcaption.types import Segment, Word
from vidcaption.video.pixels import resize
from vidcaption.video.reader import VideoReader
from vidcaption.video.windows import LONGEST, centres

MOST_EMBEDDED = 256_000_000  # bytes: browsers refuse longer addresses
_PIXELS = 50_000_000  # of all pictures of a page: some 12 MB
_THUMBNAIL = 30_000  # pixels

Pictures = Iterable[tuple[int, Sequence[Clip]]]  # the frames of segments by their number

_KINDS = {".mp4": "mp4", ".m4v": "mp4", ".webm": "webm", ".mov": "quicktime", ".mkv": "matroska"}


def video_page(
    captions: Captions,
    model: Model,
    machine: Machine,
    page: Path,
    key: str,
    watch: Callable[[int], None],
    *,
    embed: bool = False,
    source: str | None = None,
    frames: Pictures | None = None,
) -> str:
    """HTML of the page at ``page``, with the video linked or embedded.

    The video is read once more, for its pictures and for where ``model``, which made the captions,
    looked for each word. ``key``: stored in the page, see ``site.read_card``. ``watch``: called
    with the number of captions that have their pictures. ``source``: the video's address, if it is
    neither linked by its path nor embedded. ``frames``: those of segments by number, if this
    process is not to read the video. Raises InputError.
    """
    below = "No caption reaches the confidence that was asked for."
    nothing = below if captions.segments else "The model gave no captions."
    captions = replace(captions, segments=captions.shown)
    info = captions.video
    still = info.duration_s is None
    if still:
        source = None
    elif source is None:
        source = _source(Path(info.path), page, embed)
    shape, thumbnail, pictures = _look(
        captions, frames or _pictures(captions), model, machine, watch
    )
    cues = [
        {
            "number": number,
            "start": _seconds(segment.start_s),
            "end": _seconds(segment.end_s),
            "clock": clock(segment.start_s),
            "text": segment.text,
            "sure": segment.confidence,
            "concepts": [(each.text, f"{each.probability:.0%}") for each in segment.concepts],
            **pictures.get(number, {"strip": None, "words": []}),
        }
        for number, segment in enumerate(captions.segments)
    ]
    name = Path(info.path).name
    facts = [f"{info.width} x {info.height}", *([] if still else [clock(info.duration_s or 0)])]
    card = {
        "key": key,
        "video": os.path.abspath(info.path),
        "name": name,
        "facts": ", ".join([*facts, counted(len(cues), "caption")]),
        "thumbnail": thumbnail,
        "captions": [[cue["start"], cue["clock"], cue["text"]] for cue in cues],
    }
    made_by = f"model {captions.model.name}, {captions.model.sha256[:12]}"
    return render(
        "video.html",
        title=name,
        facts=", ".join([*facts, made_by]),
        shape=f"{shape:.3f}",
        source=source,
        track=data_uri("text/vtt", captions.render("vtt").encode()),
        cues=cues,
        card=card,
        nothing=nothing,
        **script("player.js"),
    )


def clock(time_s: float) -> str:
    """``0:12`` or ``1:02:03``."""
    minutes, seconds = divmod(int(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def address(path: Path, page: Path) -> str:
    """The address of a file relative to a page, percent-encoded."""
    try:
        relative = os.path.relpath(os.path.abspath(path), os.path.abspath(page.parent))
    except ValueError:  # on another drive
        return path.absolute().as_uri()
    return quote(os.fsencode(relative.replace(os.sep, "/")))


def _seconds(time_s: float) -> str:
    """With milliseconds if there are any, as in the page's addresses: ``#t=12.5``."""
    return str(milliseconds(time_s) / 1000).removesuffix(".0")


def counted(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _source(video: Path, page: Path, embed: bool) -> str:
    if not embed:
        return address(video, page)
    try:
        size = video.stat().st_size
        if size > MOST_EMBEDDED:
            raise InputError(
                f"{video} has {size / 1e6:.0f} MB, but --embed allows {MOST_EMBEDDED / 1e6:.0f} MB"
                "; omit it, and keep the page and the video together"
            )
        data = base64.b64encode(video.read_bytes()).decode("ascii")
    except OSError as error:
        raise InputError(f"{video} cannot be read: {error.strerror}") from error
    return f"data:video/{_KINDS.get(video.suffix.lower(), 'mp4')};base64,{data}"


def _look(
    captions: Captions,
    pictures: Pictures,
    model: Model,
    machine: Machine,
    watch: Callable[[int], None],
) -> tuple[float, str | None, dict[int, dict[str, Any]]]:
    """Width by height of the picture, a thumbnail, and the page's data for segments by number.

    Raises InputError.
    """
    area = min(AREA, _PIXELS / max(1, len(captions.segments)))
    shape, thumbnail = 16 / 9, None
    shown: dict[int, dict[str, Any]] = {}
    for number, frames in pictures:
        if not shown:
            shape = ratio(frames[0])
            thumbnail = jpeg_uri(strip(frames[:1], _THUMBNAIL))
        words = captions.segments[number].words
        size = (model.network.config.input.image_size,) * 2
        clip = to_clip([resize(frame, size) for frame in frames])
        looks = attend(model, clip, [model.vocabulary.id_of(word.text) for word in words], machine)
        shown[number] = {
            "strip": jpeg_uri(strip(frames, area)),
            "frames": len(frames),
            "words": list(map(_word, words, looks)),
        }
        watch(len(shown))
    return shape, thumbnail, shown


def _pictures(captions: Captions) -> Iterator[tuple[int, list[Clip]]]:
    """The number of each segment with the frames of its first window, as soon as all are read.

    A segment may consist of several similar windows: equal captions are merged.
    """
    asked = sorted(
        (time_s, number)
        for number, segment in enumerate(captions.segments)
        for time_s in _times_s(segment, captions)
    )
    left = Counter(number for _, number in asked)
    frames: dict[int, list[Clip]] = {}
    with VideoReader(captions.video.path) as reader:
        found = reader.frames(time_s for time_s, _ in asked)
        for (_, number), frame in zip(asked, found, strict=False):
            frames.setdefault(number, []).append(frame.image)
            left[number] -= 1
            if not left[number]:
                yield number, frames.pop(number)


def _times_s(segment: Segment, captions: Captions) -> tuple[float, ...]:
    options = captions.options
    if captions.video.duration_s is None:
        return (0.0,)  # a still
    longest_s = options.window_s * LONGEST  # of one window, including a short remainder
    whole = segment.end_s - segment.start_s <= longest_s
    end_s = segment.end_s if whole else segment.start_s + options.window_s
    return centres(segment.start_s, end_s, options.frames)


def _word(word: Word, attention: Attention) -> dict[str, Any]:
    """``attention``: (T, G, G) of the word."""
    shares = attention.sum((1, 2))
    most = int(shares.argmax())
    tip = f"{word.text}: probability {word.probability:.0%}"
    if len(shares) > 1:
        tip += f"; {shares[most]:.0%} of its attention on picture {most + 1} of {len(shares)}"
    # (G, T * G): rows of the frames side by side
    cells = np.round(255 * heat(attention)).astype(np.uint8).transpose(1, 0, 2)
    return {
        "text": word.text,
        "sure": f"{word.probability:.2f}",
        "tip": tip,
        "heat": base64.b64encode(cells.tobytes()).decode("ascii"),
    }
