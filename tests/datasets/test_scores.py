import gzip
import json

import pytest

from vidcaption.datasets.scores import read_classes, read_scores
from vidcaption.errors import UsageError


def test_reads_scores_of_the_pictures_of_each_dataset(tmp_path):
    rows = [{"path": "a/1.jpg", "concepts": {"dog": 0.9}}, {"path": "2.jpg", "concepts": {}}]
    text = "\n".join(map(json.dumps, rows))
    (tmp_path / "scores.jsonl").write_text(text)
    (tmp_path / "scores.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    folders = [tmp_path / "one", tmp_path / "two"]
    for name in ("scores.jsonl", "scores.jsonl.gz"):
        assert read_scores(tmp_path / name, folders) == {
            (folder / row["path"]).resolve(): row["concepts"] for folder in folders for row in rows
        }


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[]",
        "{}",
        '{"path": "a"}',
        '{"path": 1, "concepts": {}}',
        '{"path": "a", "concepts": []}',
        '{"path": "a", "concepts": {"dog": "x"}}',
        '{"path": "a", "concepts": {"dog": 1.5}}',
        '{"path": "a", "concepts": {"dog": NaN}}',
    ],
)
def test_broken_scores_are_refused(tmp_path, line):
    path = tmp_path / "scores.jsonl"
    path.write_text('{"path": "b", "concepts": {}}\n' + line)
    with pytest.raises(UsageError, match="line 2: each line must be a JSON object with 'path'"):
        read_scores(path, [tmp_path])


def test_unreadable_scores_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"cannot read .*No such file"):
        read_scores(tmp_path / "scores.jsonl", [tmp_path])
    for name, data in (("odd.jsonl.gz", b"odd"), ("cut.jsonl.gz", gzip.compress(b"a" * 99)[:-9])):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UsageError, match=f"{name}"):
            read_scores(tmp_path / name, [tmp_path])


def test_reads_what_classes_are_called(tmp_path):
    path = tmp_path / "classes.jsonl"
    path.write_text('{"noun": "cat"}\n\n{"noun": null}\n')
    assert read_classes(path) == ["cat", None]
    with pytest.raises(UsageError, match="cannot read"):
        read_classes(tmp_path / "none.jsonl")
    for text in ("nonsense", "[]", "{}", '{"noun": 1}'):
        path.write_text(text)
        with pytest.raises(UsageError, match="'noun'"):
            read_classes(path)
