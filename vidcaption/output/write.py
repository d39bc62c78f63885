"""Atomic writes: a file is complete or not there."""

import contextlib
import errno
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from vidcaption import remote
from vidcaption.addresses import Address, Location
from vidcaption.errors import OutputError
from vidcaption.output.lance import is_dataset
from vidcaption.reasons import of_system
from vidcaption.remote import explained

_TEMPORARY = ".vidcaption-{}.tmp"
_ABANDONED_S = 3600.0  # no write takes this long


def encoded(text: str | bytes) -> bytes:
    """The bytes of a file with this text: UTF-8.

    Lone surrogates, from file names that are not UTF-8, are escaped rather than refused.
    """
    return text if isinstance(text, bytes) else text.encode("utf-8", "backslashreplace")


def write_atomic(path: Location, content: str | bytes | Iterable[bytes]) -> None:
    """Write atomically: a reader sees the old file or the new one. Text is encoded as UTF-8.

    Missing folders are created. A symbolic link is kept, and its target is written. An existing
    file keeps its mode, a new one gets the default. Devices and pipes are written directly. Raises
    OutputError if it cannot be written; an old file is then unchanged, and nothing is left of a
    new one.
    """
    data = encoded(content) if isinstance(content, str) else content
    parts = [data] if isinstance(data, bytes) else data
    if isinstance(path, Address):
        with explained(path, "written", OutputError):
            remote.write(path, parts)
        return
    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            with path.open("wb") as file:  # replacing /dev/null with a file would harm the system
                file.writelines(parts)
        else:
            _replace(Path(os.path.realpath(path)), parts)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({of_system(error)}); choose another place"
        ) from error


def check_place(target: Location) -> None:
    """Raise OutputError if ``target`` cannot be a file, whatever its folder allows.

    A folder or a protected file may be in the way, or a name too long for the file system. Of an
    address only the scheme is checked.
    """
    if isinstance(target, Address):
        if target.scheme in remote.PAGES:
            raise OutputError(
                f"{target} cannot be written: {target.scheme}:// can only be read; write elsewhere "
                "with --out-dir or -o"
            )
        return
    if is_dataset(target):
        if os.path.isfile(target):
            raise OutputError(f"{target} cannot be written: it is a file, not a dataset")
    elif os.path.isdir(target):
        raise OutputError(f"{target} cannot be written: it is a folder")
    if os.path.exists(target) and not os.access(target, os.W_OK):
        raise OutputError(f"{target} cannot be written: it is write-protected")
    folder, places = target.parent, [target]
    while not os.path.exists(folder) and folder != folder.parent:
        folder = folder.parent
    # in a missing folder nothing can be looked up
    places += [folder / name for name in target.relative_to(folder).parts]
    for place in places:
        try:
            os.lstat(place)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise OutputError(
                    f"{target} cannot be written: its name is too long; choose a shorter one"
                ) from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The name of a file to write beside ``path``, which replaces it if the context succeeds.

    The new file gets the mode of the old one. Raises OSError; the old file is then unchanged, and
    nothing is left of the new one.
    """
    # Refused here, as replacing the file would bypass its write protection.
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    # Not derived from the name, which may already be as long as the file system allows.
    temporary = path.with_name(_TEMPORARY.format(secrets.token_hex(8)))
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if path.exists():
            temporary.chmod(stat.S_IMODE(path.stat().st_mode))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def check_writable(targets: Iterable[Location]) -> None:
    """Raise OutputError if a file cannot be written at one of ``targets``. Leaves no trace.

    At addresses, whether their folder can be listed. Raises SetupError if a package is missing.
    """
    folders: set[Path] = set()
    for target in targets:
        check_place(target)
        if isinstance(target, Address):
            with explained(target, "written", OutputError):
                if not remote.listed(target.parent):
                    remote.check_bucket(target)
            continue
        try:
            if target.exists() and not target.is_file():
                continue  # a device, such as /dev/null
            folder = Path(os.path.realpath(target)).parent
            while not folder.exists() and folder != folder.parent:
                folder = folder.parent
            if folder not in folders:
                tempfile.TemporaryFile(dir=folder).close()
                folders.add(folder)
        except OSError as error:
            raise OutputError(
                f"{target} cannot be written: {of_system(error)}; choose another place"
            ) from error


def check_some_writable(targets: Iterable[Location]) -> None:
    """Raise OutputError if there are ``targets`` and none can be written. Leaves no trace."""
    first: OutputError | None = None
    tried: set[Address] = set()  # folders, of which one answer holds for all
    for target in targets:
        if isinstance(target, Address):
            if target.parent in tried:
                continue
            tried.add(target.parent)
        try:
            return check_writable([target])
        except OutputError as error:
            first = first or error
    if first is not None:
        raise first


def sweep(folder: Path) -> None:
    """Remove partial files that killed processes left in ``folder``."""
    with contextlib.suppress(OSError):
        for path in folder.glob(_TEMPORARY.format("*")):
            if time.time() - path.stat().st_mtime > _ABANDONED_S:
                path.unlink()


def _replace(path: Path, parts: Iterable[bytes]) -> None:
    with replacing(path) as temporary, temporary.open("xb") as file:
        file.writelines(parts)


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a power failure where possible (not on Windows)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
