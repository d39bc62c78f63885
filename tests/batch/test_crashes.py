"""Whatever ends a run, and however many run at once: old file, new file or none, never a part."""

import hashlib
import os
import random
import shutil
import time
from collections import Counter
from contextlib import chdir
from multiprocessing.process import BaseProcess
from pathlib import Path

import forks
import pytest
from clips import write_image
from limits import file_size

from vidcaption.batch import read_manifest
from vidcaption.batch.ledger import NAME
from vidcaption.cli import main

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and locks")

QUICK = ["--beam", "1", "--frames", "1", "--max-words", "4", "--batch-size", "1", "--threads", "1"]
COMMAND = ["run", "in", "--srt", "--jsonl", *QUICK]


def images(folder: Path, count: int) -> list[Path]:
    (folder / "in").mkdir(parents=True)
    return [write_image(folder / f"in/i{n}.png", number=n) for n in range(count)]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run(folder: Path, *arguments: str) -> int:
    with chdir(folder):
        return main([*COMMAND, *arguments])


def outputs(folder: Path) -> dict[str, str]:
    """Name and content of what a run leaves, without the ledger."""
    return {f"in/{path.name}": digest(path) for path in (folder / "in").glob("i*.[sj][rs]*")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a run of 40 images leaves that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    images(folder, 40)
    assert run(folder, "-q") == 0
    return outputs(folder)


def kill(process: BaseProcess, folder: Path, chance: random.Random) -> None:
    """At any moment of its start, or soon after something is written."""
    if chance.random() < 0.5:
        time.sleep(chance.uniform(0, 1))
    else:
        before = os.listdir(folder / "in")
        while process.is_alive() and os.listdir(folder / "in") == before:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.1))
    process.kill()
    process.join()


def test_kills_at_any_moment(tmp_path: Path, whole: dict[str, str]) -> None:
    images(tmp_path, 40)
    chance = random.Random(1)
    for _ in range(12):
        kill(forks.start(*COMMAND, cwd=tmp_path), tmp_path, chance)
        before = outputs(tmp_path)
        assert before.items() <= whole.items()  # each is missing or whole
    assert run(tmp_path, "--manifest", "last.jsonl") == 0
    assert outputs(tmp_path) == whole
    # The last run did what was missing, and nothing else.
    for row in read_manifest(tmp_path / "last.jsonl"):
        missing = any(f"in/{row.path.stem}.{kind}" not in before for kind in ("srt", "jsonl"))
        assert row.status == ("captioned" if missing else "done"), row.path


@pytest.mark.parametrize("limit", [0, 300])
def test_a_full_disk(
    tmp_path: Path, limit: int, whole: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """No file may grow beyond ``limit``, be it an output or the ledger."""
    for path in images(tmp_path, 3):
        assert path.stat().st_size > 0
    with file_size(limit):
        code = run(tmp_path)
    err = capsys.readouterr().err
    assert code == 1
    assert "cannot be written" in err
    assert "File too large" in err or "No space left" in err
    assert "0 captioned, 3 failed" in err
    for path in (tmp_path / "in").iterdir():
        assert path.suffix == ".png" or path.name == NAME or digest(path) in whole.values(), path
    assert run(tmp_path, "-q") == 0
    assert outputs(tmp_path).items() <= whole.items() and len(outputs(tmp_path)) == 6


def test_two_runs_share_the_work(tmp_path: Path, whole: dict[str, str]) -> None:
    images(tmp_path, 40)
    runs = [
        forks.start(*COMMAND, "--manifest", f"{name}.jsonl", cwd=tmp_path, stderr=f"{name}.log")
        for name in "ab"
    ]
    for each in runs:
        each.join()
    assert [each.exitcode for each in runs] == [0, 0]
    assert outputs(tmp_path) == whole
    one, two = (read_manifest(tmp_path / f"{name}.jsonl") for name in "ab")
    statuses = Counter(row.status for row in [*one, *two])
    assert statuses == {"captioned": 40, "done": 40}  # nothing twice, and nobody left early


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may do anything")
def test_a_read_only_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images(tmp_path, 1)
    (tmp_path / "in").chmod(0o500)
    try:
        assert main(["run", str(tmp_path / "in"), "--srt"]) == 3
    finally:
        (tmp_path / "in").chmod(0o700)
    assert "i0.srt cannot be written: Permission denied" in capsys.readouterr().err


def test_a_done_folder_may_be_read_only(tmp_path: Path) -> None:
    images(tmp_path, 1)
    command = ["run", str(tmp_path / "in"), "--srt", *QUICK, "-q"]
    assert main(command) == 0
    moved = tmp_path / "moved"
    shutil.copytree(tmp_path / "in", moved)
    for path in moved.iterdir():
        path.chmod(0o400)
    moved.chmod(0o500)
    try:
        assert main(["run", str(moved), "--srt", *QUICK, "-q"]) == 0
    finally:
        moved.chmod(0o700)
