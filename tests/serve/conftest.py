"""A server with a tiny model, in this process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from clips import every, write_clip
from tiny import write_tiny

pytest.importorskip("uvicorn", reason='the extra "serve" is not installed')

from servers import Served
from starlette.testclient import TestClient

from vidcaption import Captioner


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def captioner(tiny: Path) -> Captioner:
    return Captioner.from_pretrained(tiny, precision="fp32", batch_size=4)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds."""
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", every(0.1, 30))


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two minutes, a picture a second."""
    return write_clip(tmp_path_factory.mktemp("long") / "long.mp4", every(1, 120))


@pytest.fixture
def served(captioner: Captioner, tmp_path: Path) -> Served:
    folder = tmp_path / "videos"
    folder.mkdir()
    return Served(captioner, tmp_path / "data", [folder])


@pytest.fixture
def client(served: Served) -> Iterator[TestClient]:
    with served.started() as client:
        yield client
