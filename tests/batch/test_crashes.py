"""Whatever ends a run, and however many run at once: old file, new file or none, never a part."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from clips import write_image

from vidcaption.batch import read_manifest
from vidcaption.batch.ledger import NAME
from vidcaption.cli import main

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and locks")

KENNEL = Path(__file__).parent / "kennel.py"
RUN = [sys.executable, "-m", "vidcaption", "run"]
QUICK = ["--beam", "1", "--frames", "1", "--max-words", "4", "--batch-size", "1", "--threads", "1"]


def images(folder: Path, count: int) -> list[Path]:
    (folder / "in").mkdir(parents=True)
    return [write_image(folder / f"in/i{n}.png", number=n) for n in range(count)]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Output and content of a run of 40 images that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    images(folder, 40)
    command = [*RUN, "in", "--srt", "--jsonl", *QUICK, "-q"]
    assert subprocess.run(command, cwd=folder).returncode == 0
    return {f"in/{path.name}": digest(path) for path in (folder / "in").glob("i*.[sj][rs]*")}


@pytest.mark.parametrize("kills", [5, pytest.param(40, marks=pytest.mark.slow)])
def test_kills_at_any_moment(tmp_path: Path, whole: dict[str, str], kills: int) -> None:
    images(tmp_path, 40)
    command = [sys.executable, str(KENNEL), str(kills), "1", "1.5", "run", "in", "--srt", "--jsonl"]
    result = subprocess.run([*command, *QUICK], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert result.returncode == 0
    *after_kills, after = map(json.loads, result.stdout.splitlines())
    assert len(after_kills) == kills
    for files in after_kills:
        outputs = {name: content for name, content in files.items() if name in whole}
        assert outputs.items() <= whole.items()  # each is missing or whole
    assert whole.items() <= after.items()
    # The last run did what was missing, and nothing else.
    before = after_kills[-1]
    for row in read_manifest(tmp_path / "last.jsonl"):
        missing = any(f"in/{row.path.stem}.{kind}" not in before for kind in ("srt", "jsonl"))
        assert row.status == ("captioned" if missing else "done"), row.path


@pytest.mark.parametrize("limit", [4, 300])
def test_a_full_disk(tmp_path: Path, limit: int, whole: dict[str, str]) -> None:
    """No file may grow beyond ``limit``, be it an output or the ledger.

    Four bytes PyTorch wants when it is imported, to see whether there is a folder for scratch.
    """
    import resource

    for path in images(tmp_path, 3):
        assert path.stat().st_size > 0
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    result = subprocess.run(
        [*RUN, "in", "--srt", "--jsonl", *QUICK], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard)),
    )  # fmt: skip
    assert result.returncode == 1
    assert "cannot be written" in result.stderr
    assert "File too large" in result.stderr or "No space left" in result.stderr
    assert "0 captioned, 3 failed" in result.stderr
    for path in (tmp_path / "in").iterdir():
        assert path.suffix == ".png" or path.name == NAME or digest(path) in whole.values(), path
    again = subprocess.run([*RUN, "in", "--srt", "--jsonl", *QUICK, "-q"], cwd=tmp_path)
    assert again.returncode == 0
    for number in range(3):
        for kind in ("srt", "jsonl"):
            name = f"in/i{number}.{kind}"
            assert digest(tmp_path / name) == whole[name]


def test_two_runs_share_the_work(tmp_path: Path, whole: dict[str, str]) -> None:
    images(tmp_path, 40)
    command = [*RUN, "in", "--srt", "--jsonl", *QUICK, "--manifest"]
    runs = [
        subprocess.Popen([*command, f"{name}.jsonl"], cwd=tmp_path, stderr=subprocess.DEVNULL)
        for name in "ab"
    ]
    assert [each.wait() for each in runs] == [0, 0]
    assert {name: digest(tmp_path / name) for name in whole} == whole
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
