"""Searches an index for the moments that match a query, in existing files."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path

from vidcaption.find.index import Index, Video
from vidcaption.find.query import Query
from vidcaption.options.batch import FindOptions


@dataclass(frozen=True, slots=True)
class Moment:
    """A part of a file. ``score``: BM25 of its caption and concepts, higher is better."""

    path: Path
    start_s: float
    end_s: float
    text: str
    score: float
    confidence: float | None
    concepts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """``moments``: best first. ``away``: the number of better ones in missing files."""

    moments: list[Moment]
    away: int


def search(index: Index, query: Query, options: FindOptions, folders: Sequence[Path] = ()) -> Found:
    """The best moments for a query: those with all of its words, then those with some of them.

    ``folders``: only in files below them. Raises OutputError.
    """
    known = index.videos().values()
    fits = _filter(options, folders)
    videos = {video.id: video.path for video in known if fits(video)}
    chosen = list(videos) if len(videos) < len(known) else None
    there: dict[int, bool] = {}
    moments: list[Moment] = []
    seen: set[tuple[int, float]] = set()
    away = 0
    for match in (index.match_all, index.match_any)[: len(query.terms)]:
        for hit in match(query, chosen, options.min_confidence):
            if len(moments) == options.limit:
                return Found(moments, away)
            # files added in the meantime are not among the videos
            if hit.video not in videos or (hit.video, hit.entry.start_s) in seen:
                continue
            seen.add((hit.video, hit.entry.start_s))
            path, entry = videos[hit.video], hit.entry
            if not there.setdefault(hit.video, path.exists()):
                away += 1
                continue
            moments.append(
                Moment(
                    path,
                    entry.start_s,
                    entry.end_s,
                    entry.text,
                    hit.rank,
                    entry.confidence,
                    entry.concepts,
                )
            )
    return Found(moments, away)


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
