import os
from pathlib import Path

import pytest
from hub_fixtures import cache, files, folder, hub, repo, server
from tiny import write_tiny

__all__ = ["cache", "files", "folder", "hub", "repo", "server"]


@pytest.fixture(autouse=True)
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have options in their own files and environment."""
    for name in [name for name in os.environ if name.startswith("VIDCAPTION_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("platformdirs.user_config_path", lambda *_, **__: tmp_path / "settings")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is loaded in no time, for tests to which it does not matter what is said."""
    return write_tiny(tmp_path_factory.mktemp("model") / "tiny")
