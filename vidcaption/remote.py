"""Files at addresses, by fsspec: read by ranges, listed, and written whole or not at all.

The libraries of fsspec find credentials in their own ways. What they raise becomes one sentence,
and an ``OSError`` with a number where another try may succeed.
"""

import asyncio
import errno
import io
import logging
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any, TypeVar

from vidcaption.addresses import Address
from vidcaption.errors import SetupError, UsageError, VidcaptionError
from vidcaption.events import event
from vidcaption.reasons import of_system

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

logger = logging.getLogger(__name__)

T = TypeVar("T")

BLOCK_BYTES = 2**22  # in one request; 30 ms at 1 Gbit/s, about what the request itself takes
BLOCKS = 8  # of a file, kept in memory: its index, and where its sound and its pictures are
WAITS_S = (0.5, 1.0, 2.0)  # before another try of a request
# Stores where a file appears when all of it has arrived; elsewhere it is renamed then.
STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "hf", "memory"}
BUCKETS = STORES - {"hf", "memory"}
PAGES = {"http", "https"}
PAGE_TYPES = {"text/html", "application/xhtml+xml"}
# It warns that it cannot tell the kind of a bucket, and takes the usual one.
_UNHEARD = {"gs": "gcsfs", "gcs": "gcsfs"}
_NOWHERE = logging.NullHandler()
_LOGINS = {
    "s3": "aws sso login, or AWS_PROFILE",
    "gs": "gcloud auth application-default login",
    "az": "az login, or AZURE_STORAGE_CONNECTION_STRING",
    "hf": "hf auth login, or HF_TOKEN",
}
_LOGINS |= {"s3a": _LOGINS["s3"], "gcs": _LOGINS["gs"], "abfs": _LOGINS["az"]}
_OVERLOADED = {429, 500, 502, 503, 504}
_REFUSED = {400, 401, 403, 407}  # 400 is what S3 answers for a token that has expired
_TAGS = ("ETag", "etag", "blob_id", "md5Hash", "LastModified", "last_modified", "updated", "mtime",
         "Last-Modified", "created")  # fmt: skip


class RemoteError(OSError):
    """Why something at an address cannot be read or written, as the end of a sentence."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(number, reason)


def filesystem(address: Address) -> "tuple[AbstractFileSystem, str]":
    """The file system of an address, and its name there.

    Raises SetupError if its package is not installed, UsageError if the scheme is unknown, and
    RemoteError if the archive or service that it is in cannot be opened.
    """
    if name := _UNHEARD.get(address.scheme):  # a program that logs hears it all the same
        logging.getLogger(name).addHandler(_NOWHERE)
    try:
        from fsspec.core import url_to_fs

        return url_to_fs(address.url)  # type: ignore[no-any-return]
    except ImportError as error:
        if address.scheme not in STORES | PAGES:
            missing = getattr(error.__cause__, "name", None) or "its package"
            raise SetupError(
                f"{address} needs {missing}, which is not installed; see what fsspec needs for "
                f"{address.scheme}://"
            ) from error
        raise SetupError(
            f'{address} needs the extra "cloud", which is not, or not fully, installed; '
            "pip install 'vidcaption[cloud]'"
        ) from error
    except ValueError as error:
        if "rotocol" not in str(error):  # credentials, or a name without a bucket
            raise UsageError(
                f"{address} cannot be used as it stands; see the settings of its service in fsspec"
            ) from error
        raise UsageError(
            f"{address} is an address of {address.scheme}://, which is not supported; allowed are "
            "s3, gs, az, https, hf and others that fsspec knows"
        ) from error
    except Exception as error:  # of file systems that are opened at once, such as zip
        raise reason(error, address) from error


@contextmanager
def explained(address: Address, doing: str, kind: type[VidcaptionError]) -> Iterator[None]:
    """What goes wrong inside becomes a ``kind`` of error: ADDRESS cannot be ``doing``: reason."""
    try:
        yield
    except VidcaptionError:
        raise
    except Exception as error:
        cause = reason(error, address)
        raise kind(f"{address} cannot be {doing}: {cause.strerror}") from cause


def reason(error: BaseException, address: Address) -> RemoteError:
    """What an error of fsspec, or of a library below it, means."""
    if isinstance(error, RemoteError):
        return error
    chain = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) and before not in chain:
        chain.append(before)
    if isinstance(error, FileNotFoundError) and error.__cause__:
        chain.reverse()  # of HTTP, whatever happened
    numbers = (each.errno for each in chain if isinstance(each, OSError) and each.errno)
    return next(
        (found for each in chain if (found := _reason(each, address))),
        _of_number(next(numbers, 0)) or RemoteError(0, f"unexpected {type(error).__name__}"),
    )


def _of_number(number: int) -> RemoteError | None:
    if number in (errno.EBUSY, errno.EIO, errno.EAGAIN):  # for which s3fs takes those of S3
        return RemoteError(errno.EAGAIN, "its server is overloaded or broken")
    return RemoteError(number, os.strerror(number).lower()) if number else None


def _reason(error: BaseException, address: Address) -> RemoteError | None:
    name, status = type(error).__name__, _status(error)
    if isinstance(error, socket.gaierror):
        return RemoteError(errno.EHOSTUNREACH, of_system(error))
    if isinstance(error, FileNotFoundError) or status == 404 or name == "ResourceNotFoundError":
        return RemoteError(errno.ENOENT, "it does not exist")
    words = ("Credential", "Auth", "Refresh", "ProfileNotFound")
    refused = isinstance(error, PermissionError) or status in _REFUSED
    if refused or any(word in name for word in words):
        login = _LOGINS.get(address.scheme)
        hint = f", as with {login}" if login else ""
        return RemoteError(
            errno.EACCES, f"access is refused, or has expired; check the credentials{hint}"
        )
    if status in _OVERLOADED:
        return RemoteError(errno.EAGAIN, f"its server is overloaded or broken (status {status})")
    if isinstance(error, TimeoutError | asyncio.TimeoutError) or "Timeout" in name:
        return RemoteError(errno.ETIMEDOUT, "its server does not answer in time")
    lost = ("Connect", "Payload", "IncompleteRead", "ServerDisconnected", "ResponseStream")
    if isinstance(error, ConnectionError) or any(each in name for each in lost):
        return RemoteError(errno.ECONNRESET, "there is no connection to its server, or it broke")
    if name in ("BadZipFile", "ReadError"):  # of zip and tar
        return RemoteError(errno.EINVAL, "it is not in an archive of that kind")
    if isinstance(error, NotImplementedError):
        return RemoteError(errno.EROFS, f"{address.scheme}:// does not support it")
    return None


def _status(error: BaseException) -> Any:
    """The status of an HTTP answer, where libraries keep it."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # of botocore
        response = response.get("ResponseMetadata", {})
        return response.get("HTTPStatusCode") if isinstance(response, dict) else None
    for each in (error, response):
        for name in ("status", "status_code", "code"):
            if isinstance(value := getattr(each, name, None), int):
                return value
            if isinstance(value, str) and value.isdecimal():
                return int(value)
    return None


def patiently(work: Callable[[], T], address: Address) -> T:
    """The result of a request, which is repeated if its error may pass. Raises RemoteError."""
    for wait_s in (*WAITS_S, None):
        try:
            return work()
        except VidcaptionError:
            raise
        except Exception as error:
            cause = reason(error, address)
            passing = cause.errno in (errno.EAGAIN, errno.ETIMEDOUT, errno.ECONNRESET)
            if wait_s is None or not passing:
                raise cause from error
            time.sleep(wait_s)
    raise AssertionError


def entry(address: Address) -> dict[str, Any]:
    """What the server says of a file or folder: ``type``, ``size`` and more. Raises RemoteError."""
    files, name = filesystem(address)
    return patiently(lambda: files.info(name), address)


def entry_now(address: Address) -> dict[str, Any] | None:
    """The same, not as it was listed before; None if there is nothing. Raises RemoteError."""
    files, name = filesystem(address)
    files.invalidate_cache(files._parent(name))
    try:
        return entry(address)
    except RemoteError as error:
        if error.errno == errno.ENOENT:
            return None
        raise


def state(address: Address) -> list[int | str] | None:
    """Size and tag, or time, of a file, as JSON; None if it cannot be known now."""
    with suppress(OSError):
        return state_in(entry(address))
    return None


def state_in(found: dict[str, Any]) -> list[int | str]:
    """The same of an entry."""
    tag = next((str(found[tag]) for tag in _TAGS if found.get(tag)), "")
    return [found.get("size") or 0, tag]


def listed(folder: Address) -> dict[str, dict[str, Any]]:
    """The files and folders in a folder by name, as they are now; none if it does not exist.

    Raises RemoteError.
    """
    files, name = filesystem(folder)
    files.invalidate_cache(name)
    try:
        rows = patiently(lambda: files.ls(name, detail=True), folder)
    except RemoteError as error:
        if error.errno == errno.ENOENT:
            return {}
        raise
    return {row["name"].rstrip("/").rpartition("/")[2]: row for row in rows}


def read(address: Address) -> bytes:
    """The content of a small file. Raises RemoteError."""
    files, name = filesystem(address)
    data: bytes = patiently(lambda: files.cat_file(name), address)
    return data


def write(address: Address, parts: Iterable[bytes]) -> None:
    """Write a file: readers see the old one, or all of the new one. Raises RemoteError."""
    files, name = filesystem(address)
    whole = address.scheme in STORES
    place = name if whole else f"{name.rpartition('/')[0]}/.vidcaption-{os.urandom(8).hex()}.tmp"
    with tempfile.NamedTemporaryFile(prefix="vidcaption-") as file:
        file.writelines(parts)
        file.flush()

        def put() -> None:
            # a stream that is left by an error would be closed, and appear as if it were complete
            files.put_file(file.name, place)
            if not whole:
                files.mv(place, name)

        if not whole:
            patiently(lambda: files.makedirs(name.rpartition("/")[0], exist_ok=True), address)
        try:
            patiently(put, address)
        except RemoteError as error:
            if error.errno == errno.ENOENT:
                raise no_bucket(address) from error
            raise
        finally:
            if not whole:
                with suppress(Exception):
                    files.rm_file(place)


def check_bucket(address: Address) -> None:
    """Raise RemoteError if it is known that the bucket of an address does not exist."""
    if address.scheme in BUCKETS:
        try:
            entry(address.root)
        except RemoteError as error:
            if error.errno == errno.ENOENT:
                raise no_bucket(address) from error


def no_bucket(address: Address) -> RemoteError:
    return RemoteError(errno.ENOENT, f"{address.root} does not exist; create it first")


def remove(addresses: Iterable[Address]) -> None:
    """Remove files that may be missing. Raises RemoteError."""
    for address in addresses:
        files, name = filesystem(address)
        try:
            patiently(lambda files=files, name=name: files.rm_file(name), address)  # type: ignore[misc]
        except RemoteError as error:
            if error.errno != errno.ENOENT:
                raise


def received() -> int:
    """The number of bytes that this process has read at addresses so far."""
    return _bytes


def _received(size: int) -> None:
    global _bytes
    _bytes += size


def open_binary(address: Address) -> "RemoteFile":
    """A file for reading at any position. Those that are open share what is held of it.

    Raises RemoteError.
    """
    with _counting:
        ranges = _open.get(address.url)
    fresh = ranges or _Ranges(address)
    with _counting:
        ranges = _open.setdefault(address.url, fresh)
        ranges.readers += 1
    return RemoteFile(ranges)


class RemoteFile(io.RawIOBase):
    """A position in a file that is read by ranges.

    ``size``: bytes. ``kind``: its media type, if the server names one. ``name``: for FFmpeg.
    ``failure``: the error that ended reading; the caller may not have seen it, as FFmpeg hides it.
    """

    def __init__(self, ranges: "_Ranges") -> None:
        self._ranges = ranges
        self._at = 0
        self.name = ""
        self.failure: RemoteError | None = None

    @property
    def size(self) -> int:
        return self._ranges.size

    @property
    def kind(self) -> str:
        return self._ranges.kind

    def close(self) -> None:
        if not self.closed:
            with _counting:
                self._ranges.readers -= 1
                last = not self._ranges.readers
                if last:
                    _open.pop(self._ranges.address.url, None)
            if last:
                self._ranges.close()
        super().close()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def read(self, size: int | None = -1) -> bytes:
        """Raises RemoteError if a part cannot be read, after some tries."""
        left = max(0, self.size - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        if not wanted:
            return b""
        try:
            data = self._ranges.read(self._at, wanted)
        except RemoteError as error:
            self.failure = error
            raise
        self._at += len(data)
        return data


class _Ranges:
    """A file, and the blocks of it that were read last.

    ``size``: bytes. ``kind``: its media type, if it has one. ``readers``: how many are open.
    """

    kind = ""
    readers = 0

    def __init__(self, address: Address) -> None:
        self.address, self._lock = address, Lock()
        self._file: Any = None
        self._copy = False
        patiently(self._open, address)

    def read(self, at: int, size: int) -> bytes:
        """Raises RemoteError."""
        with self._lock:
            return patiently(lambda: self._read(at, size), self.address)

    def close(self) -> None:
        if self._copy:
            self._file.close()

    def _read(self, at: int, size: int) -> bytes:
        try:
            if self._file is None:
                self._open()
            self._file.seek(at)
            data: bytes = self._file.read(size)
            if len(data) < size:
                raise ConnectionError
            _received(size)
            return data
        except ValueError:  # of fsspec, where a server sent everything instead of a range
            if self._copy:
                raise
            self._take_whole()
            return self._read(at, size)
        except Exception:
            if not self._copy:
                self._file = None  # its blocks may be incomplete
            raise

    def _open(self) -> None:
        files, name = filesystem(self.address)
        found = files.info(name)
        self.kind, size = found.get("mimetype", ""), found.get("size")
        if found["type"] == "directory":
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if size is None or not found.get("partial", True):
            self._take_whole()
            return
        self.size = int(size)
        if self.size:
            self._file = files.open(
                name,
                "rb",
                block_size=BLOCK_BYTES,
                cache_type="blockcache",
                cache_options={"maxblocks": BLOCKS},
            )

    def _take_whole(self) -> None:
        """Copy it to a file without a name, which disappears with this process."""
        logger.info(
            f"{self.address} is downloaded whole: its server does not send parts",
            extra=event("downloaded", path=str(self.address)),
        )
        files, name = filesystem(self.address)
        copy = tempfile.TemporaryFile(prefix="vidcaption-")  # noqa: SIM115
        with files.open(name, "rb", block_size=0) as stream:
            while part := stream.read(1 << 20):
                copy.write(part)
                _received(len(part))
        self.size = copy.tell()
        self._file, self._copy = copy, True


# Held for no request: files that are not closed are so by the garbage collector, in any thread.
_counting = RLock()
_bytes = 0
_open: dict[str, _Ranges] = {}
