"""The index in SQLite: the captioned videos, how they were captioned, and their windows.

One file, which any number of processes may read and write: a transaction per video, and no journal
beside it in between. A window's number is that of its video times 2 ** 20 plus its position, so a
search in some videos looks up no windows of others. The vectors of a video are one value, a row for
each of its windows: a million windows are read in a fraction of a second.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from vidcaption.errors import OutputError, UsageError
from vidcaption.find import database
from vidcaption.find.database import (
    APPLICATION,
    PAGE_BYTES,
    SCHEMA,
    VECTORS,
    VERSION,
    explained,
)
from vidcaption.find.query import Query, expression
from vidcaption.options.captioning import CaptionOptions
from vidcaption.output.text import milliseconds, printable
from vidcaption.reasons import of_system
from vidcaption.types import Segment

PLACE_BITS = 20  # of a window's number: a video has at most a million windows
POOL = 10_000  # maximum of ranked windows; SQLite ranks about 250,000 per second

_VIDEO = "id, path, size, mtime_ns, digest, duration_s, recipe, error"
_ENTRY = "start_ms, end_ms, text, concepts, score, confidence"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How captions were made. ``model``: its name as given, None for the built-in one."""

    model: str | None
    sha256: str
    options: CaptionOptions


@dataclass(frozen=True, slots=True)
class State:
    """A file when it was read: size and time show changes, ``digest`` identifies the content."""

    size: int
    mtime_ns: int
    digest: str


@dataclass(frozen=True, slots=True)
class Video:
    """A file in the index. ``recipe``: its number. ``error``: why it has no captions, or None."""

    id: int
    name: bytes
    state: State
    duration_s: float | None
    recipe: int
    error: str | None

    @property
    def path(self) -> Path:
        # made on demand: for all files it can take longer than a search
        return Path(os.fsdecode(self.name))


@dataclass(frozen=True, slots=True)
class Entry:
    """The stored data of a window. ``concepts``: words for its content, besides its caption;
    ``vector``: see ``Segment``."""

    start_s: float
    end_s: float
    text: str
    score: float
    confidence: float | None = None
    concepts: tuple[str, ...] = ()
    vector: bytes = b""

    @classmethod
    def of(cls, segment: Segment) -> "Entry":
        concepts = tuple(concept.text for concept in segment.concepts)
        return cls(
            *(segment.start_s, segment.end_s, segment.text, segment.score),
            *(segment.confidence, concepts, segment.vector),
        )


@dataclass(frozen=True, slots=True)
class Hit:
    """A window found in the video of number ``video``. ``rank``: BM25, higher is better.

    Its words and phrases match those of the query by their stems, unless it is not ``said``.
    """

    number: int
    rank: float
    said: bool = True

    @property
    def video(self) -> int:
        """The number of the video."""
        return self.number >> PLACE_BITS


class Index:
    """An open index. Raises OutputError if SQLite cannot read or write it, or waits too long.

    ``create``: create the file if it does not exist.
    Raises UsageError for a file that is not an index, or is of a newer version.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        with self._told():
            if create:
                path.parent.mkdir(parents=True, exist_ok=True)
            # rolling back the transaction of a killed process needs write access
            mode = "rwc" if create else "rw" if os.access(path, os.W_OK) else "ro"
            self._db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=database.WAIT_S,
                isolation_level=None,
            )
        try:
            self._prepare(create)
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def add_folder(self, folder: Path) -> None:
        """Remember a folder to be kept up to date."""
        with self._writing():
            self._db.execute("INSERT OR IGNORE INTO folders VALUES (?)", (os.fsencode(folder),))

    def folders(self) -> list[Path]:
        """The remembered folders."""
        rows = self._all("SELECT path FROM folders ORDER BY path")
        return [Path(os.fsdecode(path)) for (path,) in rows]

    def recipe_id(self, recipe: Recipe) -> int:
        """The number of a recipe, which becomes the latest and is added if it is new."""
        options = json.dumps(recipe.options.recipe, sort_keys=True)
        with self._writing():
            rows = self._db.execute(
                "INSERT INTO recipes (model, sha256, options, used)"
                " VALUES (?, ?, ?, (SELECT coalesce(max(used), 0) + 1 FROM recipes))"
                " ON CONFLICT DO UPDATE SET model = excluded.model, used = excluded.used"
                " RETURNING id",
                (recipe.model and os.fsencode(recipe.model), recipe.sha256, options),
            ).fetchall()
        return int(rows[0][0])

    def latest_recipe(self) -> tuple[str | None, CaptionOptions] | None:
        """Model and options of the recipe that was used last, or None.

        Raises UsageError if this version does not know the options.
        """
        rows = self._all("SELECT model, options FROM recipes ORDER BY used DESC LIMIT 1")
        if not rows:
            return None
        model, options = rows[0]
        try:
            return model and os.fsdecode(model), CaptionOptions(**json.loads(options))
        except TypeError as error:
            raise UsageError(
                f"{self.path} was made with options that this version does not have; set current "
                "ones with vidcaption index"
            ) from error

    def latest_model(self) -> tuple[str | None, str] | None:
        """Name and sha256 of the model that was used last, or None."""
        rows = self._all("SELECT model, sha256 FROM recipes ORDER BY used DESC LIMIT 1")
        return (rows[0][0] and os.fsdecode(rows[0][0]), rows[0][1]) if rows else None

    def videos(self) -> dict[Path, Video]:
        """All files, by path."""
        return {video.path: video for video in self.each_video()}

    def each_video(self) -> list[Video]:
        """All files."""
        return list(map(_video, self._all(f"SELECT {_VIDEO} FROM videos")))

    def video(self, path: Path) -> Video | None:
        """The entry of a file, if any."""
        found = self._all(f"SELECT {_VIDEO} FROM videos WHERE path = ?", (os.fsencode(path),))
        return _video(found[0]) if found else None

    def put(
        self,
        path: Path,
        state: State,
        recipe: int,
        entries: Iterable[Entry] = (),
        *,
        duration_s: float | None = None,
        error: str | None = None,
    ) -> None:
        """Store a file's windows, or its error, replacing any earlier entry."""
        entries = list(entries)
        with self._writing():
            self._drop(path)
            video = self._add(path, state, duration_s, recipe, error)
            self._db.executemany(
                "INSERT INTO windows VALUES (?, ?, ?, ?, ?, ?, ?)",
                (_row(video << PLACE_BITS | place, entry) for place, entry in enumerate(entries)),
            )
            self._add_words(video)
            if size := max((len(entry.vector) for entry in entries), default=0):
                rows = b"".join(entry.vector.ljust(size, b"\0") for entry in entries)
                self._db.execute("INSERT INTO vectors VALUES (?, ?)", (video, rows))

    def move(self, video: Video, path: Path, state: State) -> None:
        """Record that the file was moved, or has another modification time."""
        with self._writing():
            if path != video.path:
                self._drop(path)
            self._db.execute(
                "UPDATE videos SET path = ?, size = ?, mtime_ns = ?, digest = ? WHERE id = ?",
                (os.fsencode(path), state.size, state.mtime_ns, state.digest, video.id),
            )

    def copy(self, video: Video, path: Path, state: State) -> None:
        """Copy the entry of a file to another one with the same content."""
        with self._writing():
            self._drop(path)
            copied = self._add(path, state, video.duration_s, video.recipe, video.error)
            self._db.execute(
                f"INSERT INTO windows SELECT id + ?, {_ENTRY} FROM windows"
                " WHERE id BETWEEN ? AND ?",
                ((copied - video.id) << PLACE_BITS, *_numbers(video.id)),
            )
            self._add_words(copied)
            self._db.execute(
                "INSERT INTO vectors SELECT ?, rows FROM vectors WHERE video = ?",
                (copied, video.id),
            )

    def remove(self, videos: Iterable[Video]) -> None:
        """Remove files and their windows."""
        with self._writing():
            for video in videos:
                self._drop(video.path)

    def count(self) -> int:
        """The number of windows."""
        return int(self._all("SELECT count(*) FROM windows")[0][0])

    def match_all(
        self, query: Query, videos: Sequence[int] | None, confidence: float | None
    ) -> Iterator[Hit]:
        """Windows with all terms of a query, best first.

        ``videos``: only in these; all if None. ``confidence``: the minimum. If more than ``POOL``
        windows match, those of the videos that were added last are ranked. Ties are ordered by
        the model's score.
        """
        yield from self._ranked(query.all_of(), videos, confidence)

    def match_any(
        self, query: Query, videos: Sequence[int] | None, confidence: float | None
    ) -> Iterator[Hit]:
        """The same with any of the terms, of which one must not be too frequent, if possible."""
        rare = [term for term in query.terms if self._is_rare(term)]
        if len(rare) in (0, len(query.terms)):
            yield from self._ranked(query.any_of(query.terms), videos, confidence)
            return
        candidates, values = _candidates(videos, confidence)
        yield from self._hits(
            "SELECT rowid AS id, bm25(words) AS rank FROM words"
            # the plus prevents SQLite from running the search once per candidate
            f" WHERE words MATCH :any AND +rowid IN (SELECT rowid {candidates})",
            {**values, "needed": query.any_of(rare), "any": query.any_of(query.terms)},
        )

    def recipes(self, sha256: str) -> set[int]:
        """The numbers of the recipes with this model."""
        return {id for (id,) in self._all("SELECT id FROM recipes WHERE sha256 = ?", (sha256,))}

    def vectors(self, videos: Sequence[int] | None) -> Iterator[tuple[int, bytes]]:
        """The number of each video that has vectors, and those of its windows, one after the other.

        ``videos``: only these; all if None.
        """
        if not self._has_vectors:
            return
        chosen = "" if videos is None else " WHERE video IN (SELECT value FROM json_each(?))"
        with self._told():
            yield from self._db.execute(
                f"SELECT video, rows FROM vectors{chosen} ORDER BY video",
                () if videos is None else (json.dumps(videos),),
            )

    def entry(
        self, number: int, excluded: str = "", confidence: float | None = None
    ) -> Entry | None:
        """The entry of a window, without its vector, unless it matches the expression ``excluded``,
        has less confidence, or another process has replaced its video."""
        rows = self._all(
            f"SELECT {_ENTRY} FROM windows WHERE id = ?1 AND (?2 IS NULL OR confidence >= ?2)",
            (number, confidence),
        )
        if not rows or (
            excluded
            and self._all(
                "SELECT 1 FROM words WHERE words MATCH ? AND rowid = ?", (excluded, number)
            )
        ):
            return None
        return _entry(rows[0])

    def _ranked(
        self, needed: str, videos: Sequence[int] | None, confidence: float | None
    ) -> Iterator[Hit]:
        """Windows that match an expression, best first."""
        candidates, values = _candidates(videos, confidence)
        ranked = f"SELECT rowid AS id, bm25(words) AS rank {candidates}"
        yield from self._hits(ranked, {**values, "needed": needed})

    def _hits(self, ranked: str, values: dict[str, Any]) -> Iterator[Hit]:
        # all at once, as an unfinished statement blocks other writers
        with self._told():
            order = self._db.execute(
                f"SELECT id, rank FROM ({ranked}) JOIN windows USING (id)"
                " ORDER BY round(rank, 3), score DESC, id",
                values,
            ).fetchall()
        yield from (Hit(number, -rank) for number, rank in order)

    def _is_rare(self, term: str) -> bool:
        """Whether it is rare enough for all its windows to be ranked."""
        rows = self._all(
            "SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)",
            (expression(term), POOL + 1),
        )
        return 0 < int(rows[0][0]) <= POOL

    def _add(
        self, path: Path, state: State, duration_s: float | None, recipe: int, error: str | None
    ) -> int:
        video = self._db.execute(
            "INSERT INTO videos (path, size, mtime_ns, digest, duration_s, recipe, error)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                os.fsencode(path),
                state.size,
                state.mtime_ns,
                state.digest,
                duration_s,
                recipe,
                error and printable(error),
            ),
        ).lastrowid
        assert video is not None
        return video

    def _add_words(self, video: int) -> None:
        self._db.execute(
            "INSERT INTO words (rowid, text, concepts)"
            " SELECT id, text, concepts FROM windows WHERE id BETWEEN ? AND ?",
            _numbers(video),
        )

    def _drop(self, path: Path) -> None:
        """Remove a file, if it is known, inside a transaction."""
        row = self._db.execute(
            "SELECT id FROM videos WHERE path = ?", (os.fsencode(path),)
        ).fetchone()
        if row is None:
            return
        self._db.execute(
            "INSERT INTO words (words, rowid, text, concepts)"
            " SELECT 'delete', id, text, concepts FROM windows WHERE id BETWEEN ? AND ?",
            _numbers(row[0]),
        )
        self._db.execute("DELETE FROM windows WHERE id BETWEEN ? AND ?", _numbers(row[0]))
        self._db.execute("DELETE FROM vectors WHERE video = ?", row)
        self._db.execute("DELETE FROM videos WHERE id = ?", row)

    def _prepare(self, create: bool) -> None:
        with self._told():
            version = self._header("user_version")
            if create and not version and not self._header("schema_version"):
                self._db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
                with self._writing():
                    if not self._header("schema_version"):  # not created by another process
                        self._run(SCHEMA)
                        self._run(VECTORS)
                version = VERSION
            if create and version == 1:
                with self._writing():
                    if self._header("user_version") == 1:  # not upgraded by another process
                        self._run(VECTORS)
                version = VERSION
            self._has_vectors = version > 1
        if self._header("application_id") != APPLICATION:
            raise UsageError(f"--index is {self.path}, which is not an index; name another file")
        if not 1 <= version <= VERSION:
            raise UsageError(
                f"--index is {self.path}, which was made by a newer vidcaption; update this one, "
                "or name another file"
            )

    def _run(self, statements: str) -> None:
        for statement in filter(str.strip, statements.split(";")):
            self._db.execute(statement)

    def _header(self, name: str) -> int:
        return int(self._all(f"PRAGMA {name}")[0][0])

    def _all(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._told():
            return self._db.execute(statement, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction: committed, or rolled back if the context ends with an error."""
        with self._told():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        """An error of SQLite or the system, in a sentence."""
        try:
            yield
        except OSError as error:
            raise OutputError(f"{self.path} cannot be written: {of_system(error)}") from error
        except sqlite3.Error as error:
            raise explained(error, self.path) from error


def _candidates(
    videos: Sequence[int] | None, confidence: float | None
) -> tuple[str, dict[str, Any]]:
    """SQL and its values for at most ``POOL`` windows that match ``:needed``."""
    source = "FROM words WHERE words MATCH :needed"
    if videos is not None:
        source += f" AND rowid >> {PLACE_BITS} IN (SELECT value FROM json_each(:videos))"
    if confidence is not None:
        source += " AND (SELECT confidence FROM windows WHERE id = words.rowid) >= :confidence"
    values = {"videos": json.dumps(videos), "confidence": confidence, "pool": POOL}
    return f"{source} ORDER BY rowid DESC LIMIT :pool", values


def _numbers(video: int) -> tuple[int, int]:
    """The first and the last possible number of the video's windows."""
    return video << PLACE_BITS, (video + 1 << PLACE_BITS) - 1


def _video(row: Sequence[Any]) -> Video:
    id, name, size, mtime_ns, digest, *rest = row
    return Video(id, name, State(size, mtime_ns, digest), *rest)


def _entry(row: Sequence[Any]) -> Entry:
    start_ms, end_ms, text, concepts, score, confidence = row
    words = tuple(concepts.split("\n")) if concepts else ()
    return Entry(start_ms / 1000, end_ms / 1000, text, score, confidence, words)


def _row(number: int, entry: Entry) -> tuple[Any, ...]:
    return (
        number,
        milliseconds(entry.start_s),
        milliseconds(entry.end_s),
        printable(entry.text),
        "\n".join(map(printable, entry.concepts)),
        entry.score,
        entry.confidence,
    )
