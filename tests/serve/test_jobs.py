"""The jobs in SQLite."""

import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from vidcaption import OutputError, UsageError
from vidcaption.options.base import WHOLE
from vidcaption.options.captioning import CaptionOptions
from vidcaption.serve.jobs import RETRY_S, Job, Jobs, new_id

EVERY = st.integers(0, 9)


def add(jobs: Jobs, name: str = "a", callback: str | None = None) -> Job:
    path = Path(f"/videos/{name}.mp4")
    return jobs.add(new_id(), name, path, CaptionOptions(), callback, uploaded=True, bytes=10)


class Store(RuleBasedStateMachine):
    """Whatever happens to jobs, and however often the server starts again, none is lost."""

    @initialize()
    def open(self) -> None:
        self.place = TemporaryDirectory()
        self.path = Path(self.place.name, "jobs.sqlite")
        self.jobs = Jobs(self.path)
        self.known: dict[str, str] = {}

    def teardown(self) -> None:
        self.jobs.close()
        self.place.cleanup()

    def nth(self, number: int) -> str:
        return [*self.known, "none"][number % (len(self.known) + 1)]

    @rule()
    def add(self) -> None:
        self.known[add(self.jobs).id] = "queued"

    @rule()
    def claim(self) -> None:
        job = self.jobs.claim()
        first = next((id for id, status in self.known.items() if status == "queued"), None)
        assert (job and job.id) == first
        if job:
            self.known[job.id] = "running"

    @rule(number=EVERY, status=st.sampled_from(["done", "failed"]))
    def finish(self, number: int, status: str) -> None:
        id = self.nth(number)
        ended = self.jobs.finish(id, status)  # type: ignore[arg-type]
        assert ended == (self.known.get(id) == "running")
        if ended:
            self.known[id] = status

    @rule(number=EVERY)
    def cancel(self, number: int) -> None:
        id = self.nth(number)
        before = self.known.get(id)
        assert (self.jobs.cancel(id) is not None) == (before in ("queued", "running"))
        if before in ("queued", "running"):
            self.known[id] = "cancelled"

    @rule(number=EVERY)
    def delete(self, number: int) -> None:
        id = self.nth(number)
        before = self.known.get(id, "gone")
        assert (self.jobs.delete(id) is not None) == (before != "gone")
        if before != "gone":
            self.known[id] = "gone"

    @rule(number=EVERY)
    def erase(self, number: int) -> None:
        id = self.nth(number)
        if self.known.get(id) == "gone":
            self.jobs.erase(id)
            del self.known[id]

    @rule(killed=st.booleans())
    def start_again(self, killed: bool) -> None:
        if not killed:  # as the worker does on its way out
            for id in self.known:
                self.jobs.give_back(id)
        self.jobs.close()
        self.jobs = Jobs(self.path)
        for id, status in self.known.items():
            if status == "running":
                self.known[id] = "queued"

    @invariant()
    def agrees(self) -> None:
        assert self.jobs.statuses() == self.known
        seen = [job.id for job in reversed(self.jobs.latest(100))]
        assert seen == [id for id, status in self.known.items() if status != "gone"]
        assert self.jobs.waiting() == list(self.known.values()).count("queued")
        assert self.jobs.stored_bytes() == 10 * len(self.known)


TestStore = Store.TestCase
TestStore.settings = settings(max_examples=15, stateful_step_count=20)  # each step is on disk


def test_a_job_is_kept_as_it_is(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path / "new" / "jobs.sqlite")
    options = CaptionOptions(window_s=WHOLE, end_s=2.5, merge=False)
    path = Path("/videos/\udcff犬.mp4")
    job = jobs.add("x", "犬", path, options, "http://a.example/", bytes=3)
    assert jobs.get("x") == job
    assert (job.options, job.path, job.name, job.uploaded) == (options, path, "犬", False)
    assert jobs.done_for(path) is None
    jobs.claim()
    assert jobs.finish("x", "done", duration_s=2.5, captions=1)
    done = jobs.done_for(path)
    assert done is not None and done.over and (done.duration_s, done.captions) == (2.5, 1)
    jobs.release("x")
    assert jobs.stored_bytes() == 0
    jobs.close()


def test_options_of_another_version(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    jobs = Jobs(path)
    add(jobs)
    jobs.close()
    with sqlite3.connect(path) as db:
        db.execute("""UPDATE jobs SET options = '{"beam": 5, "later": 1}'""")
    db.close()
    jobs = Jobs(path)
    (job,) = jobs.latest(1)
    assert job.options == CaptionOptions(beam=5)
    jobs.close()


def test_callbacks_are_due_until_they_were_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.time", lambda: now)
    jobs = Jobs(tmp_path / "jobs.sqlite")
    job = add(jobs, callback="http://a.example/")
    add(jobs)
    jobs.claim(), jobs.claim()
    assert not jobs.to_call()
    assert jobs.finish(job.id, "done")
    for tried, wait_s in enumerate(RETRY_S):
        (due,) = jobs.to_call()
        assert due.calls == tried
        jobs.called(due, "it answered 500")
        now += wait_s - 0.001
        assert not jobs.to_call()
        now += 0.001
    (last,) = jobs.to_call()
    jobs.called(last, "it answered 500")
    now += 1e6
    assert not jobs.to_call()
    told = jobs.get(job.id)
    assert told is not None and told.callback_error == "it answered 500"
    assert [each.id for each in jobs.ended_before(now)] == [job.id]
    jobs.close()


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database, but long enough to be one" * 100)
    with pytest.raises(
        OutputError,
        match="text, which holds the jobs, cannot be read or written: it is not a database; make",
    ):
        Jobs(tmp_path / "text")
    with pytest.raises(OutputError, match="name another folder with --data"):
        Jobs(tmp_path / "text" / "jobs.sqlite")
    with sqlite3.connect(tmp_path / "newer") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(UsageError, match="made by a newer vidcaption"):
        Jobs(tmp_path / "newer")
