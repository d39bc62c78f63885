"""Parts of one file that many inputs and several runs add to, and that survive a crash."""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidcaption import OutputError
from vidcaption.batch.parts import Parts
from vidcaption.types import Progress, Region, Relation, SceneGraph, Segment, Word

ADD = """
import sys
from pathlib import Path
from vidcaption.batch.parts import Parts
parts = Parts(Path(sys.argv[1]))
for number in range(100):
    parts.add(f"{sys.argv[2]}-{number}", "f", sys.argv[2] * 5000)
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "all.jsonl"


def kept(target: Path) -> Path:
    return target.with_name(".all.jsonl.parts")


def test_the_last_row_counts(target: Path) -> None:
    parts, other = Parts(target), Parts(target)
    assert parts.fingerprint("a") is None and not kept(target).exists()
    for fingerprint, text in (("1", "\u00e4 \udcff\n\x85"), ("2", "")):
        parts.add("a", fingerprint, text)
        other.add("b", fingerprint, "b" * 100_000)
        for each in (parts, other, Parts(target)):
            assert each.fingerprint("a") == each.fingerprint("b") == fingerprint
            assert (each.text("a"), each.text("b")) == (text, "b" * 100_000)
    assert not target.exists()


def test_any_cut_costs_the_last_part(target: Path) -> None:
    Parts(target).add("a", "1", "first")
    whole = len(kept(target).read_bytes())
    Parts(target).add("b", "1", "second")
    data = kept(target).read_bytes()
    for end in range(whole, len(data)):
        kept(target).write_bytes(data[:end])
        parts = Parts(target)
        assert (parts.fingerprint("a"), parts.fingerprint("b")) == ("1", None)
        parts.add("b", "2", "third")
        assert (parts.fingerprint("b"), parts.text("a"), parts.text("b")) == ("2", "first", "third")


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\0\n", b"[" * 100_000 + b"\n", b"[]\n1\n", b"\n\n",
        b'{"part": 1, "fingerprint": "1", "text": ""}\n',
        b'{"part": "a", "fingerprint": null, "text": ""}\n',
        b'{"part": "a", "fingerprint": "1"}\n',
    ],
)  # fmt: skip
def test_what_is_no_part_is_passed_over(target: Path, data: bytes) -> None:
    kept(target).write_bytes(data)
    parts = Parts(target)
    assert parts.fingerprint("a") is None
    parts.add("a", "1", "text")
    assert (parts.fingerprint("a"), parts.text("a")) == ("1", "text")


def test_a_file_that_goes_or_changes(target: Path) -> None:
    parts = Parts(target)
    parts.add("a", "1", "text")
    assert parts.fingerprint("a") == "1"
    kept(target).write_bytes(b"x" * 500 + b"\n")
    with pytest.raises(OutputError, match=r"all.jsonl.parts was changed .*; run this again"):
        parts.text("a")
    kept(target).unlink()
    with pytest.raises(OutputError, match="cannot be read: No such file"):
        parts.text("a")
    assert parts.fingerprint("a") is None
    kept(target).mkdir()
    with pytest.raises(OutputError, match="cannot be read: Is a directory"):
        parts.fingerprint("a")
    with pytest.raises(OutputError, match="cannot be written: Is a directory"):
        parts.add("a", "1", "text")


def test_rows_of_two_processes_do_not_mix(target: Path) -> None:
    runs = [subprocess.Popen([sys.executable, "-c", ADD, str(target), name]) for name in "ab"]
    assert [run.wait() for run in runs] == [0, 0]
    parts = Parts(target)
    for name in "ab":
        for number in range(100):
            assert parts.fingerprint(f"{name}-{number}") == "f"
            assert parts.text(f"{name}-{number}") == name * 5000


words = st.builds(Word, st.text(max_size=3), st.floats(0, 1))
segments = st.builds(
    Segment,
    st.floats(0, 1e5),
    st.floats(0, 1e5),
    st.text(max_size=9),
    st.floats(-100, 0),
    st.lists(words, max_size=2).map(tuple),
    graph=st.none()
    | st.builds(
        SceneGraph,
        st.lists(st.builds(Region, st.tuples(*[st.floats(0, 99)] * 4)), max_size=2).map(tuple),
        st.lists(st.builds(Relation, st.integers(0, 1), st.text(max_size=3), st.just(0))).map(
            tuple
        ),
    ),
)
rows = st.lists(st.lists(st.none() | segments, min_size=1, max_size=3), max_size=5)


@settings(deadline=None, max_examples=30)
@given(rows, rows, st.none() | st.binary(min_size=1, max_size=50))
def test_finished_windows_come_back_as_they_were(
    given: list[list[Segment | None]], others: list[list[Segment | None]], standing: bytes | None
) -> None:
    """From a file that several inputs share, in which another run began again."""
    with TemporaryDirectory() as folder:
        parts = Parts(Path(folder, "all.jsonl"))
        expected: list[Segment | None] = []
        for run in (others, given):
            expected = []
            for number, part in enumerate(run):
                progress = Progress(tuple(part), number / 3, float(number), standing)
                parts.add_progress("a", "1", len(expected), progress)
                parts.add_progress("b", "1", 0, Progress((None,)))
                expected += part
        for each in (parts, Parts(Path(folder, "all.jsonl"))):
            kept = each.progress("a", "1")
            if given:
                assert kept == Progress(
                    tuple(expected), (len(given) - 1) / 3, len(given) - 1.0, standing
                )
            assert each.progress("a", "2") == each.progress("c", "1") == Progress()


def test_windows_of_a_part_that_is_done_are_forgotten(target: Path) -> None:
    parts = Parts(target)
    assert parts.progress("a", "1") == Progress()
    parts.add_progress("a", "1", 0, Progress((None,), 2.0, 4.0))
    assert parts.fingerprint("a") is None and parts.progress("a", "1").end_s == 4
    parts.add("a", "1", "text")
    assert parts.progress("a", "1") == Progress() and parts.text("a") == "text"
    parts.remove()
    parts.remove()
    assert not kept(target).exists() and parts.fingerprint("a") is None


@pytest.mark.parametrize(
    "change",
    [
        {"first": 2}, {"first": -1}, {"first": None}, {"segments": 5}, {"segments": [5]},
        {"segments": [{"words": []}]}, {"end_s": "x"}, {"standing": "%"}, {"standing": "AAAA"},
    ],
)  # fmt: skip
def test_what_does_not_follow_is_left_out(target: Path, change: dict[str, object]) -> None:
    """Somebody edited a row, or one is missing: the ones before count, and none after."""
    parts = Parts(target)
    for number in range(3):
        parts.add_progress("a", "1", number, Progress((None,), number, number + 1.0))
    lines = kept(target).read_text().splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | change)
    kept(target).write_text("\n".join(lines) + "\n")
    parts = Parts(target)
    assert parts.progress("a", "1") == Progress((None,), 0.0, 1.0)
    parts.add_progress("a", "1", 1, Progress((None, None), 4.0, 5.0))
    assert Parts(target).progress("a", "1") == Progress((None,) * 3, 4.0, 5.0)
