"""Why something failed, in words for the user: libraries and systems have their own."""

import errno
import os
import re
import socket
import sqlite3
import ssl
from urllib.error import HTTPError

# What to do with an address that cannot be taken apart.
ADDRESS = "a port must be at most 65535, and an IPv6 address in brackets"

_PLACE = re.compile(r"line (\d+),? column (\d+)")  # of json, tomllib and yaml
_FOLDER = "a file is where a folder is needed"
_SYSTEM = {errno.EEXIST: _FOLDER, errno.ENOTDIR: _FOLDER}
_SQLITE = {
    sqlite3.SQLITE_BUSY: "another process holds it",
    sqlite3.SQLITE_LOCKED: "another process holds it",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_IOERR: "its disk or network fails",
    sqlite3.SQLITE_CORRUPT: "it is damaged",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_NOTADB: "it is not a database",
}


def unparsed(name: object, language: str, error: Exception, first: int = 1) -> str:
    """The beginning of a sentence: what is wrong with a text that is not JSON, TOML or YAML.

    ``name``: of the text; ``error``: of its parser, or of decoding it as UTF-8; ``first``: the
    number of its first line.

    >>> unparsed("a.json", "JSON", json.JSONDecodeError("Expecting value", "[\\n,]", 2))
    'a.json, line 2, column 1: not JSON'
    """
    if isinstance(error, UnicodeDecodeError):
        line = first + error.object.count(b"\n", 0, error.start)
        return f"{name}, line {line}: not UTF-8"
    if isinstance(error, RecursionError):
        return f"{name} is not {language}: it is nested too deeply"
    if getattr(error, "doc", None) == "":
        return f"{name} is empty, and not {language}"
    if places := _PLACE.findall(str(error)):
        line, column = map(int, places[-1])
        return f"{name}, line {line + first - 1}, column {column}: not {language}"
    if "digits" in str(error):  # of Python's limit for whole numbers
        return f"{name} is not {language}: a number has too many digits"
    return f"{name} is not {language}: it ends too early"


def of_system(error: Exception) -> str:
    """Why the system, or FFmpeg, refuses something, by an error with a number: the end of a
    sentence."""
    if isinstance(error, socket.gaierror):
        return "there is no host of that name"
    known = _SYSTEM.get(getattr(error, "errno", None) or 0)
    return known or getattr(error, "strerror", None) or str(error) or type(error).__name__


def of_sqlite(error: sqlite3.Error) -> str:
    """Why SQLite cannot read or write a database: the end of a sentence."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return _SQLITE.get(code, "it is not as this version makes it")


def of_network(error: BaseException) -> str:
    """Why a server cannot be reached, or what it answered: the end of a sentence."""
    chain = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) and before not in chain:
        chain.append(before)
    # urllib wraps an error without raising it from that
    chain += [each for one in chain if isinstance(each := getattr(one, "reason", None), OSError)]
    for each in chain:
        match each:
            case HTTPError():
                return f"its server answers {each.code}"
            case ssl.SSLCertVerificationError():
                return f"its certificate is not trusted: {each.verify_message}"
            case TimeoutError():
                return "its server does not answer in time"
            case ConnectionRefusedError():
                return "its server refuses the connection"
            case socket.gaierror():
                return "there is no host of that name, or no network"
    numbers = (each.errno for each in chain if isinstance(each, OSError) and each.errno)
    number = next(numbers, 0)
    return os.strerror(number).lower() if number > 0 else "the connection broke"
