"""Real captions of real files, whatever happens to some of them."""

import errno
import os
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

import pytest
from clips import Clips, write_image
from leases import holder
from limits import file_handles
from tiny import write_tiny

from vidcaption import Captioner, InputError, OutputError
from vidcaption.batch import Books, Job, Outcome, Runner, Watcher, runner
from vidcaption.batch.runner import may_pass
from vidcaption.captioning import Captioning
from vidcaption.errors import VidcaptionError
from vidcaption.options.captioning import CaptionOptions
from vidcaption.output.captions import Captions
from vidcaption.types import Segment
from vidcaption.video.workers import Workers

QUICK = CaptionOptions(end_s=5, beam=1, frames=1, max_words=4)


class Log(Watcher):
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.opened_paths: list[Path] = []
        self.segments: list[Segment] = []
        self.retried: list[tuple[Path, str, float]] = []
        self.waited: list[list[Path]] = []

    def opened(self, job: Job, captioning: Captioning) -> None:
        assert captioning.info.path == str(job.path)
        self.opened_paths.append(job.path)

    def captioned(self, segment: Segment) -> None:
        self.segments.append(segment)

    def retrying(self, job: Job, error: VidcaptionError, wait_s: float) -> None:
        self.retried.append((job.path, str(error), wait_s))

    def waiting(self, jobs: Sequence[Job]) -> None:
        self.waited.append([job.path for job in jobs])


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers(2, timeout_s=60) as workers:
        yield workers


@pytest.fixture(scope="module")
def captioner(workers: Workers, tmp_path_factory: pytest.TempPathFactory) -> Captioner:
    """In fp32: what is captioned together is then captioned as it is alone."""
    tiny = write_tiny(tmp_path_factory.mktemp("tiny"))
    return Captioner.from_pretrained(tiny, precision="fp32", workers=workers)


Run = Callable[..., Generator[Outcome]]


@pytest.fixture
def run(captioner: Captioner) -> Run:
    def run(
        jobs: Sequence[Job], watcher: Log | None = None, devices: int = 1, retries: int = 0
    ) -> Generator[Outcome]:
        books = Books(captioner.model.sha256, QUICK)
        captioners = [captioner] * devices
        return Runner(lambda: captioners, books, retries).run(jobs, watcher or Log())

    return run


@pytest.fixture
def job(tmp_path: Path) -> Job:
    still = write_image(tmp_path / "still.png")
    return Job(still, tmp_path, {"srt": tmp_path / "still.srt"})


def test_it_goes_on(tmp_path: Path, run: Run) -> None:
    good, bad, again = (tmp_path / name for name in ("good.png", "bad.png", "again.png"))
    write_image(good)
    bad.write_bytes(b"\0" * 5000)
    shutil.copy(good, again)
    jobs = [
        Job(good, tmp_path, {"srt": tmp_path / "bad.png/good.srt"}),  # below a file
        Job(bad, tmp_path, {"srt": tmp_path / "bad.srt"}),
        Job(again, tmp_path, {"srt": tmp_path / "x/again.srt", "json": tmp_path / "x/again.json"}),
    ]
    log = Log()
    unwritten, unreadable, written = run(jobs, log)

    assert unwritten.status == "failed" and isinstance(unwritten.error, OutputError)
    assert unreadable.status == "failed" and isinstance(unreadable.error, InputError)
    assert unreadable.captions is None
    assert written.status == "captioned" and isinstance(written.captions, Captions)
    assert written.written == (tmp_path / "x/again.srt", tmp_path / "x/again.json")
    assert (tmp_path / "x/again.srt").read_text() == written.captions.render("srt")
    assert (tmp_path / "x/again.json").read_text() == written.captions.render("json")
    assert [each.job for each in (unwritten, unreadable, written)] == jobs
    assert written.elapsed_s > 0
    assert log.opened_paths == [again]
    assert log.segments == [*written.captions.segments]


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("number", [1, 3])
def test_workers_and_devices_change_nothing(
    captioner: Captioner,
    clips: Clips,
    tmp_path: Path,
    number: int,
    devices: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What comes, and in which order: as if there were one of each."""
    (tmp_path / "bad.mp4").write_bytes(b"\0" * 5000)
    names = ["h264.mp4", "still.png", "vfr.mp4", "damaged.avi", "vp9.webm"]
    paths = [clips[names[0]], tmp_path / "bad.mp4", *(clips[name] for name in names[1:])]
    jobs = [Job(path, path.parent, {"srt": tmp_path / f"{path.name}.srt"}) for path in paths]
    jobs[3].targets["srt"].write_text("mine")
    books = Books(captioner.model.sha256, QUICK)
    log = Log()
    with Workers(number, timeout_s=60) as workers:
        monkeypatch.setattr(captioner, "workers", workers)
        outcomes = list(Runner(lambda: [captioner] * devices, books).run(jobs, log))
        monkeypatch.undo()
    assert [each.job for each in outcomes] == jobs
    for path, outcome in zip(paths, outcomes, strict=True):
        if path.name == "bad.mp4":
            assert outcome.status == "failed" and outcome.error is not None
        elif path.name == "vfr.mp4":
            assert outcome.status == "kept"
        else:
            assert outcome.captions == captioner.caption(path, QUICK)
            assert outcome.written == (tmp_path / f"{path.name}.srt",)
            assert outcome.written[0].read_text() == outcome.captions.render("srt")
    captioned = [each for each in outcomes if each.captions is not None]
    assert log.opened_paths == [each.job.path for each in captioned]
    segments = [s for each in captioned if each.captions for s in each.captions.segments]
    assert log.segments == segments


@pytest.mark.parametrize("devices", [1, 2])
def test_what_was_begun_ends_with_the_caller(
    tmp_path: Path, run: Run, workers: Workers, devices: int
) -> None:
    """Its lease is free again, its worker as well."""
    jobs = []
    for name in "abc":
        still = write_image(tmp_path / f"{name}.png")
        jobs.append(Job(still, tmp_path, {"srt": tmp_path / f"{name}.srt"}))
    outcomes = run(jobs, devices=devices)
    assert next(outcomes).job == jobs[0]
    outcomes.close()
    assert not workers._busy
    with holder(tmp_path, "b") as other:
        assert other.stdout is not None and other.stdout.readline() == "True\n"
        other.kill()


def test_done_ones_need_no_model(job: Job, run: Run, captioner: Captioner) -> None:
    assert [each.status for each in run([job])] == ["captioned"]
    books = Books(captioner.model.sha256, QUICK)

    def never() -> list[Captioner]:
        raise AssertionError("the model is loaded")

    [outcome] = Runner(never, books).run([job], Log())
    assert outcome == Outcome(job, "done")


def test_kept_ones(job: Job, run: Run) -> None:
    job.targets["srt"].write_text("mine")
    [outcome] = run([job])
    assert outcome == Outcome(job, "kept", kept=(job.targets["srt"],))
    assert job.targets["srt"].read_text() == "mine"


def test_a_job_goes_by_its_own_name(job: Job, tmp_path: Path, run: Run) -> None:
    renamed = Job(Path("stdin"), Path(), {}, job.path)
    [outcome] = run([renamed])
    assert outcome.captions is not None and outcome.captions.video.path == "stdin"
    (tmp_path / "bad").write_bytes(b"no")
    [outcome] = run([Job(Path("stdin"), Path(), {}, tmp_path / "bad")])
    assert str(outcome.error).startswith("stdin is not a video")


def test_what_meets_every_input_is_raised(job: Job, run: Run) -> None:
    class Full(Log):
        def captioned(self, segment: Segment) -> None:
            raise OutputError("no space")

    with pytest.raises(OutputError, match="no space"):
        next(run([job], Full()))


def test_a_defect_ends_one_input(job: Job, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Captioning) -> Iterator[Segment]:
        raise RuntimeError("out of memory")
        yield

    monkeypatch.setattr(Captioning, "__iter__", broken)
    [outcome] = run([job])
    assert str(outcome.error) == (
        f"{job.path} cannot be captioned: unexpected RuntimeError: out of memory"
    )
    monkeypatch.setenv("VIDCAPTION_DEBUG", "1")
    with pytest.raises(RuntimeError):
        next(run([job]))


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_what_may_pass_is_tried_again(
    job: Job, run: Run, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of reading and of writing, the one that failed is done again, and nothing else."""
    monkeypatch.setattr(runner, "LONGEST_WAIT_S", 0.01)
    fsync, failures = os.fsync, [OSError(code, os.strerror(code))] * 2

    def failing(descriptor: int) -> None:
        if failures:
            raise failures.pop()
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    log = Log()
    [outcome] = run([job], log, retries=2)
    assert outcome.status == "captioned" and job.targets["srt"].exists()
    assert len(log.opened_paths) == 1
    assert [(path, wait_s) for path, _, wait_s in log.retried] == [(job.path, 0.01)] * 2
    assert os.strerror(code) in log.retried[0][1]

    job.targets["srt"].unlink()
    failures = [OSError(code, os.strerror(code))] * 2
    [outcome] = run([job], retries=1)
    assert isinstance(outcome.error, OutputError) and not job.targets["srt"].exists()


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX limit")
def test_reading_is_tried_again(
    job: Job, run: Run, captioner: Captioner, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    monkeypatch.setattr(runner, "LONGEST_WAIT_S", 0.01)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    class Freeing(Log):
        def retrying(self, job: Job, error: VidcaptionError, wait_s: float) -> None:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            super().retrying(job, error, wait_s)

    log = Freeing()
    new = Workers(1, timeout_s=60)  # it has yet to start a process
    monkeypatch.setattr(captioner, "workers", new)
    outcomes = run([Job(job.path, job.root, {})], log, retries=3)
    used = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    if not used:
        pytest.skip("needs /proc")
    with file_handles(3), new:
        [outcome] = outcomes
    assert outcome.status == "captioned"
    assert len(log.retried) == 1 and "too many open files" in log.retried[0][1].lower()


def test_what_a_file_holds_is_not_tried_again(tmp_path: Path, run: Run) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"\0" * 5000)
    log = Log()
    jobs = [Job(path, tmp_path, {}) for path in (bad, tmp_path / "gone.mp4")]
    assert [each.status for each in run(jobs, log, retries=9)] == ["failed", "failed"]
    assert log.retried == []


def test_may_pass() -> None:
    assert may_pass(OSError(errno.ESTALE, "stale"))
    assert not may_pass(OSError(errno.ENOENT, "gone"))
    assert not may_pass(ValueError("x"))
    assert not may_pass(None)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX locks")
def test_what_another_run_is_at_comes_last(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is a process: locks are a process's own."""
    jobs = []
    for name in ("a", "b"):
        still = write_image(tmp_path / f"{name}.png")
        jobs.append(Job(still, tmp_path, {"srt": tmp_path / f"{name}.srt"}))
    monkeypatch.setattr(runner, "POLL_S", 0.02)
    with holder(tmp_path, "a") as other:
        assert other.stdout is not None and other.stdout.readline() == "True\n"

        class Killing(Log):
            def waiting(self, jobs: Sequence[Job]) -> None:
                super().waiting(jobs)
                other.kill()

        log = Killing()
        outcomes = list(run(jobs, log))
    assert [each.job for each in outcomes] == jobs[::-1]
    assert {each.status for each in outcomes} == {"captioned"}
    assert log.waited and set(map(tuple, log.waited)) == {(jobs[0].path,)}
