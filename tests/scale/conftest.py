from collections.abc import Iterator
from pathlib import Path

import pytest
from clips import every, write_clip
from tiny import write_tiny

from vidcaption.options.batch import BatchOptions, RayOptions
from vidcaption.scale import Cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Ray on this machine. What it leaves open or deprecated is its own business."""
    pytest.importorskip("ray")
    with Cluster(RayOptions(ray=True), BatchOptions()) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 8 clips of different lengths, and a file that is no video."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(8):
        write_clip(folder / f"c{number}.mp4", every(0.5, 4 + number))
    (folder / "c3b.mp4").write_bytes(b"no video" * 100)
    return folder
