"""An index filled on Ray holds what one filled here holds."""

import os
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alike import alike
from tiny import write_tiny

from vidcaption.cli import main
from vidcaption.scale import Cluster

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals"),
    # Ray leaves its log files and processes to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def content(index: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of each table, by path in place of the number, which tells the order of the work."""
    with sqlite3.connect(f"{index.as_uri()}?mode=ro", uri=True) as database:
        tables = {
            "videos": "SELECT path, size, mtime_ns, digest, duration_s, error FROM videos",
            "windows": "SELECT path, windows.id & 1048575, start_ms, end_ms, text, concepts, score,"
            " confidence FROM windows JOIN videos ON windows.id >> 20 = videos.id",
            "vectors": "SELECT path, rows FROM vectors JOIN videos ON video = videos.id",
        }
        found = {
            name: database.execute(f"{query} ORDER BY 1, 2").fetchall()
            for name, query in tables.items()
        }
    database.close()
    return found


def test_rows_and_vectors_are_those_of_one_machine(
    cluster: Cluster, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_tiny(tmp_path / "model", heads="caption+joint")
    options = ["--model", str(model), "--precision", "fp32", "--batch-size", "4", "--beam", "1"]
    options += ["--frames", "2", "--max-words", "4", "--window", "1"]
    here, there = tmp_path / "here.sqlite", tmp_path / "there.sqlite"
    for index, flags in ((here, []), (there, ["--ray", "--ray-networks", "2"])):
        assert main(["index", str(clips), "--index", str(index), *options, *flags]) == 1
        out, err = capsys.readouterr()
        assert out == "" and "8 captioned, 1 failed" in err
    expected = content(here)
    found = content(there)
    assert [len(expected[name]) for name in ("videos", "vectors")] == [9, 8]
    assert len(expected["windows"]) > 16 and found["videos"] == expected["videos"]
    # Sums are rounded differently in batches of other sizes, and by another number of threads.
    assert alike(found["windows"], expected["windows"])
    for ours, theirs in zip(found["vectors"], expected["vectors"], strict=True):
        assert ours[0] == theirs[0] and len(ours[1]) == len(theirs[1])
        steps = [np.frombuffer(rows, np.int8).astype(int) for rows in (ours[1], theirs[1])]
        assert np.abs(steps[0] - steps[1]).max() <= 1
    assert main(["index", str(clips), "--index", str(there), *options, "--ray"]) == 0
    assert "1 file is skipped: captioning failed before" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "here.sqlite", "model", "there.sqlite",
    ]  # fmt: skip
