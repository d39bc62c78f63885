"""All that is in the corpus is stood, without a fuzzer: seeds, and what once was a defect."""

from pathlib import Path

import pytest
from targets import TARGETS

FOLDER = Path(__file__).parent


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_is_stood(name: str) -> None:
    files = sorted((FOLDER / "corpus" / name).iterdir())
    assert len(files) >= 3
    for path in files:
        TARGETS[name](path.read_bytes())


def test_the_corpus_is_small() -> None:
    sizes = [path.stat().st_size for path in FOLDER.glob("corpus/*/*")]
    assert sum(sizes) < 200_000 and max(sizes) < 20_000  # the fuzzer cuts what is longer
