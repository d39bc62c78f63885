"""Options for many inputs, and for the index."""

import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from vidcaption.errors import UsageError
from vidcaption.options.base import Options, option

_RAY_ADDRESS = re.compile(r"auto|local|(?!\w+://)\S+:\d{1,5}")


@dataclass(frozen=True, kw_only=True)
class BatchOptions(Options):
    """Many inputs: selecting, resuming and recording them."""

    recursive: bool = option(False, "Include subfolders, and follow links to folders.", short="-r")
    suffix: str | None = option(
        None, "In folders, also take files with these suffixes: .dat or .dat,.bin."
    )
    from_file: str | None = option(
        None,
        "Read input paths from this file, one per line or separated by NUL; - is standard input.",
    )
    force: bool = option(False, "Caption inputs that are done as well, and replace existing files.")
    dry_run: bool = option(False, "Print what would be done, and do nothing.")
    fail_fast: bool = option(False, "Stop at the first input that fails.")
    retries: int = option(
        0,
        "Retries if reading or writing fails for a temporary reason.",
        at_least=0,
        at_most=100,
    )
    file_timeout_s: float = option(
        300.0, "Let an input fail if nothing can be read from it for this many seconds.", above=0
    )
    workers: str = option(
        "auto", "Inputs read at once, each by its own process; auto depends on the machine."
    )
    shard: str | None = option(
        None,
        "Process one part of all inputs: I/N, from 1/N to N/N, or auto for the one of this Slurm "
        "array task or torchrun process.",
    )
    manifest: Path | None = option(None, "Append a JSON row for each finished input to this file.")
    retry_failed: Path | None = option(
        None, "Process only the inputs that failed according to this manifest; INPUT is optional."
    )

    @property
    def worker_count(self) -> int | None:
        """None if the machine decides."""
        return None if self.workers == "auto" else int(self.workers)

    def __post_init__(self) -> None:
        super().__post_init__()
        number = self.workers.isascii() and self.workers.isdecimal() and int(self.workers)
        if self.workers != "auto" and not 1 <= number <= 256:
            raise UsageError(f"--workers is {self.workers!r}; it must be auto, or from 1 to 256")


@dataclass(frozen=True, kw_only=True)
class RayOptions(Options):
    """Many machines, with Ray: needs the extra "ray"."""

    ray: bool = option(False, "Caption with Ray, on its cluster or, without one, on this machine.")
    ray_address: str | None = option(
        None, "The cluster, such as auto or HOST:6379.  [default: RAY_ADDRESS]"
    )
    ray_networks: int | None = option(
        None,
        "Processes that caption; several may share a GPU.  [default: one per GPU, or 4 CPUs]",
        at_least=1,
        at_most=10_000,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("ray_address", "ray_networks"):
            if getattr(self, name) is not None and not self.ray:
                flag = f"--{name.replace('_', '-')}"
                raise UsageError(f"{flag} needs --ray; add it, or remove {flag}")
        if self.ray and self.cluster and not _RAY_ADDRESS.fullmatch(self.cluster):
            name = "--ray-address" if self.ray_address else "RAY_ADDRESS"
            # Ray Client, ray://, does not stream results
            raise UsageError(
                f"{name} is {self.cluster!r}; it must be auto, or HOST:PORT of the head"
            )

    @property
    def cluster(self) -> str | None:
        """The address of a cluster, also from the environment; None for one of this machine."""
        return self.ray_address or os.environ.get("RAY_ADDRESS") or None


@dataclass(frozen=True, kw_only=True)
class IndexOptions(Options):
    """Index."""

    index: Path | None = option(
        None, "The index, an SQLite file.  [default: in the user's data folder]"
    )
    redo: bool = option(
        False,
        "Also caption files that were captioned differently, or that failed.",
    )
    prune: bool = option(
        False, "Remove missing files from the index, including those on unmounted drives."
    )


@dataclass(frozen=True, kw_only=True)
class FindOptions(Options):
    """Search."""

    limit: int = option(10, "Maximum number of moments.", at_least=1, at_most=10_000)
    path: str | None = option(
        None, "Only in files whose path contains this; * and ? are wildcards."
    )
    longer_s: float | None = option(
        None, "Only in videos of at least this many seconds.", at_least=0
    )
    shorter_s: float | None = option(None, "Only in videos of at most this many seconds.", above=0)
    after: str | None = option(
        None, "Only in files modified on this day, such as 2026-05-31, or later."
    )
    before: str | None = option(None, "Only in files modified before this day.")
    min_confidence: float | None = option(
        None, "Only captions of at least this confidence.", at_least=0, at_most=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("after", "before"):
            day = getattr(self, name)
            try:
                datetime.fromisoformat(day or "2026-05-31").timestamp()
            except (ValueError, OverflowError, OSError) as error:  # years out of range
                raise UsageError(
                    f"--{name} is {day!r}; give a date, such as 2026-05-31 or 2026-05-31T18:00"
                ) from error
