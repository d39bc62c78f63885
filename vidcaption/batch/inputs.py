"""The inputs of a run: from folders, patterns, lists and standard input, and its shard."""

import codecs
import hashlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby, takewhile
from pathlib import Path
from typing import BinaryIO

from vidcaption.addresses import HIDDEN, Address, Location, is_address, location_of, parts_below
from vidcaption.batch import ledger
from vidcaption.batch.listing import found_at
from vidcaption.batch.manifest import read_manifest
from vidcaption.errors import OutputError, UsageError
from vidcaption.options.batch import BatchOptions
from vidcaption.output.naming import natural_key
from vidcaption.store.settings import check_network
from vidcaption.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES, is_hidden
from vidcaption.video import spool
from vidcaption.video.names import files_only, is_pipe, pipe_hint

_PATTERN = re.compile(r"[*?[]")
_SUFFIX = re.compile(r"\.?[^\s./\\]+(?:\.[^\s./\\]+)*")


def discover(
    inputs: Iterable[str | Path],
    listed: Iterable[Path] = (),
    *,
    recursive: bool = False,
    suffixes: Iterable[str] = (),
) -> dict[Path, Path]:
    """Every file to caption, in order and once, with the folder that it is found under.

    ``inputs`` are files, folders and, if no file has that name, patterns with ``*``, ``?``,
    ``[a-z]`` and ``**``, for shells that do not expand them. ``listed`` are files and folders, of
    which some may be missing: those are kept, to fail one by one. ``suffixes``, such as ``.dat``,
    are additional suffixes of videos in folders.

    The files of a folder or a pattern come in natural order, without hidden files, system folders,
    files without the suffix of a video or image, and files that vidcaption wrote. Links to folders
    are followed, but none twice. A file with several paths is found once, at the first one.

    Raises UsageError for an input that is empty or does not exist, an address, a pipe, a pattern
    without a match, a folder that cannot be listed, and one without videos or images.
    """
    known = VIDEO_SUFFIXES | IMAGE_SUFFIXES | {suffix.casefold() for suffix in suffixes}
    names = [str(name) for name in inputs]
    if "" in names:
        raise UsageError("an INPUT is empty; name a file or folder, and check variables in it")
    if addresses := [name for name in names if is_address(name)]:
        raise UsageError(files_only(str(Address(addresses[0]))))
    missing = [name for name in names if not os.path.exists(name) and not _PATTERN.search(name)]
    if missing:
        raise UsageError(f"no such file or folder: {', '.join(missing)}")
    if pipes := [name for name in names if os.path.exists(name) and is_pipe(name)]:
        raise UsageError(pipe_hint(pipes[0]))
    found: dict[Path, Path] = {}
    seen: set[str] = set()
    for file, root in _each(names, listed, recursive, frozenset(known)):
        identity = os.path.realpath(file)
        if identity not in seen:
            seen.add(identity)
            found[file] = root
    return found


def discover_anywhere(
    inputs: Iterable[str],
    listed: Iterable[Location] = (),
    *,
    recursive: bool = False,
    suffixes: Iterable[str] = (),
) -> dict[Location, Location]:
    """What ``discover`` finds, also at addresses; see ``found_at``. Those in ``listed`` are files.

    Raises UsageError, SetupError.
    """
    known = VIDEO_SUFFIXES | IMAGE_SUFFIXES | {suffix.casefold() for suffix in suffixes}
    pairs: list[tuple[Location, Location]] = []
    for remote, names in groupby(inputs, is_address):
        if remote:
            for name in names:
                pairs += found_at(Address(name), recursive, known).items()
        else:
            pairs += discover(names, recursive=recursive, suffixes=suffixes).items()
    for remote, places in groupby(listed, lambda place: isinstance(place, Address)):
        if remote:
            pairs += ((place, place.parent) for place in places)
        else:
            paths = [place for place in places if isinstance(place, Path)]
            pairs += discover((), paths, recursive=recursive, suffixes=suffixes).items()
    found: dict[Location, Location] = {}
    seen: set[Location] = set()
    for file, root in pairs:
        identity = Path(os.path.realpath(file)) if isinstance(file, Path) else file
        if identity not in seen:
            seen.add(identity)
            found[file] = root
    return found


def suffixes_of(text: str) -> frozenset[str]:
    """The suffixes in a list such as ``.dat,bin``, each with its dot. Raises UsageError."""
    parts = [part.strip() for part in text.split(",")]
    if odd := [part for part in parts if not _SUFFIX.fullmatch(part)]:
        raise UsageError(
            f"--suffix is {text!r} and {odd[0]!r} is not a suffix; write .dat or .dat,.bin"
        )
    return frozenset("." + part.removeprefix(".").casefold() for part in parts)


def _each(
    names: Iterable[str], listed: Iterable[Path], recursive: bool, known: frozenset[str]
) -> Iterator[tuple[Path, Path]]:
    """All files with the folder each is found under, including duplicates."""
    for name in names:
        path = Path(name)
        if os.path.isdir(path):
            files = _files_in(path, recursive, known)
            if not files:
                hint = "" if recursive else "; -r includes its subfolders"
                raise UsageError(f"{path} contains no video or image{hint}")
            yield from ((file, path) for file in files)
        elif os.path.exists(path):
            yield path, path.parent
        else:
            yield from _matching(name, recursive, known)
    for path in listed:
        # an empty folder is kept, and fails when it is opened
        files = _files_in(path, recursive, known) if os.path.isdir(path) else []
        yield from ((file, path) for file in files) if files else [(path, path.parent)]


def _matching(pattern: str, recursive: bool, known: frozenset[str]) -> list[tuple[Path, Path]]:
    """The files of ``pattern``, each with the folder before its first ``*``, ``?`` or ``[``."""
    parts = Path(pattern).parts
    root = Path(*takewhile(lambda part: not _PATTERN.search(part), parts))
    rest = parts[len(root.parts) :]
    if rest[-1] == "**":
        rest = (*rest, "*")
    named = Path(rest[-1]).suffix.casefold()  # `*.bin` selects these, whether known or not
    hidden = any(map(is_hidden, rest))
    found: list[Path] = []
    try:
        for path in sorted(root.glob("/".join(rest)), key=natural_key):
            if not hidden and any(map(is_hidden, path.parts[len(root.parts) :])):
                continue
            if os.path.isdir(path):
                found += _files_in(path, recursive, known)
            elif path.suffix.casefold() in known or (named and path.suffix.casefold() == named):
                found.append(path)
    except (ValueError, NotImplementedError) as error:  # a part like `**x`; Windows' `\\?\C:\*`
        raise UsageError(
            f"{pattern} is not a pattern; write ** between slashes, as in videos/**/*.mp4"
        ) from error
    if not found:
        raise UsageError(f"no such file, and no video or image matches: {pattern}")
    return [(path, root) for path in found]


def _files_in(folder: Path, recursive: bool, known: frozenset[str]) -> list[Path]:
    """Videos and images in a folder, in natural order. Raises UsageError if it cannot be listed.

    Subfolders that cannot be listed are included, to fail one by one, such as ``lost+found``.
    """
    files: list[Path] = []

    def keep(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise error
        files.append(Path(error.filename))

    been: set[tuple[int, int]] = set()
    try:
        for place, subfolders, names in os.walk(folder, onerror=keep, followlinks=True):
            status = os.stat(place)
            if (status.st_dev, status.st_ino) in been:  # a link back to a visited folder
                subfolders.clear()
                continue
            been.add((status.st_dev, status.st_ino))
            # Pruned in place, so that os.walk skips them; in order, links last, so that of two
            # paths to a folder the same one is always taken.
            subfolders[:] = sorted(
                (name for name in subfolders if recursive and not is_hidden(name)),
                key=lambda name: (os.path.islink(Path(place, name)), natural_key(Path(name))),
            )
            ours: set[str] = set()
            if ledger.NAME in names:
                with suppress(OutputError):  # this matters only where outputs are written
                    ours = ledger.names_in(Path(place))
            files += [
                Path(place, name)
                for name in names
                if not is_hidden(name)
                and Path(name).suffix.casefold() in known
                and name not in ours
            ]
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be listed: {error.strerror}") from error
    return sorted(files, key=natural_key)


STDIN = "-"


def read_list(name: str) -> list[Location]:
    """The paths and addresses in the file of that name, or on standard input if it is ``-``.

    They are separated by NUL if there is one, and otherwise one per line; lines that start with
    ``#`` are comments, and empty ones are skipped. Paths are relative to the working folder. Text
    in UTF-16 with a byte order mark is decoded. Raises UsageError if there is no path, or if none
    exists: then this is not a list, or the folder is wrong.
    """
    what = "the list on standard input" if name == STDIN else name
    if name == STDIN:
        data = _readable_stdin("list the inputs on it").read()
    else:
        try:
            data = Path(name).read_bytes()
        except OSError as error:
            raise UsageError(f"--from-file {name} cannot be read: {error.strerror}") from error
    entries = _entries(_decoded(data, what), what)
    paths = [location_of(os.fsdecode(entry)) for entry in entries]
    if not paths:
        raise UsageError(f"{what} contains no paths; write one per line, or separate them by NUL")
    if not any(isinstance(path, Address) or os.path.lexists(path) for path in paths):
        first = ascii(str(paths[0])[:100])
        raise UsageError(
            f"no path in {what} exists, such as {first}; they are relative to the working folder"
        )
    return paths


def _decoded(data: bytes, what: str) -> bytes:
    """A list in the encoding of the system, also UTF-16 with a byte order mark, as on Windows."""
    if not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.removeprefix(codecs.BOM_UTF8)
    try:
        return os.fsencode(data.decode("utf-16"))
    except UnicodeError as error:
        raise UsageError(f"{what} is incomplete UTF-16; save it as UTF-8") from error


def _entries(data: bytes, what: str) -> list[bytes]:
    if b"\0" not in data:
        lines = (line.rstrip(b"\r") for line in data.split(b"\n"))
        return [line for line in lines if line and not line.startswith(b"#")]
    entries = [entry for entry in data.split(b"\0") if entry]
    if 2 * sum(len(entry) == 1 for entry in entries) > len(entries):
        raise UsageError(
            f"most paths in {what} are a single letter, as in UTF-16 without a byte order mark; "
            "save it as UTF-8"
        )
    return entries


@contextmanager
def spooled() -> Iterator[Path]:
    """The video on standard input as a file, which is removed at the end.

    Raises UsageError if standard input is a terminal, OutputError if the file cannot be written.
    """
    stream = _readable_stdin("pipe a video into it")
    with spool.spooled(stream, "stdin", "the video on standard input") as path:
        yield path


def _readable_stdin(hint: str) -> BinaryIO:
    if sys.stdin is None or sys.stdin.isatty():
        state = "closed" if sys.stdin is None else "a terminal"
        raise UsageError(f"standard input is {state}; {hint}")
    return sys.stdin.buffer


@dataclass(frozen=True, slots=True)
class Shard:
    """Part ``index`` (1 to ``count``) of ``count`` parts. ``taken_from``: the source of that."""

    index: int
    count: int
    taken_from: str = "--shard"

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str]) -> "Shard":
        """``I/N``, or for ``auto`` the values of Slurm or torchrun in ``environment``.

        Raises UsageError.
        """
        if text == "auto":
            return cls._detect(environment)
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
        if match and 1 <= int(match[1]) <= int(match[2]):
            return cls(int(match[1]), int(match[2]))
        raise UsageError(f"--shard is {text!r}; allowed are 1/N to N/N, such as 2/8, and auto")

    def holds(self, path: Location, root: Location) -> bool:
        """Whether ``path``, found under the folder ``root``, belongs to this part.

        Decided only by a hash of the path within ``root``: machines that mount the tree elsewhere
        agree, and a new file moves no other file to another part.
        """
        if isinstance(path, Address) or isinstance(root, Address):
            within = "/".join(parts_below(path, root)) if isinstance(path, Address) else path.name
        else:
            within = Path(os.path.relpath(path, root)).as_posix()
        digest = hashlib.sha256(os.fsencode(within)).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1

    def __str__(self) -> str:
        return f"shard {self.index}/{self.count}, by {self.taken_from}"

    @classmethod
    def _detect(cls, environment: Mapping[str, str]) -> "Shard":
        index, count, sources = 0, 1, []
        # An array task may start several processes: each gets a part of the task's part.
        for source, found in (
            ("Slurm's SLURM_ARRAY_TASK_ID", _slurm(environment)),
            ("torchrun's RANK", _torchrun(environment)),
        ):
            if found is not None:
                index, count = index * found[1] + found[0], count * found[1]
                sources.append(source)
        if not sources:
            raise UsageError(
                "--shard is auto, and neither Slurm's SLURM_ARRAY_TASK_ID nor torchrun's RANK is "
                "set; give --shard I/N"
            )
        return cls(index + 1, count, " and ".join(sources))


def _slurm(environment: Mapping[str, str]) -> tuple[int, int] | None:
    """Index, from 0, and number of the tasks of an array."""
    if "SLURM_ARRAY_TASK_ID" not in environment:
        return None
    number, count, first = (
        _whole(environment, f"SLURM_ARRAY_TASK_{name}") for name in ("ID", "COUNT", "MIN")
    )
    step = _whole(environment, "SLURM_ARRAY_TASK_STEP", "1") or 1
    last = _whole(environment, "SLURM_ARRAY_TASK_MAX", str(first + step * (count - 1)))
    place, odd = divmod(number - first, step)
    if odd or not 0 <= place < count or last != first + step * (count - 1):
        raise UsageError(
            f"--shard is auto, and task {number} of Slurm's array of {count} from {first} to {last}"
            " cannot get a part, as the array has gaps; use --array=1-N, or --shard I/N"
        )
    return place, count


def _torchrun(environment: Mapping[str, str]) -> tuple[int, int] | None:
    if "RANK" not in environment or "WORLD_SIZE" not in environment:
        return None
    rank, size = _whole(environment, "RANK"), _whole(environment, "WORLD_SIZE")
    if rank >= size:
        raise UsageError(
            f"--shard is auto, RANK is {rank} and WORLD_SIZE is {size}; the first must be lower"
        )
    return rank, size


def _whole(environment: Mapping[str, str], name: str, default: str = "") -> int:
    text = environment.get(name, default)
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise UsageError(
            f"--shard is auto, and {name} is {text!r}; it must be a whole number, "
            "or give --shard I/N"
        )
    return int(text)


_STDIN = ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")  # other names for it


@dataclass(frozen=True)
class Selection:
    """``found``: all inputs with the folder each is found under, which decide the names of outputs.
    ``chosen``: those to be run. ``several``: whether the command may have more than one.
    ``piped``: the only one is a video on standard input. ``shard``: the requested part.
    """

    found: Mapping[Location, Location]
    chosen: Sequence[Location]
    several: bool
    piped: bool = False
    shard: Shard | None = None


def select(inputs: Sequence[str], batch: BatchOptions, *, offline: bool = False) -> Selection:
    """Find the inputs; ``offline``: never use the network. Raises UsageError, SetupError."""
    inputs = [STDIN if name in _STDIN else _without_file_scheme(name) for name in inputs]
    if STDIN in inputs:
        return _piped(inputs, batch)
    shard = Shard.parse(batch.shard, os.environ) if batch.shard is not None else None
    rows = read_manifest(batch.retry_failed) if batch.retry_failed is not None else []
    listed = read_list(batch.from_file) if batch.from_file is not None else []
    retried = [row.path for row in rows if row.status == "failed"]
    for place in (*map(location_of, inputs), *listed, *retried):
        check_network(place, offline=offline)
    if inputs or batch.from_file is not None:
        found = discover_anywhere(
            inputs,
            listed,
            recursive=batch.recursive,
            suffixes=suffixes_of(batch.suffix) if batch.suffix is not None else (),
        )
    elif batch.retry_failed is not None:
        found = {row.path: row.root for row in rows}
        if secret := [path for path in retried if HIDDEN in str(path)]:
            raise UsageError(
                f"{secret[0]} has a secret, which {batch.retry_failed} does not hold; name the "
                "inputs again"
            )
    else:
        raise UsageError(
            "no INPUT is given; name videos or folders, or a list of them with --from-file"
        )
    chosen = list(found)
    if batch.retry_failed is not None:
        failed = set(map(str, retried))
        chosen = [path for path in chosen if str(path) in failed]
    if shard is not None:
        chosen = [path for path in chosen if shard.holds(path, found[path])]
    single = all(os.path.isfile(name) or location_of(name) in found for name in inputs)
    several = len(found) > 1 or not single or not inputs
    return Selection(found, chosen, several, shard=shard)


def _without_file_scheme(name: str) -> str:
    """The name of a file on this machine, also of one that is given as ``file://``."""
    place = location_of(name)
    return str(place) if is_address(name) and isinstance(place, Path) else name


def _piped(inputs: Sequence[str], batch: BatchOptions) -> Selection:
    if len(inputs) > 1 or batch.from_file is not None:
        raise UsageError(
            f"{STDIN}, a video on standard input, is given with other inputs; run it alone"
        )
    if batch.shard is not None or batch.retry_failed is not None:
        raise UsageError(f"{STDIN} is one video; remove --shard and --retry-failed")
    path: Location = Path("stdin")
    return Selection({path: Path()}, [path], several=False, piped=True)
