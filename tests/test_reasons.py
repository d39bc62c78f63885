"""Errors of libraries and of the system, in words for the user."""

import errno
import json
import os
import re
import socket
import sqlite3
import ssl
import tomllib
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import pytest
import yaml
from clips import Clips

from vidcaption import reasons
from vidcaption.cli import main

DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("language", "parse", "text", "told"),
    [
        ("JSON", json.loads, '[1,\n"a" 2]', "x, line 8, column 5: not JSON"),
        ("JSON", json.loads, "", "x is empty, and not JSON"),
        ("JSON", json.loads, DEEP, "x is not JSON: it is nested too deeply"),
        ("JSON", json.loads, "1" * 5000, "x is not JSON: a number has too many digits"),
        ("TOML", tomllib.loads, "\n[run\nbeam = 3", "x, line 8, column 5: not TOML"),
        ("TOML", tomllib.loads, "[run]\nbeam = ", "x is not TOML: it ends too early"),
        ("YAML", yaml.safe_load, "a: 1\nb: ]", "x, line 8, column 4: not YAML"),
        ("TOML", lambda text: tomllib.loads(os.fsencode(text).decode()), "a\n\udcff",
         "x, line 8: not UTF-8"),
    ],
)  # fmt: skip
def test_the_place_of_what_cannot_be_parsed(
    language: str, parse: Callable[[str], Any], text: str, told: str
) -> None:
    with pytest.raises((ValueError, RecursionError, yaml.YAMLError)) as caught:
        parse(text)
    assert reasons.unparsed("x", language, caught.value, first=7) == told


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (FileExistsError(errno.EEXIST, "File exists"), "a file is where a folder is needed"),
        (NotADirectoryError(errno.ENOTDIR, "Not a"), "a file is where a folder is needed"),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
        (OSError("odd"), "odd"),
        (OSError(), "OSError"),
        (socket.gaierror(-2, "Name or service not known"), "there is no host of that name"),
    ],
)
def test_of_the_system(error: OSError, told: str) -> None:
    assert reasons.of_system(error) == told


def untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


@pytest.mark.parametrize(
    ("inner", "told"),
    [
        (socket.gaierror(-2, "Name or service not known"), "there is no host of that name, or no"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "its server refuses the"),
        (TimeoutError("timed out"), "its server does not answer in time"),
        (untrusted(), "its certificate is not trusted: self-signed certificate"),
        (HTTPError("http://a/", 404, "Not Found", Message(), None), "its server answers 404"),
        (OSError(errno.ENETUNREACH, "x"), "network is unreachable"),
        (OSError("x"), "the connection broke"),
    ],
)
def test_of_the_network(inner: OSError, told: str) -> None:
    caused = RuntimeError("a library's words")
    caused.__cause__ = inner
    for error in (inner, caused, URLError(inner)):
        assert reasons.of_network(error).startswith(told)


def test_of_sqlite(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database, but long enough to be one" * 100)
    with sqlite3.connect(tmp_path / "text") as db:
        with pytest.raises(sqlite3.Error) as caught:
            db.execute("SELECT * FROM jobs")
        assert reasons.of_sqlite(caught.value) == "it is not a database"
    db.close()
    assert reasons.of_sqlite(sqlite3.OperationalError("no such table: jobs")) == (
        "it is not as this version makes it"
    )


def test_an_index_and_a_checkpoint_that_fail(tmp_path: Path) -> None:
    from vidcaption.errors import OutputError, UsageError
    from vidcaption.find.database import explained
    from vidcaption.serve.callbacks import check_callback
    from vidcaption.training.checkpoint import write_checkpoint

    error = sqlite3.OperationalError("no such table: videos")
    told = "i.sqlite cannot be read or written: it is not as this version makes it"
    assert str(explained(error, Path("i.sqlite"))) == told
    # PyTorch's own words are of its file inline_container.cc, or that a folder does not exist
    with pytest.raises(OutputError, match=r"cannot write .*\.pt: the disk is full, or its folder"):
        write_checkpoint(tmp_path / "gone" / "checkpoint.pt", {})
    with pytest.raises(UsageError, match="no address; a port must be at most 65535, and an IPv6"):
        check_callback("http://a:99999/", private=True)


# Words of json, tomllib, codecs, sockets and the system.
FOREIGN = re.compile(
    r"Expecti?n?g|delimiter|char \d|codec|statement|Errno|error -|ioctl|File exists"
)


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("evaluate default cut.jsonl", 2, "cut.jsonl, line 2, column 8: not JSON; each line must"),
        ("evaluate default empty.json", 2, "empty.json is empty, and not JSON; correct it, or"),
        ("run clip.mp4 --config noise.toml", 2, "noise.toml, line 2: not UTF-8; correct it"),
        ("run clip.mp4 --config cut.toml", 2, "cut.toml, line 1, column 5: not TOML; correct it"),
        ("evaluate default noise.csv", 2, "noise.csv, line 2: not UTF-8; convert it to UTF-8"),
        ("run clip.mp4 --srt --out-dir noise.toml", 3, "a file is where a folder is needed"),
        ("live /dev/null", 1, "/dev/null is not a camera"),
        ("live http://[camera/", 2, "not a valid address; a port must be at most 65535, and an"),
    ],
)  # fmt: skip
@pytest.mark.skipif(os.name != "posix", reason="other names of devices")
def test_commands_use_no_words_of_libraries(
    command: str,
    code: int,
    told: str,
    clips: Clips,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("clip.mp4").write_bytes(clips["h264.mp4"].read_bytes())
    Path("cut.jsonl").write_text('\n{"id": "a')
    Path("empty.json").touch()
    for name in ("noise.toml", "noise.csv"):
        Path(name).write_bytes(b"path,caption\n\xce\x00")
    Path("cut.toml").write_text("[run\nbeam = 3")
    assert main(command.split()) == code
    [line] = capsys.readouterr().err.splitlines()
    assert told in line and not FOREIGN.search(line)
