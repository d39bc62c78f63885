"""Whole runs, by executors other than the one of this process."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from alike import alike
from clips import every, write_clip
from executors import Hanging, spawned
from tiny import write_tiny

from vidcaption.batch import Batch, Executor, Job, Outcome, Runner, Watcher
from vidcaption.batch.runner import in_process
from vidcaption.options.batch import BatchOptions
from vidcaption.options.captioning import CaptionOptions, MachineOptions
from vidcaption.options.output import OutputOptions

QUICK = CaptionOptions(beam=1, frames=1, max_words=4, window_s=1, segment="fixed")
FP32 = MachineOptions(precision="fp32")  # in which batches change nothing


def run(inputs: list[str], out: Path, model: Path, execute: Executor) -> dict[str, Outcome]:
    """What became of each input, by its name."""
    outcomes: list[Outcome] = []
    with Batch(inputs, OutputOptions(srt=True, out_dir=out), BatchOptions()) as batch:
        batch.plan(model, QUICK)
        batch.start(FP32, Watcher(), print, outcomes.append, execute)()
    return {outcome.job.path.name: outcome for outcome in outcomes}


def killed(runner: Runner, jobs: Iterable[Job], watcher: Watcher) -> Iterator[Outcome]:
    """The process is killed when it is through with the first input and at work on the second."""
    outcomes = spawned(runner, jobs, Hanging("b.mp4"))
    yield next(outcomes)
    outcomes.close()


def loaded(runner: Runner, jobs: Iterable[Job], watcher: Watcher) -> Iterator[Outcome]:
    """The model that was loaded here stays here."""
    runner.load()
    return spawned(runner, jobs, watcher)


def test_a_runner_works_in_another_process_whose_end_loses_nothing(tmp_path: Path) -> None:
    inputs = [str(write_clip(tmp_path / name, every(0.5, 5))) for name in ("a.mp4", "b.mp4")]
    model, here, there = write_tiny(tmp_path / "model"), tmp_path / "here", tmp_path / "there"
    expected = run(inputs, here, model, in_process)

    before = run(inputs, there, model, killed)
    assert {name: each.status for name, each in before.items()} == {"a.mp4": "captioned"}
    assert [path.name for path in there.glob("[!.]*")] == ["a.srt"]
    written = (there / "a.srt").stat().st_mtime_ns

    after = run(inputs, there, model, loaded)
    assert {name: each.status for name, each in after.items()} == {
        "a.mp4": "done",
        "b.mp4": "captioned",
    }
    assert (there / "a.srt").stat().st_mtime_ns == written
    for name, outcome in {**after, **before}.items():
        file = Path(name).with_suffix(".srt")
        assert (there / file).read_bytes() == (here / file).read_bytes() != b""
        assert alike(outcome.captions, expected[name].captions)
        assert outcome.statistics is not None and outcome.statistics.frames > 1
    assert not list(there.glob("*.tmp"))
