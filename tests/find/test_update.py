"""Keeping an index up to date, with the real model and real files."""

import errno
import os
import pickle
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clips import write_image
from hypothesis import given, settings
from hypothesis import strategies as st
from indexes import entries
from leases import holder
from tiny import write_tiny

from vidcaption import Captioner, InputError
from vidcaption.batch import Job, Outcome, Runner, Watcher
from vidcaption.errors import OutputError, VidcaptionError
from vidcaption.find.index import Index, Recipe
from vidcaption.find.query import Query
from vidcaption.find.update import Survey, find_files, missing, state_of, survey, update
from vidcaption.options.captioning import CaptionOptions
from vidcaption.pipeline import Captioning
from vidcaption.types import Segment

QUICK = CaptionOptions(end_s=5, beam=1, frames=1, max_words=4)


class Log(Watcher):
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.opened_paths: list[Path] = []
        self.waits = 0

    def opened(self, job: Job, captioning: Captioning) -> None:
        self.opened_paths.append(job.path)

    def captioned(self, segment: Segment) -> None: ...

    def retrying(self, job: Job, error: VidcaptionError, wait_s: float) -> None: ...

    def waiting(self, jobs: Sequence[Job]) -> None:
        self.waits += 1


@pytest.fixture(scope="module")
def captioner(tmp_path_factory: pytest.TempPathFactory) -> Captioner:
    return Captioner.from_pretrained(write_tiny(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def recipe(captioner: Captioner) -> Recipe:
    return Recipe(None, captioner.model.sha256, QUICK)


class Updater:
    """Surveys files and captions what is to be captioned, as the commands do."""

    def __init__(self, index: Index, recipe: Recipe, captioner: Captioner):
        self.index, self.recipe = index, recipe
        self._captioner = captioner
        self.log = Log()

    def survey(self, *files: Path, redo: bool = False) -> Survey:
        return survey(self.index, files, self.index.recipe_id(self.recipe), redo=redo)

    def arguments(self, *files: Path) -> tuple[Any, ...]:
        return self.index, files, self.recipe, lambda: [self._captioner], self.log

    def outcomes(self, *files: Path) -> Iterator[Outcome]:
        return update(*self.arguments(*files))

    def __call__(self, *files: Path, redo: bool = False) -> list[Outcome]:
        return list(self.outcomes(*self.survey(*files, redo=redo).todo))


@pytest.fixture
def updater(index: Index, recipe: Recipe, captioner: Captioner) -> Updater:
    return Updater(index, recipe, captioner)


def indexed(index: Index) -> set[str]:
    return {path.name for path in index.videos()}


def test_new_files_are_captioned_once(updater: Updater, tmp_path: Path) -> None:
    one, two = write_image(tmp_path / "one.png"), write_image(tmp_path / "two.png", number=9)
    (first,) = updater(one)
    assert first.status == "captioned" and first.captions is not None
    (segment,) = first.captions.segments
    hits = updater.index.match_all(Query.parse(segment.text), None, None)
    kept = [(entry.text, entry.score) for entry in entries(updater.index, hits)]
    assert kept == [(segment.text, segment.score)]
    assert [outcome.job.path for outcome in updater(one, two, two)] == [two]
    assert updater(one, two) == []
    assert updater.log.opened_paths == [one, two]


def test_a_link_is_the_file(updater: Updater, tmp_path: Path) -> None:
    file, link = write_image(tmp_path / "file.png"), tmp_path / "link.png"
    link.symlink_to(file)
    assert [outcome.job.path for outcome in updater(link, file)] == [file]


def test_changed_files_are_captioned_again(updater: Updater, tmp_path: Path) -> None:
    path = write_image(tmp_path / "still.png")
    updater(path)
    before = updater.index.videos()[path]
    write_image(path, number=200)
    assert updater.survey(path).todo == [path]
    updater(path)
    after = updater.index.videos()[path]
    assert after.state != before.state and after.id != before.id
    assert updater.index.count() == 1


def test_a_file_that_was_moved_touched_or_copied_is_known(updater: Updater, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    path = write_image(tmp_path / "a/still.png")
    updater(path)
    (tmp_path / "a").rename(tmp_path / "b")
    moved = tmp_path / "b/still.png"
    assert updater.survey(moved) == Survey(known=[moved])
    assert updater.index.videos().keys() == {moved}
    os.utime(moved, (1, 1))
    assert updater.survey(moved) == Survey(known=[moved])
    assert updater.survey(moved) == Survey()
    copied = Path(shutil.copy(moved, tmp_path / "copy.png"))
    assert updater.survey(moved, copied) == Survey(known=[copied])
    assert updater.index.videos().keys() == {moved, copied} and updater.index.count() == 2
    assert updater.log.opened_paths == [path]


def test_a_file_that_was_moved_to_two_places(updater: Updater, tmp_path: Path) -> None:
    path = write_image(tmp_path / "still.png")
    updater(path)
    one, two = path.rename(tmp_path / "one.png"), tmp_path / "two.png"
    shutil.copy(one, two)
    assert updater.survey(one, two) == Survey(known=[one, two])
    assert updater.index.videos().keys() == {one, two} and updater.index.count() == 2


def test_another_recipe_is_told_of_and_redone_when_asked(updater: Updater, tmp_path: Path) -> None:
    old, new = write_image(tmp_path / "old.png"), write_image(tmp_path / "new.png", number=9)
    updater(old)
    updater.recipe = Recipe(None, updater.recipe.sha256, CaptionOptions(beam=2, frames=1))
    assert updater.survey(old, new) == Survey(todo=[new], outdated=[old])
    assert updater.survey(old, new, redo=True).todo == [old, new]
    updater(old, new, redo=True)
    assert updater.survey(old, new) == Survey()
    assert updater.index.count() == 2


def test_what_fails_is_not_tried_again_until_it_changes(updater: Updater, tmp_path: Path) -> None:
    path = tmp_path / "still.png"
    path.write_bytes(b"\0" * 5000)
    (failed,) = updater(path)
    assert failed.status == "failed" and isinstance(failed.error, InputError)
    assert updater.index.videos()[path].error == failed.reason
    assert updater.survey(path) == Survey(broken=[path])
    assert updater.survey(path, redo=True).todo == [path]
    write_image(path)
    (outcome,) = updater(path)
    assert outcome.status == "captioned" and updater.index.videos()[path].error is None


def test_what_may_pass_is_tried_again(
    updater: Updater, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails for a while, and a file that is gone for a while."""
    path, gone = write_image(tmp_path / "still.png"), tmp_path / "gone.png"

    def fail(self: object, *args: object, **named: object) -> None:
        raise InputError(f"{path} cannot be read") from OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Captioning, "_enter", fail)
        assert [outcome.status for outcome in updater(path, gone)] == ["failed", "failed"]
    assert not updater.index.videos()
    assert updater.survey(path, gone).todo == [path, gone]


def test_an_interrupted_update_goes_on(updater: Updater, tmp_path: Path) -> None:
    files = [write_image(tmp_path / f"{i}.png", number=i) for i in range(3)]
    outcomes = updater.outcomes(*files)
    assert next(outcomes).status == "captioned"
    outcomes.close()  # type: ignore[attr-defined]
    assert indexed(updater.index) == {"0.png"}
    assert updater.survey(*files).todo == files[1:]
    updater(*files)
    assert indexed(updater.index) == {"0.png", "1.png", "2.png"}
    assert {path.name for path in tmp_path.iterdir()} == {
        "index.sqlite", "0.png", "1.png", "2.png",
    }  # fmt: skip


def test_what_another_process_is_at_is_waited_for(updater: Updater, tmp_path: Path) -> None:
    """Here that process dies without having done it."""
    path = write_image(tmp_path / "still.png")
    with holder(tmp_path, str(path)) as other:
        assert other.stdout and other.stdin and other.stdout.readline() == "True\n"

        def waiting(jobs: Sequence[Job]) -> None:
            other.kill()
            other.wait()

        updater.log.waiting = waiting  # type: ignore[method-assign]
        (outcome,) = updater(path)
    assert outcome.status == "captioned"


def test_what_another_process_did_meanwhile_is_not_done_again(
    updater: Updater, tmp_path: Path
) -> None:
    path = write_image(tmp_path / "still.png")
    ended: list[Outcome] = []
    updater.log.ended = ended.append  # type: ignore[method-assign]

    def late(runner: Runner, jobs: Iterable[Job], watcher: Watcher) -> Iterator[Outcome]:
        with Index(updater.index.path) as index:
            other = Updater(index, updater.recipe, updater._captioner)
            assert [outcome.status for outcome in other(path)] == ["captioned"]
        return runner.run(jobs, watcher)

    (outcome,) = update(*updater.arguments(path), late)
    assert outcome.status == "done" and ended == [outcome]


def test_an_executor_gets_what_is_claimed_and_nothing_of_the_index(
    updater: Updater, tmp_path: Path
) -> None:
    one, two = (write_image(tmp_path / f"{i}.png", number=i) for i in range(2))
    given: list[list[Path]] = []

    def elsewhere(runner: Runner, jobs: Iterable[Job], watcher: Watcher) -> Iterator[Outcome]:
        taken = list(jobs)
        given.append([job.path for job in taken if isinstance(job.path, Path)])
        runner = replace(runner, books=pickle.loads(pickle.dumps(runner.books)))
        for outcome in runner.run(taken, watcher):
            if outcome.job.path == one:
                with holder(tmp_path, str(one)) as other:
                    assert other.stdout is not None
                    assert other.stdout.readline() == "False\n"  # until it is stored
            yield outcome

    with holder(tmp_path, str(two)) as other:
        assert other.stdout and other.stdin and other.stdout.readline() == "True\n"

        def waiting(jobs: Sequence[Job]) -> None:
            other.kill()
            other.wait()

        updater.log.waiting = waiting  # type: ignore[method-assign]
        outcomes = list(update(*updater.arguments(one, two), elsewhere))
    assert [each.job.path for each in outcomes] == [one, two]
    assert [each for each in given if each] == [[one], [two]]
    assert indexed(updater.index) == {"0.png", "1.png"}


def test_an_index_that_cannot_be_read_for_a_file(
    updater: Updater, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_image(tmp_path / "still.png")

    def locked(self: Index, path: Path) -> None:
        raise OutputError("the index is locked")

    monkeypatch.setattr(Index, "video", locked)
    (outcome,) = updater.outcomes(path)
    assert (outcome.status, outcome.reason) == ("failed", f"{path}: the index is locked")


def test_folders_that_are_away_lose_nothing(
    updater: Updater, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    drive = tmp_path / "drive"
    drive.mkdir()
    path = write_image(drive / "still.png")
    with caplog.at_level("INFO"):
        assert find_files([drive]) == [path] and not caplog.messages
        updater(path)
        drive.rename(tmp_path / "unplugged")
        assert find_files([drive]) == []
        drive.mkdir()  # an empty mount point
        assert find_files([drive]) == []
    assert caplog.messages == [
        f"{drive} is missing; its entries are kept",
        f"{drive} contains no video or image; its entries are kept",
    ]
    assert updater.index.videos().keys() == {path}
    assert [video.path for video in missing(updater.index.videos(), [])] == [path]
    assert missing(updater.index.videos(), [tmp_path / "other"]) == []
    drive.rmdir()
    (tmp_path / "unplugged").rename(drive)
    assert updater.survey(*find_files([drive])) == Survey()


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=2000), st.integers(0, 1999))
def test_small_files_are_told_apart_by_every_byte(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, at: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes"
    path.write_bytes(data)
    state = state_of(path)
    assert state.size == len(data)
    changed = bytearray(data)
    if at < len(data):
        changed[at] ^= 1
    path.write_bytes(changed)
    assert (state_of(path).digest == state.digest) is (bytes(changed) == data)


def test_large_files_are_told_apart_by_their_ends_and_middle(tmp_path: Path) -> None:
    path = tmp_path / "large"
    size = 10_000_000
    digests = set()
    for at in (None, 0, size // 2, size - 1):
        data = bytearray(size)
        if at is not None:
            data[at] = 1
        path.write_bytes(data)
        digests.add(state_of(path).digest)
    assert len(digests) == 4
