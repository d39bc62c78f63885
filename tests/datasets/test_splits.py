"""The record of the splits that a training drew."""

from pathlib import Path

import pytest

from vidcaption.datasets.samples import Sample
from vidcaption.datasets.splits import read_splits, write_splits
from vidcaption.errors import UsageError


def test_splits_are_those_of_a_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [Sample("a", ("x",), "train"), Sample("b", ("x",), "dev"), Sample("c", (), None)]
    write_splits(tmp_path, {tmp_path / "x.csv": samples})
    monkeypatch.chdir(tmp_path)
    assert read_splits(tmp_path, Path("x.csv")) == {"a": "train", "b": "dev", "c": None}
    assert read_splits(tmp_path, Path("y.csv")) == {}
    assert read_splits(tmp_path / "none", Path("x.csv")) == {}


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b"[" * 100_000, b'{"%s": 3}'])
def test_a_broken_record_is_named(tmp_path: Path, content: bytes) -> None:
    dataset = tmp_path / "x.csv"
    path = tmp_path / "splits.json"
    path.write_bytes(content.replace(b"%s", str(dataset).encode()))
    with pytest.raises(UsageError, match=r"splits\.json is not the record of splits"):
        read_splits(tmp_path, dataset)
    path.unlink()
    path.mkdir()
    with pytest.raises(UsageError, match=r"splits\.json cannot be read: Is a directory"):
        read_splits(tmp_path, dataset)
