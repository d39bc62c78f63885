"""Fixtures: a Hub on this machine, an empty cache, and a small model to put there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub import Hub, Repo
from huggingface_hub import constants
from huggingface_hub.utils import close_session

from vidcaption.model.config import ModelConfig
from vidcaption.model.manifest import CARD, CONFIG, WEIGHTS, WORDS, write_manifest

NAME = "ann/captioner"


@pytest.fixture(scope="session")
def server() -> Iterator[Hub]:
    server = Hub()
    yield server
    server.close()


@pytest.fixture
def hub(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The Hub, empty, and a cache of its own for each test.

    ``huggingface_hub`` reads the environment when it is imported, so that its constants are set
    here; a process of its own shows in test_environment.py that the environment sets them.
    """
    server.reset()
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    close_session()
    yield server
    close_session()


@pytest.fixture
def cache(hub: Hub) -> Path:
    return Path(constants.HF_HUB_CACHE)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder in all but its weights, which nothing here loads."""
    folder = tmp_path_factory.mktemp("model")
    (folder / CONFIG).write_text(ModelConfig().to_json(), encoding="utf-8")
    (folder / WORDS).write_text('["a", "dog", "runs"]', encoding="utf-8")
    (folder / WEIGHTS).write_bytes(bytes(range(256)) * 1024)
    (folder / CARD).write_text("---\nlicense: mit\nlanguage: en\n---\n# Captioner\n", "utf-8")
    write_manifest(folder)
    return folder


@pytest.fixture(scope="session")
def files(folder: Path) -> dict[str, bytes]:
    """What a repo of that model holds: its files, and two that no one asks for."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return files | {".gitattributes": b"*.safetensors lfs", "pytorch_model.bin": b"never fetched"}


@pytest.fixture
def repo(hub: Hub, files: dict[str, bytes]) -> Repo:
    """That repo, under ``NAME``."""
    hub.repos[NAME] = Repo()
    hub.repos[NAME].commit(files)
    return hub.repos[NAME]
