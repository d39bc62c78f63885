"""Leases that die with their process, and rows that many processes add to one file."""

import hashlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from leases import holder

from vidcaption import OutputError
from vidcaption.batch.ledger import NAME, Ledger, names_in
from vidcaption.batch.objects import of_others

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX locks")

ADD = """
import errno, os, sys, time
from pathlib import Path
from vidcaption.batch import ledger as module
from vidcaption.batch.ledger import Ledger

def no_locks(*_):
    raise OSError(errno.ENOLCK, "No locks available")

def late(descriptor, data, write=os.write):
    time.sleep(0.001)
    return write(descriptor, data)

if sys.argv[3] == "two machines":  # each finds the end of the file, and then writes there
    module._FLAGS &= ~os.O_APPEND
    os.write = late
else:
    module.fcntl.lockf = no_locks
ledger = Ledger(Path(sys.argv[1]))
for number in range(50):
    name = f"{sys.argv[2]}-{number}"
    with ledger.lease(name) as held:
        assert held
        ledger.add(name, "0" * 64, "x" * 500)
"""


REMOVED = """
import shutil, sys
from pathlib import Path
from vidcaption.batch.ledger import Ledger
from vidcaption.batch.objects import of_others
folder = Path(sys.argv[1])
ledger = Ledger(folder)
with ledger.lease("first"):
    shutil.rmtree(folder)
    with ledger.lease("second") as held:
        print(held, flush=True)
        sys.stdin.read()
        ledger.add("second.srt", "0" * 64, "x")
    shutil.rmtree(folder)
    ledger.add("second.srt", "0" * 64, "x")
    ledger.add("first.srt", "0" * 64, "x")
"""


def test_outputs_of_others(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    folder, video = home / "out", home / "x.mkv"
    folder.mkdir(parents=True)
    other.symlink_to(home)
    ledger, target = Ledger(folder), folder / "x.srt"
    with ledger.lease("x"):
        ledger.add("x.srt", "0" * 64, "f", video)
        ledger.add("y.srt", "0" * 64, "f")
    for path in (video, target, folder / "y.srt"):
        path.write_bytes(b".")
    assert of_others([])(target) and of_others([home / "x.mp4"])(target)
    assert not of_others([video])(target) and not of_others([other / "x.mkv"])(target)
    assert not of_others([])(folder / "y.srt") and not of_others([])(home / "no/x.srt")
    assert of_others([])(other / "out/x.srt")
    moved = home.rename(tmp_path / "moved")
    assert of_others([])(moved / "out/x.srt")  # whose input came along
    (moved / "x.mkv").unlink()
    assert not of_others([])(moved / "out/x.srt")


def test_a_lease_lasts_as_long_as_its_process(tmp_path: Path) -> None:
    mine = Ledger(tmp_path)
    with holder(tmp_path, "clip") as other:
        assert other.stdout is not None and other.stdout.readline() == "True\n"
        with mine.lease("clip") as held:
            assert not held
        with mine.lease("another") as held:
            assert held
        mine.refresh()  # opens and closes the file, which must drop no lease but ours
        with mine.lease("clip") as held:
            assert not held
        other.send_signal(signal.SIGKILL)
        other.wait()
        with mine.lease("clip") as held:
            assert held
    assert list(tmp_path.iterdir()) == []


def test_reading_while_a_lease_is_held_does_not_drop_it(tmp_path: Path) -> None:
    mine = Ledger(tmp_path)
    with mine.lease("clip") as held, mine.lease("second") as too:
        assert held and too
        mine.add("clip.srt", "0" * 64, "f")
        mine.refresh()
        with holder(tmp_path, "clip") as other:
            assert other.communicate("") == ("False\n", None)
    assert names_in(tmp_path) == {"clip.srt"}


def test_one_lease_ends_before_another(tmp_path: Path) -> None:
    mine = Ledger(tmp_path)
    with mine.lease("long"):
        with mine.lease("short"):
            pass
        for key, free in (("long", False), ("short", True)):
            with holder(tmp_path, key) as other:
                assert other.communicate("") == (f"{free}\n", None)


def test_files_and_what_is_recorded_of_them(tmp_path: Path) -> None:
    (tmp_path / "x.srt").write_bytes(b"abc")
    (tmp_path / "folder.srt").mkdir()
    ledger = Ledger(tmp_path)
    digest = hashlib.sha256(b"abc").hexdigest()
    assert (ledger.size("x.srt"), ledger.digest("x.srt")) == (3, digest)
    assert ledger.digest_in([b"a", b"bc"]) == digest
    for name in ("y.srt", "folder.srt"):
        assert ledger.size(name) is None and ledger.digest(name) is None
    assert ledger.fingerprint("x.srt", digest) is None and ledger.names() == set()


def test_an_empty_ledger_is_removed_unless_another_is_at_work(tmp_path: Path) -> None:
    mine = Ledger(tmp_path)
    with holder(tmp_path, "other") as other:
        assert other.stdout is not None and other.stdout.readline() == "True\n"
        with mine.lease("clip"):
            pass
        assert (tmp_path / NAME).exists()
        with mine.lease("other") as held:
            assert not held
        other.communicate("")
    assert not (tmp_path / NAME).exists()


def test_one_that_is_removed_while_leases_are_held(tmp_path: Path) -> None:
    """With the outputs and their folder, say. A process of its own, as it may not get on."""
    folder = tmp_path / "out"
    command = [sys.executable, "-c", REMOVED, str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None and process.stdin is not None
            readable, _, _ = select.select([process.stdout], [], [], 20)
            assert readable and process.stdout.readline() == "True\n"
            for key in ("first", "second"):
                with holder(folder, key) as other:
                    assert other.communicate("") == ("False\n", None)
            process.stdin.close()
            assert process.wait(20) == 0
        finally:
            process.kill()
    assert names_in(folder) == {"first.srt", "second.srt"}


@pytest.mark.parametrize("where", ["two machines", "no locks"])
def test_rows_of_many_processes_do_not_mix(tmp_path: Path, where: str) -> None:
    children = [
        subprocess.Popen([sys.executable, "-c", ADD, str(tmp_path), name, where]) for name in "abc"
    ]
    assert [child.wait() for child in children] == [0, 0, 0]
    assert names_in(tmp_path) == {f"{name}-{number}" for name in "abc" for number in range(50)}
    rows = [line for line in (tmp_path / NAME).read_bytes().splitlines() if line]
    assert len(rows) == 150


def test_rows_of_others_are_seen(tmp_path: Path) -> None:
    one, two = Ledger(tmp_path), Ledger(tmp_path)
    for number in range(3):
        with one.lease("x"):
            one.add("x.srt", str(number), f"made {number}")
        two.refresh()
        assert two.fingerprint("x.srt", str(number)) == f"made {number}"
    (tmp_path / NAME).unlink()
    with one.lease("y"):
        one.add("y.srt", "0", "anew")
    two.refresh()
    assert two.names() == {"y.srt"}


@settings(max_examples=40)
@given(st.lists(st.integers(0, 400), max_size=6).map(sorted), st.sampled_from([b"", b"\n", b"{"]))
def test_a_row_counts_once_it_is_whole(cuts: list[int], torn: bytes) -> None:
    """However much of the file a reader finds, and whatever a crash left in it before."""
    with TemporaryDirectory() as place:
        writer = Ledger(Path(place) / "whole")
        with writer.lease("x"):
            for number in range(3):
                if number == 1:
                    with writer._path.open("ab") as file:
                        file.write(torn)
                writer.add(f"{number}.srt", "0" * 64, f"made {number}")
        data = writer._path.read_bytes()
        assert torn or data.count(b"\n") == 3  # nothing but rows
        reader = Ledger(Path(place))
        for end in (*cuts, len(data)):
            (Path(place) / NAME).write_bytes(data[:end])
            reader.refresh()
            whole = {
                f"{n}.srt"
                for n in range(3)
                if f"made {n}".encode() in data[: data.rfind(b"\n", 0, end) + 1]
            }
            assert reader.names() == whole
        assert len(reader.names()) == 3


@pytest.mark.parametrize(
    "line",
    [
        b"\xff",
        b"[" * 100_000,
        b'["output", "sha256", "fingerprint"]',
        b'{"output": "x.srt", "sha256": "0"}',
        b'{"output": "x.srt", "sha256": 0, "fingerprint": "f"}',
    ],
    ids=range(5),
)
def test_lines_that_are_no_rows_of_outputs(tmp_path: Path, line: bytes) -> None:
    row = b'{"output": "y.srt", "sha256": "0", "fingerprint": "f", "input": 1}'
    (tmp_path / NAME).write_bytes(line + b"\n" + row + b"\n")
    ledger = Ledger(tmp_path)
    ledger.refresh()
    assert ledger.names() == {"y.srt"} and ledger.fingerprint("y.srt", "0") == "f"
    assert ledger.input("y.srt") is None


def test_names_that_are_not_text(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    with ledger.lease("caf\udce9") as held:
        assert held
        ledger.add("caf\udce9\n.srt", "0", "f")
    assert names_in(tmp_path) == {"caf\udce9\n.srt"}


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = pytest.raises(OutputError, match=r"\.vidcaption\.jsonl, the record of what was")
    with refused, Ledger(tmp_path / "file").lease("x"):
        pass
    (tmp_path / "d" / NAME).mkdir(parents=True)
    with pytest.raises(OutputError, match="cannot be read: Is a directory"):
        Ledger(tmp_path / "d").refresh()
