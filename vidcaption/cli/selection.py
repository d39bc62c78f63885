"""Which inputs ``run`` was asked for."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidcaption.batch import Shard, discover, read_list, read_manifest, suffixes_of
from vidcaption.batch.lists import STDIN
from vidcaption.errors import UsageError
from vidcaption.options import BatchOptions

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
