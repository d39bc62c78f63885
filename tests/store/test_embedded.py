from pathlib import Path

from vidcaption.model import folder as model_folder
from vidcaption.store import resolve


def test_the_embedded_model_is_whole() -> None:
    folder = resolve()
    assert folder == resolve("default")
    assert len(model_folder.load(folder).vocabulary) > 1000
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 48e6


def test_a_folder_is_itself(tmp_path: Path) -> None:
    assert resolve(tmp_path) == tmp_path
    assert resolve(str(tmp_path)) == tmp_path
