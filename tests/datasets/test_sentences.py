import gzip

import pytest

from vidcaption.datasets.sentences import read_sentences
from vidcaption.errors import UsageError

TEXT = "A dog runs.\n\n  Two men sit on a bench.  \n"


@pytest.mark.parametrize("name", ["text.txt", "text.txt.gz"])
def test_gives_the_lines_that_are_not_blank(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(TEXT.encode()) if name.endswith(".gz") else TEXT.encode())
    assert read_sentences(path) == ["A dog runs.", "Two men sit on a bench."]


@pytest.mark.parametrize(
    "name, content, why",
    [
        ("latin.txt", b"caf\xe9\n", r"latin\.txt, line 1: not UTF-8; convert"),
        ("timed.txt", b"A dog\n[00:04.000 --> 00:08.000] A cat\n", "contains times"),
        ("blank.txt", b"\n \n", "no sentence"),
        ("cut.gz", gzip.compress(TEXT.encode(), mtime=0)[:-9], "truncated or damaged"),
        ("torn.gz", gzip.compress(b"a dog" * 99, mtime=0)[:12] + b"\xff" * 40, "or damaged"),
        ("plain.gz", TEXT.encode(), "not gzip data"),
    ],
)
def test_tells_what_is_wrong_with_a_file(tmp_path, name, content, why):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError, match=why) as error:
        read_sentences(path)
    assert str(path) in str(error.value)


def test_names_a_missing_file(tmp_path):
    with pytest.raises(UsageError, match=r"cannot read .*none\.txt"):
        read_sentences(tmp_path / "none.txt")
