"""The jobs of a server, in SQLite: what a client was promised survives a kill."""

import json
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from vidcaption.errors import OutputError, UsageError
from vidcaption.options.base import from_plain, plain
from vidcaption.options.captioning import CaptionOptions
from vidcaption.reasons import of_sqlite, of_system

# "gone": deleted, and still to be erased
Status = Literal["queued", "running", "done", "failed", "cancelled", "gone"]
VERSION = 1  # of the schema
RETRY_S = (5.0, 30.0, 120.0, 600.0, 3600.0)  # after which a callback is tried again

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, name TEXT, path BLOB,
    uploaded INTEGER, bytes INTEGER, options TEXT, callback TEXT, status TEXT,
    created REAL, started REAL, finished REAL, duration_s REAL, captions INTEGER, error TEXT,
    call_at REAL, calls INTEGER DEFAULT 0, callback_error TEXT
);
CREATE INDEX IF NOT EXISTS jobs_by_status ON jobs (status, number);
PRAGMA user_version = {VERSION};
"""
_JOB = (
    "number, id, name, path, uploaded, bytes, options, callback, status, created, started,"
    " finished, duration_s, captions, error, calls, callback_error"
)


@dataclass(frozen=True, slots=True)
class Job:
    """A video to be captioned.

    ``number``: in the order of arrival. ``name``: what the client calls the video; ``path``: where
    it is. ``uploaded``: whether it is ours, and goes with the job; ``bytes``: its size then.
    ``created``, ``started``, ``finished``: seconds since 1970. ``duration_s``, ``captions``: length
    of the video and number of captions, once it is done. ``calls``: how often ``callback`` was
    tried, and ``callback_error`` why the last try failed.
    """

    number: int
    id: str
    name: str
    path: Path
    uploaded: bool
    bytes: int
    options: CaptionOptions
    callback: str | None
    status: Status
    created: float
    started: float | None
    finished: float | None
    duration_s: float | None
    captions: int | None
    error: str | None
    calls: int
    callback_error: str | None

    @property
    def over(self) -> bool:
        return self.status not in ("queued", "running")


def new_id() -> str:
    """A name for a job that cannot be guessed, of letters, digits, - and _."""
    return secrets.token_urlsafe(12)


class Jobs:
    """All jobs, for any thread. Raises OutputError where SQLite cannot read or write them.

    Jobs that a server was at when it ended wait again.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise self._failed(error) from error
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def add(
        self,
        id: str,
        name: str,
        path: Path,
        options: CaptionOptions,
        callback: str | None = None,
        *,
        uploaded: bool = False,
        bytes: int = 0,
    ) -> Job:
        """A new job, on disk when this returns."""
        row = {
            "id": id, "name": name, "path": os.fsencode(path), "uploaded": uploaded,
            "bytes": bytes, "options": _to_json(options), "callback": callback,
            "status": "queued", "created": time.time(),
        }  # fmt: skip
        names = ", ".join(row)
        values = ", ".join(f":{name}" for name in row)
        return self._jobs(f"INSERT INTO jobs ({names}) VALUES ({values}) RETURNING {_JOB}", row)[0]

    def get(self, id: str, *, gone: bool = False) -> Job | None:
        """The job of this name; one that was deleted only with ``gone``."""
        found = self._jobs(f"SELECT {_JOB} FROM jobs WHERE id = ?", (id,))
        return found[0] if found and (gone or found[0].status != "gone") else None

    def latest(self, limit: int) -> list[Job]:
        """The newest first."""
        return self._jobs(
            f"SELECT {_JOB} FROM jobs WHERE status <> 'gone' ORDER BY number DESC LIMIT ?", (limit,)
        )

    def done_for(self, path: Path) -> Job | None:
        """The newest that has captions of this file."""
        found = self._jobs(
            f"SELECT {_JOB} FROM jobs WHERE path = ? AND status = 'done'"
            " ORDER BY number DESC LIMIT 1",
            (os.fsencode(path),),
        )
        return found[0] if found else None

    def waiting(self, before: int | None = None) -> int:
        """How many wait, in all or before the job of this number."""
        return self._number(
            "SELECT count(*) FROM jobs WHERE status = 'queued' AND (? IS NULL OR number < ?)",
            (before, before),
        )

    def stored_bytes(self) -> int:
        """Size of all uploads that are kept."""
        return self._number("SELECT coalesce(sum(bytes), 0) FROM jobs", ())

    def claim(self) -> Job | None:
        """The next job, which is running now."""
        claimed = self._jobs(
            "UPDATE jobs SET status = 'running', started = ? WHERE number ="
            " (SELECT min(number) FROM jobs WHERE status = 'queued') RETURNING " + _JOB,
            (time.time(),),
        )
        return claimed[0] if claimed else None

    def finish(
        self,
        id: str,
        status: Status,
        *,
        duration_s: float | None = None,
        captions: int | None = None,
        error: str | None = None,
    ) -> bool:
        """The end of a running job. False if it was cancelled or deleted in the meantime."""
        values = {"duration_s": duration_s, "captions": captions, "error": error}
        return self._become(status, id, "status = 'running'", values) is not None

    def cancel(self, id: str) -> Job | None:
        """The job as it was, if it waited or ran."""
        return self._become("cancelled", id, "status IN ('queued', 'running')")

    def give_back(self, id: str) -> None:
        """Let a running job wait again, at its place."""
        self._all("UPDATE jobs SET status = 'queued' WHERE id = ? AND status = 'running'", (id,))

    def delete(self, id: str) -> Job | None:
        """Hide a job until it is erased. The job as it was."""
        return self._become("gone", id, "status <> 'gone'")

    def statuses(self) -> dict[str, str]:
        """The status of every job by its id, also of those that were deleted and not erased."""
        return dict(self._all("SELECT id, status FROM jobs"))

    def erase(self, id: str) -> None:
        """Forget a job whose files are gone."""
        self._all("DELETE FROM jobs WHERE id = ?", (id,))

    def release(self, id: str) -> None:
        """The upload of a job is not kept any more."""
        self._all("UPDATE jobs SET bytes = 0 WHERE id = ?", (id,))

    def ended_before(self, time_s: float) -> list[Job]:
        """Jobs that are over since then."""
        return self._jobs(
            f"SELECT {_JOB} FROM jobs WHERE finished < ? AND status <> 'gone'", (time_s,)
        )

    def to_call(self) -> list[Job]:
        """Jobs that are over and whose callback is due."""
        return self._jobs(
            f"SELECT {_JOB} FROM jobs WHERE call_at <= ? AND status <> 'gone'", (time.time(),)
        )

    def called(self, job: Job, error: str | None) -> None:
        """A callback was tried. With an error it is tried again, up to len(RETRY_S) times."""
        again = error is not None and job.calls < len(RETRY_S)
        call_at = time.time() + RETRY_S[job.calls] if again else None
        self._all(
            "UPDATE jobs SET calls = calls + 1, callback_error = ?, call_at = ? WHERE id = ?",
            (error, call_at, job.id),
        )

    def _become(
        self, status: Status, id: str, condition: str, values: Mapping[str, Any] | None = None
    ) -> Job | None:
        """End a job, whose callback is due then. The job as it was, if the condition holds."""
        now = time.time()
        row = {"status": status, "finished": now, **(values or {})}
        with self._lock, self._explaining():
            self._db.execute("BEGIN IMMEDIATE")
            before = self._db.execute(
                f"SELECT {_JOB} FROM jobs WHERE id = ? AND {condition}", (id,)
            ).fetchone()
            if before:
                self._db.execute(
                    f"UPDATE jobs SET {', '.join(f'{name} = :{name}' for name in row)},"
                    " call_at = CASE WHEN callback IS NULL THEN NULL ELSE :finished END"
                    " WHERE id = :id",
                    {**row, "id": id},
                )
            self._db.execute("COMMIT")
        return _job(before) if before else None

    def _prepare(self) -> None:
        with self._explaining():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise UsageError(
                    f"{self._path} was made by a newer vidcaption; update this one, or name "
                    "another folder with --data"
                )
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.executescript(_SCHEMA)
        self._all("UPDATE jobs SET status = 'queued' WHERE status = 'running'")

    def _jobs(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Job]:
        return list(map(_job, self._all(statement, values)))

    def _number(self, statement: str, values: Sequence[Any]) -> int:
        return int(self._all(statement, values)[0][0])

    def _all(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        with self._lock, self._explaining():
            return self._db.execute(statement, values).fetchall()

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Inside, errors of SQLite become OutputError."""
        try:
            yield
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.rollback()
            raise self._failed(error) from error

    def _failed(self, error: OSError | sqlite3.Error) -> OutputError:
        reason = of_system(error) if isinstance(error, OSError) else of_sqlite(error)
        return OutputError(
            f"{self._path}, which holds the jobs, cannot be read or written: {reason}; make room "
            "for it, or name another folder with --data"
        )


def _to_json(options: CaptionOptions) -> str:
    return json.dumps({name: plain(value) for name, value in asdict(options).items()})


def _job(row: Sequence[Any]) -> Job:
    number, id, name, path, uploaded, bytes, options, *rest = row
    values = json.loads(options)
    # another version, which may have known other options, may have left it here
    known = {f.name: values[f.name] for f in fields(CaptionOptions) if f.name in values}
    return Job(
        number, id, name, Path(os.fsdecode(path)), bool(uploaded), bytes,
        from_plain(CaptionOptions, known), *rest,
    )  # fmt: skip
