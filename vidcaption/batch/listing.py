"""The inputs at addresses: single files, folders and patterns, listed by pages."""

import errno
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from vidcaption.addresses import Address
from vidcaption.errors import SetupError, UsageError
from vidcaption.output.naming import natural_key
from vidcaption.remote import (
    PAGE_TYPES,
    PAGES,
    RemoteError,
    entry,
    explained,
    filesystem,
    patiently,
)
from vidcaption.suffixes import is_hidden
from vidcaption.video.names import page_hint

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_PATTERN = re.compile(r"[*?[]")


def found_at(address: Address, recursive: bool, known: frozenset[str]) -> dict[Address, Address]:
    """The files that an address names, in natural order, each with the folder it is found under.

    A file is found under its folder. Those of a folder or a pattern (``*``, ``?``, ``[a-z]``,
    ``**``, if no file has that name) are taken as on a disk: with a ``known`` suffix, not hidden.
    An address of a web server names one file.

    Raises UsageError if there is none, SetupError if the address cannot be listed.
    """
    kind = _kind(address)
    if kind == "file":
        return {address: address.parent}
    folder = address if kind == "directory" else _fixed(address)
    with explained(address, "listed", SetupError):
        files, root = filesystem(folder)
        if kind == "directory":
            names = patiently(lambda: _below(files, root, recursive), address)
            suffixes = known
        else:
            pattern = filesystem(address)[1]
            suffixes = known | {PurePosixPath(pattern).suffix.casefold()} - {""}
            names = patiently(lambda: _matching(files, pattern, recursive), address)
    hidden = any(map(is_hidden, address.parts[len(folder.parts) :]))
    found = [
        folder.joinpath(*below)
        for name in names
        if (below := name[len(root) :].strip("/").split("/"))
        and PurePosixPath(name).suffix.casefold() in suffixes
        and (hidden or not any(map(is_hidden, below)))
    ]
    if not found and kind == "directory":
        hint = "" if recursive else "; -r includes its subfolders"
        raise UsageError(f"{address} contains no video or image{hint}")
    if not found:
        raise UsageError(f"no such file, and no video or image matches: {address}")
    return dict.fromkeys(sorted(found, key=natural_key), folder)


def _kind(address: Address) -> str:
    """``file``, ``directory`` or ``pattern``. Raises UsageError, SetupError."""
    pattern = address.scheme not in PAGES and any(map(_PATTERN.search, address.parts))
    try:
        found = entry(address)
    except RemoteError as error:
        if error.errno == errno.ENOENT and pattern:
            return "pattern"
        if error.errno == errno.ENOENT:
            raise UsageError(f"no such file or folder: {address}") from error
        raise SetupError(f"{address} cannot be read: {error.strerror}") from error
    if found.get("mimetype") in PAGE_TYPES:
        raise UsageError(page_hint(str(address)))
    return str(found["type"])


def _fixed(address: Address) -> Address:
    """The folder before the first ``*``, ``?`` or ``[``."""
    folder = address
    while any(map(_PATTERN.search, folder.parts)):
        folder = folder.parent
    return folder


def _below(files: "AbstractFileSystem", folder: str, recursive: bool) -> list[str]:
    """The files in a folder. fsspec requests them page by page."""
    if recursive:
        return list(files.find(folder))
    return [row["name"] for row in files.ls(folder, detail=True) if row["type"] == "file"]


def _matching(files: "AbstractFileSystem", pattern: str, recursive: bool) -> list[str]:
    """The files that match, and those in the folders that match."""
    names: list[str] = []
    for name, found in files.glob(pattern, detail=True).items():
        names += [name] if found["type"] == "file" else _below(files, name, recursive)
    return list(dict.fromkeys(names))
