"""Lance datasets hold what Parquet files hold, and are whole or not there."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from clips import every, write_clip
from runs import Run
from tables import SAMPLE
from tiny import write_tiny

from vidcaption.cli import main
from vidcaption.errors import OutputError, UsageError
from vidcaption.output import table
from vidcaption.output.formats import render_many, stream_named
from vidcaption.output.lance import identity, write
from vidcaption.output.parquet import parquet

lance = pytest.importorskip("lance")
pq = pytest.importorskip("pyarrow.parquet")

LINES = list(render_many("jsonl", [SAMPLE]))


def rows(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = lance.dataset(folder).to_table().to_pylist()
    return found


def test_rows_and_columns_are_those_of_parquet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "ROWS", 3)
    lines = [stream_named("lance").piece(SAMPLE)] * 5
    (tmp_path / "x.parquet").write_bytes(b"".join(parquet(lines)))
    write(tmp_path / "x.lance", lines, lambda own: None)
    assert rows(tmp_path / "x.lance") == pq.read_table(tmp_path / "x.parquet").to_pylist()
    assert lance.dataset(tmp_path / "x.lance").schema == pq.read_schema(tmp_path / "x.parquet")
    write(tmp_path / "x.lance", [], lambda own: None)
    assert rows(tmp_path / "x.lance") == []
    assert lance.dataset(tmp_path / "x.lance").schema == pq.read_schema(tmp_path / "x.parquet")


def test_a_version_is_there_when_it_was_recorded(tmp_path: Path) -> None:
    """And not at all if that, or reading the rows, fails."""
    folder, known = tmp_path / "x.lance", list[str | None]()

    def full(own: str) -> None:
        raise OutputError("the disk is full")

    def unreadable() -> Any:
        yield from LINES
        raise OutputError("the rows cannot be read")

    with pytest.raises(OutputError, match="the disk is full"):
        write(folder, LINES, full)
    assert identity(folder) is None
    write(folder, LINES, lambda own: known.extend([own, identity(folder)]))
    assert known == [identity(folder), None]
    for lines, before in ((LINES, full), (unreadable(), known.append)):
        with pytest.raises(OutputError, match=r"the disk is full|the rows cannot be read"):
            write(folder, lines, before)
    assert known == [identity(folder), None] and len(rows(folder)) == 2


@pytest.mark.parametrize("change", ["delete", "append", "drop", "overwrite"])
def test_the_identity_changes_with_the_content(tmp_path: Path, change: str) -> None:
    folder = tmp_path / "x.lance"
    write(folder, LINES, lambda own: None)
    before, dataset = identity(folder), lance.dataset(folder)
    match change:
        case "delete":
            dataset.delete("start = 0")
        case "append":
            lance.write_dataset(dataset.to_table(), folder, mode="append")
        case "drop":
            dataset.drop_columns(["score"])
        case "overwrite":
            write(folder, LINES, lambda own: None)
    assert identity(folder) not in (before, None)


def test_what_cannot_be_read_or_written(tmp_path: Path) -> None:
    folder, blocked = tmp_path / "x.lance", tmp_path / "y.lance"
    write(folder, LINES, lambda own: None)
    for manifest in folder.glob("_versions/*.manifest"):
        manifest.write_bytes(b"x")
    with pytest.raises(OutputError, match="cannot be read as a Lance dataset; make sure"):
        identity(folder)
    blocked.mkdir()
    (blocked / "data").touch()
    with pytest.raises(OutputError, match="cannot be written as a Lance dataset; make sure"):
        write(blocked, LINES, lambda own: None)


def test_it_is_no_text() -> None:
    with pytest.raises(UsageError, match=r"lance is written to a file alone, as with -o captions"):
        render_many("lance", [])


def test_runs_add_to_one_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    model, out = write_tiny(tmp_path / "model"), tmp_path / "out.lance"
    clip = write_clip(tmp_path / "in/a.mp4", every(0.5, 5))
    command = ["-o", str(out), "--model", str(model), "--precision", "fp32"]
    assert Run(capsys, str(clip), *command).code == 0
    expected = rows(out)
    assert {row["video"] for row in expected} == {str(clip)}
    assert Run(capsys, str(clip), *command).code == 0
    assert lance.dataset(out).version == 1  # nothing was new

    shutil.copy(clip, tmp_path / "in/b.mp4")
    again = Run(capsys, str(clip.parent), *command, "--manifest", str(tmp_path / "m.jsonl"))
    assert "1 captioned, 1 done before" in again.err
    expected += [row | {"video": str(clip.parent / "b.mp4")} for row in expected]
    assert rows(out) == expected and lance.dataset(out).version == 2

    lance.dataset(out).delete("start = 0")
    refused = Run(capsys, str(clip.parent), *command)
    assert refused.code == 3 and f"{out} is kept: it was edited, or vidcaption did" in refused.err
    assert Run(capsys, str(clip.parent), *command, "--force").code == 0
    assert rows(out) == expected
    shutil.rmtree(out)
    assert Run(capsys, str(clip.parent), *command).code == 0  # from the parts
    assert rows(out) == expected
    shutil.rmtree(out)
    out.write_text("notes")
    refused = Run(capsys, str(clip.parent), *command, "--force")
    assert refused.code == 3 and "it is a file, not a dataset" in refused.err


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("x.lance/", "--output is 'x.lance/', which is a folder"),
        ("s3://b/x.lance", "a Lance dataset is a folder of this machine; write it there and"),
    ],
)
def test_places_where_it_cannot_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str, message: str
) -> None:
    clip = write_clip(tmp_path / "a.mp4", every(0.5, 2))
    assert main(["run", str(clip), "-o", place]) == 2
    assert message in capsys.readouterr().err


def test_without_the_extra(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "find_spec", lambda name: None)
    clip = write_clip(tmp_path / "a.mp4", every(0.5, 2))
    assert main(["run", str(clip), "-o", str(tmp_path / "x.lance")]) == 3
    assert capsys.readouterr().err == (
        'vidcaption: -o NAME.lance needs the extra "lance", and pylance is not installed; '
        "pip install 'vidcaption[lance]'\n"
    )
    assert not (tmp_path / "x.lance").exists()
