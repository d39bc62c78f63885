"""The number of CPUs that this process may use."""

import math
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def cpu_count(root: Path = Path("/")) -> int:
    """The number of CPUs that this process may run on, or fewer if its CPU time is limited.

    Containers and services have such limits: ``cpu.max`` of Linux's control groups, and
    ``cpu.cfs_quota_us`` of their version 1. ``root``: the root of the file system.
    """
    if sys.version_info >= (3, 13):
        number = os.process_cpu_count() or 1
    elif sys.platform == "linux":
        number = len(os.sched_getaffinity(0))
    else:
        number = os.cpu_count() or 1
    return max(1, min([number, *(math.ceil(limit) for limit in _limits(root))]))


def _limits(root: Path) -> Iterator[float]:
    """CPUs' worth of time that this process's control group and those around it may use."""
    mounted = root / "sys/fs/cgroup"
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            top = mounted / "cpu" if controllers else mounted
            # In a container the path may be the host's, and the container's group at the top.
            group = top / path.lstrip("/")
            for each in (group, *group.parents):
                if each.is_relative_to(top):
                    yield from _limit(each)


def _limit(group: Path) -> Iterator[float]:
    """The limit of one group, if it has one."""
    with suppress(OSError, ValueError):  # no such file, or it contains "max"
        quota, period = (group / "cpu.max").read_text().split()
        yield int(quota) / int(period)
    with suppress(OSError, ValueError):
        quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        if int(quota) > 0:  # -1: no limit
            yield int(quota) / int(period)
