"""Runs on Ray give what one machine gives, whatever dies meanwhile."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alike import alike
from clips import every, write_clip

from vidcaption.batch import Batch, Executor, Job, Outcome, Runner, Watcher, read_manifest
from vidcaption.batch.runner import in_process
from vidcaption.errors import ModelError
from vidcaption.options.batch import BatchOptions
from vidcaption.options.captioning import CaptionOptions, MachineOptions
from vidcaption.options.output import OutputOptions
from vidcaption.pipeline import Captioner
from vidcaption.scale import Cluster
from vidcaption.types import Segment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals"),
    # Ray leaves its log files and processes to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

QUICK = CaptionOptions(beam=1, frames=2, max_words=4, window_s=1)
FP32 = MachineOptions(precision="fp32", batch_size=4)
FLAGS = ["--beam", "1", "--frames", "2", "--max-words", "4", "--window", "1"]
FLAGS += ["--precision", "fp32", "--batch-size", "4"]


class Heard(Watcher):
    """What a watcher is notified of."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def opened(self, job: object, captioning: object) -> None:
        self.events.append("opened")

    def captioned(self, segment: Segment) -> None:
        self.events.append("captioned")

    def ended(self, outcome: Outcome) -> None:
        self.events.append(outcome.status)


def run(
    inputs: Path,
    model: Path,
    output: OutputOptions,
    execute: Executor,
    watcher: Watcher | None = None,
    options: CaptionOptions = QUICK,
) -> tuple[list[Outcome], str]:
    """What became of each input, and standard output."""
    outcomes: list[Outcome] = []
    printed: list[str] = []
    with Batch([str(inputs)], output, BatchOptions()) as batch:
        batch.plan(model, options)
        batch.start(FP32, watcher or Watcher(), printed.append, outcomes.append, execute)()
    return outcomes, "".join(printed)


def test_files_are_those_of_one_machine(
    cluster: Cluster, clips: Path, model: Path, tmp_path: Path
) -> None:
    here, there, heard = tmp_path / "here", tmp_path / "there", Heard()
    expected, _ = run(clips, model, OutputOptions(json=True, srt=True, out_dir=here), in_process)
    output = OutputOptions(json=True, srt=True, out_dir=there)
    outcomes, _ = run(clips, model, output, cluster, heard)
    assert {each.job.path: each.status for each in outcomes} == {
        each.job.path: each.status for each in expected
    }
    assert alike(
        *(
            {each.job.path: (each.captions, str(each.error)) for each in some}
            for some in (outcomes, expected)
        )
    )
    names = sorted(path.name for path in here.iterdir() if path.name[0] != ".")
    assert len(names) == 16
    for name in names:
        if name.endswith(".srt"):  # JSON has numbers, whose last digits may differ
            assert (there / name).read_bytes() == (here / name).read_bytes()
    assert Counter(heard.events) == {"opened": 8, "captioned": 8, "failed": 1}  # of inputs

    again, _ = run(clips, model, output, cluster)
    assert Counter(each.status for each in again) == {"done": 8, "failed": 1}


def test_lines_on_standard_output_keep_their_order(
    cluster: Cluster, clips: Path, model: Path
) -> None:
    output, heard = OutputOptions(jsonl=True, output="-"), Heard()
    _, expected = run(clips, model, output, in_process)
    outcomes, printed = run(clips, model, output, cluster, heard)
    assert printed == expected != ""
    assert [each.job.path.name for each in outcomes] == sorted(os.listdir(clips))
    first = outcomes[0].captions
    assert first is not None
    steps = ["opened", *["captioned"] * len(first), "captioned", "opened"]  # it is captioned
    assert heard.events[: len(steps)] == steps


def test_one_file_for_all(cluster: Cluster, clips: Path, model: Path, tmp_path: Path) -> None:
    for name, execute in ("here.json", in_process), ("there.json", cluster):
        run(clips, model, OutputOptions(output=str(tmp_path / name)), execute)
    assert (tmp_path / "there.json").read_bytes() == (tmp_path / "here.json").read_bytes()
    assert len(json.loads((tmp_path / "there.json").read_text())) == 8


def test_one_dataset_for_all(cluster: Cluster, clips: Path, model: Path, tmp_path: Path) -> None:
    lance = pytest.importorskip("lance")
    for name, execute in ("here.lance", in_process), ("there.lance", cluster):
        run(clips, model, OutputOptions(output=str(tmp_path / name)), execute)
    here, there = (
        lance.dataset(tmp_path / name).to_table() for name in ("here.lance", "there.lance")
    )
    assert there == here and len(set(there["video"].to_pylist())) == 8


def test_errors_that_stop_every_input_are_those_of_one_machine(
    cluster: Cluster, clips: Path, model: Path, tmp_path: Path
) -> None:
    broken = shutil.copytree(model, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        run(clips, broken, OutputOptions(srt=True, out_dir=tmp_path), cluster)


class Dying(Captioner):
    """Its process ends when it opens an input of this name."""

    name: str

    def open(self, source: Any, *args: Any, **flags: Any) -> Any:
        if Path(source).name == self.name:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().open(source, *args, **flags)


class Lethal:
    """Loads such a model."""

    def __init__(self, model: Path, name: str) -> None:
        self._model, self._name = model, name
        self._loaded: list[Captioner] = []

    def __call__(self) -> list[Captioner]:
        if not self._loaded:
            captioner = Dying.from_pretrained(self._model, precision="fp32", batch_size=4)
            assert isinstance(captioner, Dying)
            captioner.name = self._name
            self._loaded = [captioner]
        return self._loaded


def test_an_input_that_ends_every_network_fails_alone(
    cluster: Cluster, clips: Path, model: Path, tmp_path: Path
) -> None:
    def lethal(runner: Runner, jobs: Iterable[Job], watcher: Watcher) -> Iterator[Outcome]:
        return cluster(replace(runner, load=Lethal(model, "c2.mp4")), jobs, watcher)

    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[Lethal.__module__])  # unknown elsewhere

    outcomes, _ = run(clips, model, OutputOptions(srt=True, out_dir=tmp_path), lethal)
    failed = {each.job.path.name: str(each.error) for each in outcomes if each.error}
    assert sorted(failed) == ["c2.mp4", "c3b.mp4"]
    assert "c2.mp4 ended the process that captioned it, 3 times" in failed["c2.mp4"]
    assert Counter(each.status for each in outcomes) == {"captioned": 7, "failed": 2}


def processes(root: int) -> dict[int, str]:
    """The command lines of all descendants of a process."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, left = {}, [root]
    while left:
        for child in children.get(left.pop(), ()):
            left.append(child)
            with suppress(OSError):
                found[child] = (Path("/proc") / str(child) / "cmdline").read_text()
    return found


def born(pid: int) -> str:
    """When a process started, in ticks since the machine did; empty if it has ended."""
    with suppress(OSError):
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state == "Z" else fields[18]
    return ""


def command(folder: Path, model: Path, *more: str) -> "subprocess.Popen[str]":
    """A run with --ray in a process of its own."""
    words = ["run", "in", "--ray", "--srt", "--txt", "--model", str(model), *FLAGS, *more]
    return subprocess.Popen(
        [sys.executable, "-m", "vidcaption", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def written(folder: Path) -> int:
    return len(list((folder / "in").glob("*.txt")))


def wait_for(run: "subprocess.Popen[str]", folder: Path, count: int) -> bool:
    """Until so many outputs are there; False if the run has ended."""
    while run.poll() is None:
        if written(folder) >= count:
            return True
        time.sleep(0.02)
    return False


def kill(run: "subprocess.Popen[str]", victim: str, chance: random.Random) -> bool:
    """Kill one of the run's processes that have ``victim`` in their command line, once there is
    one; False if the run has ended."""
    while run.poll() is None:
        found = [pid for pid, line in processes(run.pid).items() if victim in line]
        if found:
            with suppress(ProcessLookupError):
                os.kill(chance.choice(sorted(found)), signal.SIGKILL)
                return True
        time.sleep(0.02)
    return False


def there(folder: Path, names: list[str]) -> set[str]:
    return {name for name in names if (folder / "in" / name).exists()}


def assert_nothing_was_done_twice(manifest: Path, before: set[str], decoders: int) -> None:
    """A network that was killed may have written what it did not report. The input of a decoder
    that was killed fails, as it might be what killed it."""
    rows = read_manifest(manifest) if manifest.exists() else []
    assert sum(row.status == "failed" for row in rows) <= decoders
    for row in rows:
        if not {f"{row.path.stem}.srt", f"{row.path.stem}.txt"} - before:
            assert row.status == "done", row


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("seed", [1, 2])
def test_kills_at_random_moments(model: Path, tmp_path: Path, seed: int) -> None:
    """Twelve for a seed, of a network, a task that reads, its process, and of the driver: nothing
    is lost or torn, and nothing is done twice but what was in hand."""
    chance, number, rounds, kinds = random.Random(seed), 80, 3, ["Network", "_read", "spawn_main"]
    here, killed = tmp_path / "killed", Counter[str]()
    for folder in (tmp_path / "whole", here):
        (folder / "in").mkdir(parents=True)
    for each in range(number):
        clip = write_clip(tmp_path / f"whole/in/c{each}.mp4", every(0.5, 4 + each % 7))
        shutil.copy2(clip, here / "in")
    run(tmp_path / "whole/in", model, OutputOptions(srt=True, txt=True), in_process)
    names = [f"c{each}.{kind}" for each in range(number) for kind in ("srt", "txt")]
    whole = {name: (tmp_path / "whole/in" / name).read_bytes() for name in names}

    for turn in range(rounds):
        before, manifest = there(here, names), f"{turn}.jsonl"
        driver = command(here, model, "--manifest", manifest)
        at = written(here)
        for victim in chance.sample(kinds, 3):
            at += chance.randrange(1, 4)
            if wait_for(driver, here, at):
                killed[victim] += kill(driver, victim, chance)
        assert wait_for(driver, here, at + 1), driver.communicate()
        # without Ray's agents, which notice it minutes later
        lines = processes(driver.pid).items()
        started = {pid: born(pid) for pid, line in lines if "agent" not in line.lower()}
        os.kill(driver.pid, signal.SIGKILL)
        driver.communicate()
        killed["driver"] += 1
        while any(at and born(pid) == at for pid, at in started.items()):  # all end with it
            time.sleep(0.1)
        for name in there(here, names):
            assert (here / "in" / name).read_bytes() == whole[name]
        assert_nothing_was_done_twice(here / manifest, before, decoders=1)
    print(f"seed {seed}: {dict(killed)}")
    assert killed == dict.fromkeys([*kinds, "driver"], rounds)

    before = there(here, names)
    last = command(here, model, "--manifest", "last.jsonl")
    out, err = last.communicate()
    assert (last.returncode, out) == (0, ""), err
    assert {name: (here / "in" / name).read_bytes() for name in names} == whole
    rows = read_manifest(here / "last.jsonl")
    assert len(rows) == number and sum(row.status == "done" for row in rows) <= len(before) / 2
    assert_nothing_was_done_twice(here / "last.jsonl", before, decoders=0)
    assert not list((here / "in").glob(".*.parts"))
