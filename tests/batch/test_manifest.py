import json
import os
from pathlib import Path

import pytest

from vidcaption import InputError, OutputError, UsageError
from vidcaption.batch import Job, Manifest, Outcome, read_manifest

MODEL = "a" * 64


def job(name: str) -> Job:
    return Job(Path("d") / name, Path("d"), {"srt": Path("d/x.srt")})


def test_what_is_added_is_read(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "new" / "run.jsonl", MODEL)
    odd = "caf\udce9\x1b[31m.mp4"
    manifest.add(Outcome(job(odd), "failed", 0.5, error=InputError("is no video")))
    manifest.add(Outcome(job("b.mp4"), "captioned", 1.2345))
    manifest.add(Outcome(job(odd), "done"))
    manifest.add(Outcome(job("c.mp4"), "failed", error=OutputError("no space")))
    data = (tmp_path / "new/run.jsonl").read_bytes()
    assert data.isascii() and b"\x1b" not in data and data.count(b"\n") == 4
    rows = read_manifest(tmp_path / "new/run.jsonl")
    assert [(str(row.path), row.status) for row in rows] == [
        (f"d/{odd}", "done"), ("d/b.mp4", "captioned"), ("d/c.mp4", "failed"),
    ]  # fmt: skip
    assert (rows[1].seconds, rows[1].outputs, rows[1].model) == (1.234, {"srt": "d/x.srt"}, MODEL)
    assert rows[1].error is None and rows[1].root == Path("d")
    assert (rows[2].error_class, rows[2].error) == ("OutputError", "d/c.mp4: no space")


def test_rows_as_documented(tmp_path: Path) -> None:
    Manifest(tmp_path / "m", MODEL).add(Outcome(job("b.mp4"), "failed", 1, error=InputError("bad")))
    row = json.loads((tmp_path / "m").read_text())
    assert row.pop("at").startswith("20")
    assert row == {
        "path": "d/b.mp4",
        "root": "d",
        "status": "failed",
        "outputs": {"srt": "d/x.srt"},
        "seconds": 1,
        "error": {"class": "InputError", "text": "bad"},
        "model": MODEL,
    }


def test_a_torn_row_costs_itself_only(tmp_path: Path) -> None:
    path = tmp_path / "m"
    Manifest(path, MODEL).add(Outcome(job("a.mp4"), "done"))
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole + whole.replace(b"a.mp4", b"b.mp4")[:cut])
        assert {row.path.name for row in read_manifest(path)} <= {"a.mp4", "b.mp4"}
        Manifest(path, MODEL).add(Outcome(job("c.mp4"), "done"))
        names = [row.path.name for row in read_manifest(path)]
        assert names[0] == "a.mp4" and names[-1] == "c.mp4"


def test_an_empty_one_and_one_whose_only_row_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "m"
    Manifest(path, MODEL).add(Outcome(job("a.mp4"), "done"))
    row = path.read_bytes()
    for cut in range(len(row) - 1):
        path.write_bytes(row[:cut])
        assert read_manifest(path) == []
        Manifest(path, MODEL).add(Outcome(job("b.mp4"), "done"))
        assert [row.path.name for row in read_manifest(path)] == ["b.mp4"]


@pytest.mark.parametrize(
    "text",
    [
        "no manifest",
        "{}",
        "[]\n3\n",
        '{"path": "a"}',
        '{"path": 3, "root": "", "status": "done", "outputs": {}, "seconds": 1, "error": null,'
        ' "model": ""}',
        '{"path": "a", "root": "", "status": "odd", "outputs": {}, "seconds": 1, "error": null,'
        ' "model": ""}',
        '{"path": "a\\u0000", "root": "", "status": "done", "outputs": {}, "seconds": 1,'
        ' "error": null, "model": ""}',
        '{"path": "a\\ud800", "root": "", "status": "done", "outputs": {}, "seconds": 1,'
        ' "error": null, "model": ""}',
        '{"path": "a", "root": "", "status": ["done"], "outputs": {}, "seconds": 1, "error": 3,'
        ' "model": ""}',
        "[" * 100_000,
    ],
)
def test_what_is_no_manifest(tmp_path: Path, text: str) -> None:
    (tmp_path / "m").write_text(text)
    with pytest.raises(UsageError, match="m is not a manifest"):
        read_manifest(tmp_path / "m")
    with pytest.raises(UsageError, match="m, which exists and is not a manifest; give"):
        Manifest(tmp_path / "m", MODEL)
    assert (tmp_path / "m").read_text() == text


def test_manifests_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gone cannot be read: No such file"):
        read_manifest(tmp_path / "gone")
    with pytest.raises(OutputError, match="cannot be written: Is a directory"):
        Manifest(tmp_path, MODEL)
    with pytest.raises(UsageError, match="which exists and is not a manifest"):
        Manifest(Path(os.devnull), MODEL)
    if os.path.exists("/dev/full"):
        manifest = Manifest(tmp_path / "m", MODEL)
        (tmp_path / "m").unlink()
        (tmp_path / "m").symlink_to("/dev/full")
        with pytest.raises(OutputError, match="No space left"):
            manifest.add(Outcome(job("a.mp4"), "done"))
