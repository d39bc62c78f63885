"""Where a file is: a path on this machine, or an address of another one, such as ``s3://b/x.mp4``.

Nothing here uses the network; see ``remote``.
"""

import os
import re
from functools import total_ordering
from pathlib import Path
from urllib.parse import unquote
from urllib.request import url2pathname

# A scheme has two letters at least, or it would be a drive. Those of fsspec can be chained: in
# `simplecache::s3://b/x` before the address, in `zip://x.mp4::s3://b/y.zip` after it. Where a Path
# was made of it, it has one slash, or none at the end.
_ADDRESS = re.compile(
    r"(?P<head>(?:[a-z][a-z0-9]+::)*(?P<scheme>[a-z][a-z0-9+.-]+):)(?:\Z|//?(?P<rest>[^\0]*))",
    re.IGNORECASE,
)
_QUERIED = ("http", "https")  # the others may have ? and # in names
_SECRET = re.compile(
    r"sig|token|key|secret|pass|auth|cred|policy|^(x-amz|x-goog|awsaccess)|^(s[a-z]|sk[a-z]+|expires)$",
    re.IGNORECASE,
)
_LONGEST = 32  # characters of a value in a query that is no secret
HIDDEN = "***"


@total_ordering
class Address:
    """A file, or a folder of files, for fsspec. It has the names of ``Path`` for the same things.

    As text, passwords and signatures are hidden; only ``url`` has them.

    >>> Address("s3://bucket/day/clip.mp4").with_name("clip.srt")
    Address('s3://bucket/day/clip.srt')
    """

    __slots__ = ("_head", "_path", "_tail", "scheme")

    def __init__(self, text: str) -> None:
        found = _ADDRESS.match(text)
        if found is None:
            raise ValueError(text)
        self.scheme: str = found["scheme"].lower()
        self._head: str = found["head"] + "//"
        rest: str = found["rest"] or ""
        mark = r"[?#]" if self.scheme in _QUERIED else r"::"
        path: str = re.split(mark, rest, maxsplit=1)[0]
        self._path = path if self.scheme in _QUERIED else path.rstrip("/")
        self._tail: str = rest[len(path) :].partition("#")[0]

    @property
    def url(self) -> str:
        """All of it, with its secrets: for fsspec only."""
        return self._head + self._path + self._tail

    @property
    def parts(self) -> tuple[str, ...]:
        """The host or bucket, and the names below it."""
        return tuple(part for part in self._path.split("/") if part)

    @property
    def name(self) -> str:
        name = self.parts[-1] if self.parts else ""
        return unquote(name).replace("/", "_") if self.scheme in _QUERIED else name

    @property
    def stem(self) -> str:
        return self.name.removesuffix(self.suffix)

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix

    @property
    def parent(self) -> "Address":
        """The folder, or the host or bucket; that of a bucket is itself."""
        above, slash, _ = self._path.rpartition("/")
        return self._at(above if slash and above else self._path)

    @property
    def root(self) -> "Address":
        """The host or bucket."""
        return self._at(self.parts[0] if self.parts else "")

    def with_name(self, name: str) -> "Address":
        return self._at(f"{self._path.rpartition('/')[0]}/{name}")

    def joinpath(self, *names: str) -> "Address":
        return self._at("/".join([self._path, *names]))

    def __truediv__(self, below: str | Path) -> "Address":
        return self.joinpath(Path(below).as_posix())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and self.url == other.url

    def __lt__(self, other: "Address") -> bool:
        return self.url < other.url

    def __hash__(self) -> int:
        return hash(self.url)

    def __reduce__(self) -> tuple[type["Address"], tuple[str]]:
        return Address, (self.url,)

    def __str__(self) -> str:
        head, tail = self._head, self._tail
        host, slash, rest = self._path.partition("/")
        if "@" in host and ":" in host.rpartition("@")[0]:
            user, _, host = host.rpartition("@")
            host = f"{user.partition(':')[0]}:{HIDDEN}@{host}"
        if tail.startswith("?"):
            tail = "?" + "&".join(map(_shown, tail[1:].split("&")))
        elif tail:
            tail = "::" + str(Address(tail[2:])) if _ADDRESS.match(tail[2:]) else tail
        return head + host + slash + rest + tail

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    def _at(self, path: str) -> "Address":
        """Another file of the same archive, bucket or host; a signature is valid for one only."""
        return Address(self._head + path + ("" if self.scheme in _QUERIED else self._tail))


Location = Path | Address


def is_address(name: str) -> bool:
    """Whether this is an address rather than the name of a file."""
    return _ADDRESS.match(name) is not None and not os.path.exists(name)


def location_of(text: str | os.PathLike[str] | Address) -> Location:
    """The location with this name; ``file://`` is on this machine."""
    if isinstance(text, Address):
        return text
    name = os.fspath(text)
    if not is_address(name):
        return Path(name)
    address = Address(name.replace("\\", "/") if isinstance(text, os.PathLike) else name)
    if address.scheme in ("file", "local") and "::" not in address.url:
        return Path(url2pathname("/" + address.url.partition(":/")[2].lstrip("/")))
    return address


def parts_below(address: Address, folder: Location) -> tuple[str, ...]:
    """The names from a folder to a file that was found in it, without any that leads out of it."""
    parts = address.parts[:-1]
    above = folder.parts if isinstance(folder, Address) else parts
    below = parts[len(above) :] if parts[: len(above)] == above else ()
    return tuple("_" if part in (".", "..") else part for part in (*below, address.name))


def _shown(pair: str) -> str:
    """A part of a query, without a secret."""
    key, equals, value = pair.partition("=")
    hides = equals and (_SECRET.search(unquote(key)) or len(value) > _LONGEST)
    return f"{key}={HIDDEN}" if hides else pair
