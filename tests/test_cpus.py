"""CPU limits, as Linux shows them to a process in files."""

import os
import sys
from pathlib import Path

import pytest

from vidcaption.cpus import cpu_count

V2, V1 = "0::{}\n", "3:memory:/x\n4:cpu,cpuacct:{}\n0::/\n"


@pytest.fixture
def many_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 64, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)


def system(root: Path, groups: str, files: dict[str, str]) -> Path:
    """A tree like that of /proc and /sys, whose values may hold as many CPUs as there are."""
    for name, text in {"proc/self/cgroup": groups, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's affinity")
def test_those_that_it_may_run_on() -> None:
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(usable)})
    try:
        assert cpu_count(Path("/nowhere")) == 1
    finally:
        os.sched_setaffinity(0, usable)


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        (V2.format("/"), {"cpu.max": "100000 100000\n"}),
        (V2.format("/"), {"cpu.max": "20000 100000\n"}),  # a fifth of a CPU
        (V2.format("/app.slice/run"), {"app.slice/cpu.max": "50000 50000\n"}),
        (V2.format("/app.slice/run"), {"app.slice/run/cpu.max": "50000 50000\n"}),
        (V2.format("/host/path"), {"cpu.max": "100000 100000\n"}),  # not seen in the container
        (
            V1.format("/docker/1"),
            {"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"},
        ),
        (
            V1.format("/docker/1"),
            {
                "cpu/docker/1/cpu.cfs_quota_us": "100000\n",
                "cpu/docker/1/cpu.cfs_period_us": "100000\n",
                "cpu/cpu.cfs_quota_us": "-1\n",
                "cpu/cpu.cfs_period_us": "100000\n",
            },
        ),
    ],
)
def test_a_limit_of_one_cpu_or_less(
    tmp_path: Path, many_cpus: None, groups: str, files: dict[str, str]
) -> None:
    files = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    assert cpu_count(system(tmp_path, groups, files)) == 1


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("250000 100000", 3), ("max 100000", 64), ("9900000 100000", 64), ("odd", 64)],
)
def test_other_limits(tmp_path: Path, many_cpus: None, text: str, cpus: int) -> None:
    assert cpu_count(system(tmp_path, "0::/\n", {"sys/fs/cgroup/cpu.max": text})) == cpus
