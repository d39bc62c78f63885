"""The tables of the index, and what SQLite's errors mean."""

import sqlite3
from pathlib import Path

from vidcaption.errors import OutputError, SetupError, UsageError, VidcaptionError
from vidcaption.reasons import of_sqlite

VERSION = 2  # of the schema; 1 had no vectors
PAGE_BYTES = 16384  # the vectors of a video are read in half the time that SQLite's 4096 take
WAIT_S = 60.0  # for another process that is writing

APPLICATION = 0x76696463  # "vidc", in the file's header
SCHEMA = f"""
CREATE TABLE folders (path BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE recipes (
    id INTEGER PRIMARY KEY, model BLOB, sha256 TEXT, options TEXT, used INTEGER,
    UNIQUE (sha256, options)
);
CREATE TABLE videos (
    id INTEGER PRIMARY KEY AUTOINCREMENT, path BLOB UNIQUE, size INTEGER, mtime_ns INTEGER,
    digest TEXT, duration_s REAL, recipe INTEGER REFERENCES recipes, error TEXT
);
CREATE INDEX videos_by_digest ON videos (digest);
CREATE TABLE windows (
    id INTEGER PRIMARY KEY, start_ms INTEGER, end_ms INTEGER, text TEXT, concepts TEXT,
    score REAL, confidence REAL
);
CREATE VIRTUAL TABLE words USING fts5 (
    text, concepts, content=windows, content_rowid=id,
    tokenize='porter unicode61 remove_diacritics 2'
);
PRAGMA application_id = {APPLICATION};
"""
VECTORS = f"""
CREATE TABLE vectors (video INTEGER PRIMARY KEY, rows BLOB);
PRAGMA user_version = {VERSION};
"""


def explained(error: sqlite3.Error, path: Path) -> VidcaptionError:
    """An error of SQLite in a sentence."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_NOTADB:
        return UsageError(f"--index is {path}, which is not an index; name another file")
    if code == sqlite3.SQLITE_CORRUPT:
        return OutputError(f"{path} is damaged; delete it, and index the videos again")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return OutputError(
            f"{path} has been locked by another process for over {WAIT_S:g} s; try again "
            "when that has finished"
        )
    if code == sqlite3.SQLITE_FULL:
        return OutputError(f"{path} cannot be written: the disk is full; free some space")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return OutputError(
            f"{path} cannot be opened or written; check its permissions, or name "
            "another file with --index"
        )
    if "fts5" in str(error):
        return SetupError(
            "the SQLite of this Python has no full-text search (FTS5); use another Python"
        )
    return OutputError(f"{path} cannot be read or written: {of_sqlite(error)}")
