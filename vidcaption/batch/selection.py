"""Which inputs a run was asked for, and which of them are its part."""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidcaption.batch.inputs import STDIN, discover, read_list, suffixes_of
from vidcaption.batch.manifest import read_manifest
from vidcaption.errors import UsageError
from vidcaption.options.batch import BatchOptions


@dataclass(frozen=True, slots=True)
class Shard:
    """Part ``index`` (1 to ``count``) of ``count`` parts. ``taken_from``: who said so."""

    index: int
    count: int
    taken_from: str = "--shard"

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str]) -> "Shard":
        """``I/N``, or for ``auto`` what Slurm or torchrun say in ``environment``.

        Raises UsageError.
        """
        if text == "auto":
            return cls._detect(environment)
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
        if match and 1 <= int(match[1]) <= int(match[2]):
            return cls(int(match[1]), int(match[2]))
        raise UsageError(f"--shard is {text!r}; allowed are 1/N to N/N, such as 2/8, and auto")

    def holds(self, path: Path, root: Path) -> bool:
        """Whether ``path``, found under the folder ``root``, belongs to this part.

        Decided by a hash of the path within ``root`` alone: machines that see the same tree at
        different places agree, and a new file moves no other one to another part.
        """
        within = Path(os.path.relpath(path, root)).as_posix()
        digest = hashlib.sha256(os.fsencode(within)).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1

    def __str__(self) -> str:
        return f"shard {self.index}/{self.count}, by {self.taken_from}"

    @classmethod
    def _detect(cls, environment: Mapping[str, str]) -> "Shard":
        index, count, sources = 0, 1, []
        # An array task may start several processes itself: each of those gets a part of its part.
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
    """Place, from 0, and number of the tasks of an array."""
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
            " has no place in it, as numbers are left out; give --array=1-N, or --shard I/N"
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


_STDIN = ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")  # as some programs name it


@dataclass(frozen=True)
class Selection:
    """``found``: all inputs with the folder each is found under; what outputs are called is decided
    from all of them. ``chosen``: those to be run. ``several``: whether the command can mean more
    than one. ``piped``: the only one is a video on standard input. ``shard``: the part asked for.
    """

    found: Mapping[Path, Path]
    chosen: Sequence[Path]
    several: bool
    piped: bool = False
    shard: Shard | None = None


def select(inputs: Sequence[str], batch: BatchOptions) -> Selection:
    """Find the inputs. Raises UsageError."""
    inputs = [STDIN if name in _STDIN else name for name in inputs]
    if STDIN in inputs:
        return _piped(inputs, batch)
    shard = Shard.parse(batch.shard, os.environ) if batch.shard is not None else None
    rows = read_manifest(batch.retry_failed) if batch.retry_failed is not None else []
    if inputs or batch.from_file is not None:
        found = discover(
            inputs,
            read_list(batch.from_file) if batch.from_file is not None else (),
            recursive=batch.recursive,
            suffixes=suffixes_of(batch.suffix) if batch.suffix is not None else (),
        )
    elif batch.retry_failed is not None:
        found = {row.path: row.root for row in rows}
    else:
        raise UsageError(
            "no INPUT is given; name videos or folders, or a list of them with --from-file"
        )
    chosen = list(found)
    if batch.retry_failed is not None:
        failed = {row.path for row in rows if row.status == "failed"}
        chosen = [path for path in chosen if path in failed]
    if shard is not None:
        chosen = [path for path in chosen if shard.holds(path, found[path])]
    several = len(found) > 1 or not all(os.path.isfile(name) for name in inputs) or not inputs
    return Selection(found, chosen, several, shard=shard)


def _piped(inputs: Sequence[str], batch: BatchOptions) -> Selection:
    if len(inputs) > 1 or batch.from_file is not None:
        raise UsageError(
            f"{STDIN}, a video on standard input, is given with other inputs; run it alone"
        )
    if batch.shard is not None or batch.retry_failed is not None:
        raise UsageError(
            f"{STDIN} is one video; --shard and --retry-failed are for several, leave them out"
        )
    path = Path("stdin")
    return Selection({path: Path()}, [path], several=False, piped=True)
