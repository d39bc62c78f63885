from collections.abc import Iterator
from pathlib import Path

import pytest

from vidcaption.find.index import Index


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with Index(tmp_path / "index.sqlite", create=True) as index:
        yield index
