"""Searches an index for the moments that match a query, in existing files."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from vidcaption.find.index import Hit, Index, Video
from vidcaption.find.query import Query
from vidcaption.options.batch import FindOptions

if TYPE_CHECKING:  # searching words needs no NumPy
    from vidcaption.find.meaning import Wanted


@dataclass(frozen=True, slots=True)
class Moment:
    """A part of a file. ``score``: BM25 of its caption and concepts, higher is better.
    ``said``: whether these have a word of the query, if there is one."""

    path: Path
    start_s: float
    end_s: float
    text: str
    score: float
    confidence: float | None
    concepts: tuple[str, ...]
    said: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """``moments``: best first. ``away``: the number of better ones in missing files."""

    moments: list[Moment]
    away: int


def search(
    index: Index,
    query: Query | None,
    options: FindOptions,
    folders: Sequence[Path] = (),
    wanted: "Wanted | None" = None,
) -> Found:
    """The best moments for a query: those with all of its words, then those with some of them.

    ``folders``: only in files below them. ``wanted``: what they should be like as well, or instead
    of having words if there is no query. Raises OutputError.
    """
    known = index.each_video()
    fits = _filter(options, folders)
    videos = {video.id: video for video in known if fits(video)}
    chosen = list(videos) if len(videos) < len(known) else None
    words = _by_words(index, query, chosen, options) if query else iter(())
    hits = words
    if wanted is not None:
        made = index.recipes(wanted.sha256)
        alike = [id for id, video in videos.items() if video.recipe in made]
        if alike:
            from vidcaption.find.meaning import joined

            some = alike if len(alike) < len(known) else None
            hits = joined(index, words, wanted, some)
    excluded = query.none_of() if query else ""
    there: dict[int, bool] = {}
    moments: list[Moment] = []
    away = 0
    for hit in hits:
        if len(moments) == options.limit:
            break
        if hit.video not in videos:  # it was added in the meantime
            continue
        entry = index.entry(hit.number, excluded, options.min_confidence)
        if entry is None:
            continue
        path = videos[hit.video].path
        if not there.setdefault(hit.video, path.exists()):
            away += 1
            continue
        moments.append(
            Moment(
                *(path, entry.start_s, entry.end_s, entry.text, hit.rank),
                *(entry.confidence, entry.concepts, hit.said),
            )
        )
    return Found(moments, away)


def _by_words(
    index: Index, query: Query, videos: Sequence[int] | None, options: FindOptions
) -> Iterator[Hit]:
    """Windows with all words of a query, then those with some; each once."""
    seen: set[int] = set()
    for match in (index.match_all, index.match_any)[: len(query.terms)]:
        for hit in match(query, videos, options.min_confidence):
            if hit.number not in seen:
                seen.add(hit.number)
                yield hit


def _filter(options: FindOptions, folders: Sequence[Path]) -> Callable[[Video], bool]:
    """A function that returns whether a video is to be searched."""
    pattern = None if options.path is None else f"*{options.path.casefold()}*"
    after_ns, before_ns = map(_ns, (options.after, options.before))
    roots = [Path(os.path.realpath(folder)) for folder in folders]

    def fits(video: Video) -> bool:
        duration_s = video.duration_s or 0.0  # pictures have none
        return (
            (not roots or any(map(video.path.is_relative_to, roots)))
            and (pattern is None or fnmatchcase(video.path.as_posix().casefold(), pattern))
            and (options.longer_s is None or duration_s >= options.longer_s)
            and (options.shorter_s is None or duration_s <= options.shorter_s)
            and (after_ns is None or video.state.mtime_ns >= after_ns)
            and (before_ns is None or video.state.mtime_ns < before_ns)
        )

    return fits


def _ns(day: str | None) -> int | None:
    """Local time in nanoseconds since 1970."""
    return None if day is None else int(datetime.fromisoformat(day).timestamp() * 1e9)
