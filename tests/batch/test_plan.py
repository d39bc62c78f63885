"""What counts as done, and what is never overwritten."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vidcaption import OutputError
from vidcaption.batch import Books, Job, Plan
from vidcaption.batch.ledger import NAME
from vidcaption.options.captioning import CaptionOptions

MODEL = "a" * 64
TEXT = "1\n00:00:00,000 --> 00:00:01,000\nA dog\n\n"


@pytest.fixture
def job(tmp_path: Path) -> Job:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"video")
    targets = {name: tmp_path / f"clip.{name}" for name in ("srt", "txt")}
    return Job(clip, tmp_path, targets)


def books(model: str = MODEL, *, force: bool = False, **options: Any) -> Books:
    return Books(model, CaptionOptions(**options), force=force)


def write(job: Job, by: Books) -> Plan:
    """Do what is to be done, as a run would."""
    with by.lease(job.targets.values()) as held:
        assert held
        plan = by.plan(job)
        for target in plan.todo.values():
            by.write(job, target, TEXT + "".join(plan.todo), plan.fingerprint)
    return plan


def test_new_then_done(job: Job) -> None:
    plan = write(job, books())
    assert plan.needed and plan.todo == job.targets and plan.replaced == plan.kept == ()
    for again in (books(), books()):
        plan = again.plan(job)
        assert not plan.needed and plan.todo == {} and plan.kept == ()


def test_only_the_missing_format_is_written(job: Job) -> None:
    write(job, books())
    job.targets["txt"].unlink()
    assert books().plan(job).todo == {"txt": job.targets["txt"]}


@pytest.mark.parametrize(
    "change",
    [
        lambda job: books("b" * 64),
        lambda job: books(beam=1),
        lambda job: books(end_s=3.0),
        lambda job: books(regions=True),
        lambda job: os.utime(job.path, ns=(1, 1)),
        lambda job: job.path.write_bytes(b"longer video"),
    ],
)
def test_what_decides_the_text_makes_it_anew(job: Job, change: Callable[[Job], object]) -> None:
    write(job, books())
    by = change(job)
    plan = (by if isinstance(by, Books) else books()).plan(job)
    assert plan.todo == job.targets and set(plan.replaced) == set(job.targets.values())


def test_options_of_later_versions_redo_nothing() -> None:
    """Outputs of 0.4 are compared by these."""
    assert set(CaptionOptions().recipe) == {
        *("beam", "end_s", "frames", "length_penalty", "max_words", "merge", "min_confidence"),
        *("min_scene_s", "min_words", "no_repeat_ngram", "same_within", "sampling"),
        *("scene_threshold", "segment", "start_s", "stride_s", "window_s"),
    }


def test_another_format_in_a_file_of_that_name(job: Job, tmp_path: Path) -> None:
    one, other = (replace(job, targets={name: tmp_path / "all.txt"}) for name in ("srt", "txt"))
    for new, old in ((one, other), (other, one)):
        assert write(new, books()).todo == new.targets
        assert not books().plan(new).needed and books().plan(old).needed


def test_back_to_the_options_of_before(job: Job) -> None:
    """The content decides, not the last row."""
    write(job, books())
    write(job, books(beam=1))
    assert books(beam=1).plan(job).needed is False
    assert books().plan(job).needed is True


@pytest.mark.parametrize("edit", [lambda old: old + "x", lambda old: old[:-3], lambda old: "mine"])
def test_an_edited_file_is_kept(job: Job, edit: Callable[[str], str]) -> None:
    write(job, books())
    job.targets["srt"].write_text(edit(TEXT))
    for by in (books(), books(beam=1)):
        plan = by.plan(job)
        assert plan.kept == (job.targets["srt"],)
        assert "srt" not in plan.todo
    assert books(force=True).plan(job).todo == job.targets


def test_a_file_of_others_is_kept(job: Job) -> None:
    job.targets["srt"].write_text(TEXT)
    plan = write(job, books())
    assert plan.kept == (job.targets["srt"],) and list(plan.todo) == ["txt"]
    assert not books().plan(job).needed


def test_an_empty_file_is_nothing_to_keep(job: Job) -> None:
    job.targets["srt"].touch()
    plan = books().plan(job)
    assert plan.todo == job.targets and plan.replaced == (job.targets["srt"],)


def test_force(job: Job) -> None:
    write(job, books())
    assert books(force=True).plan(job).todo == job.targets


def test_a_moved_folder_is_still_done(job: Job, tmp_path: Path) -> None:
    write(job, books())
    moved = tmp_path.with_name(tmp_path.name + "_moved")
    tmp_path.rename(moved)
    targets = {name: moved / path.name for name, path in job.targets.items()}
    assert not books().plan(Job(moved / "clip.mp4", moved, targets)).needed
    shutil.copytree(moved, tmp_path)  # for pytest, which removes it


def test_an_input_that_is_gone_is_tried(tmp_path: Path) -> None:
    assert books().plan(Job(tmp_path / "gone.mp4", tmp_path, {"srt": tmp_path / "x.srt"})).needed


def test_without_targets_it_is_always_needed(job: Job) -> None:
    assert books().plan(Job(job.path, job.root, {})).needed


def test_what_a_killed_process_left_is_removed(job: Job, tmp_path: Path) -> None:
    old, new = (tmp_path / f".vidcaption-{name}.tmp" for name in ("old", "new"))
    old.touch()
    new.touch()
    os.utime(old, (1, 1))
    write(job, books())
    assert not old.exists() and new.exists()


def test_one_file_of_parts(job: Job, tmp_path: Path) -> None:
    target = tmp_path / "all.csv"
    job = replace(job, targets={"csv": target}, part="csv clip.mp4")
    by = books()
    plan = by.plan(job)
    assert (plan.todo, plan.replaced, plan.kept) == (job.targets, (), ())
    with by.lease([target], job.part), by.lease([target]):
        by.write(job, target, "a\n", plan.fingerprint)
        assert not target.exists() and not books().plan(job).needed  # as after a kill
        assert by.plan(job).todo == {}
        by.put_together(target, lambda: ["head\n", by.parts(target).text("csv clip.mp4")])
    assert target.read_text() == "head\na\n"
    for other in (books(force=True), books(beam=1)):
        assert other.plan(job).needed
    books().check(target)
    target.write_text("edited")
    with pytest.raises(OutputError, match="kept: it was edited, or vidcaption did not"):
        books().check(target)
    books(force=True).check(target)
    assert not books().plan(job).needed


def test_a_crash_between_row_and_output(job: Job) -> None:
    """The row is there and the output is not, or is the old one: it is written again."""
    by = books()
    with by.lease(job.targets.values()):
        by._ledger(job.targets["srt"]).add("clip.srt", "f" * 64, by.plan(job).fingerprint)
    assert books().plan(job).todo == job.targets
    write(job, books())
    with by.lease(job.targets.values()):
        by._ledger(job.targets["srt"]).add("clip.srt", "e" * 64, "another")
    assert not books().plan(job).needed


@pytest.mark.parametrize("junk", [b"{", b"\xff\0", b"[1]", b"{}", b"null", b'{"output": 3}'])
def test_a_torn_ledger_is_read_and_written_on(job: Job, tmp_path: Path, junk: bytes) -> None:
    ledger = tmp_path / NAME
    ledger.write_bytes(junk)
    write(job, books())
    assert not books().plan(job).needed
    assert ledger.read_bytes().startswith(junk + b"\n")
