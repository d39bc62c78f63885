"""Parquet files hold what JSON lines hold."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clips import every, write_clip
from runs import Run
from tables import SAMPLE
from tiny import write_tiny

from vidcaption.cli import main
from vidcaption.errors import UsageError
from vidcaption.output import table as module
from vidcaption.output.formats import render_many, stream_named
from vidcaption.output.parquet import parquet

pq = pytest.importorskip("pyarrow.parquet")


def rows(path: Path) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return table


def test_rows_are_those_of_json_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS", 3)
    path, captions = tmp_path / "x.parquet", [SAMPLE, replace(SAMPLE, segments=()), SAMPLE]
    chunks = list(parquet(stream_named("parquet").piece(each) for each in captions))
    path.write_bytes(b"".join(chunks))
    assert len(chunks) == 3 and all(chunks)  # a row group each, and the end
    assert pq.ParquetFile(path).num_row_groups == 2
    expected = [
        json.loads(line) for line in "".join(render_many("jsonl", captions)).split("\n")[:-1]
    ]
    assert rows(path) == [row | {"video": "a\u2028b\\udcff.mp4"} for row in expected]
    assert rows(path)[0]["confidence"] == 0.7 and rows(path)[1]["confidence"] is None


def test_a_table_without_rows_has_columns(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"".join(parquet([])))
    assert rows(path) == []
    assert pq.read_schema(path).names[:4] == ["video", "start", "end", "text"]


def test_it_is_no_text() -> None:
    with pytest.raises(
        UsageError, match=r"parquet is written to a file alone, as with -o captions"
    ):
        render_many("parquet", [])


def test_runs_add_to_one_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    model, out = write_tiny(tmp_path / "model"), tmp_path / "out.parquet"
    clip = write_clip(tmp_path / "in/a.mp4", every(0.5, 5))
    command = ["-o", str(out), "--model", str(model), "--precision", "fp32"]
    assert Run(capsys, str(clip), *command).code == 0
    first = rows(out)
    assert {row["video"] for row in first} == {str(clip)}

    (tmp_path / "in/b.mp4").write_bytes(clip.read_bytes())
    again = Run(capsys, str(clip.parent), *command, "--manifest", str(tmp_path / "m.jsonl"))
    assert "1 captioned, 1 done before" in again.err
    assert rows(out) == [*first, *(row | {"video": str(clip.parent / "b.mp4")} for row in first)]


def test_without_the_extra(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    clip = write_clip(tmp_path / "a.mp4", every(0.5, 2))
    assert main(["run", str(clip), "-o", str(tmp_path / "x.parquet")]) == 3
    assert capsys.readouterr().err == (
        'vidcaption: -o NAME.parquet needs the extra "parquet", and pyarrow is not installed; '
        "pip install 'vidcaption[parquet]'\n"
    )
    assert not (tmp_path / "x.parquet").exists()
