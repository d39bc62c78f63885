import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import vidcaption
from vidcaption import errors

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "torchvision", "cv2", "av")


def loaded_after(code: str) -> str:
    """Which heavy packages a fresh interpreter has loaded after ``code``."""
    script = f"import sys\n{code}\nprint(*(name for name in {HEAVY} if name in sys.modules))"
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_everything_public_can_be_imported() -> None:
    for name in vidcaption.__all__:
        assert getattr(vidcaption, name) is not None
    assert set(vidcaption.__all__) <= set(dir(vidcaption))


def test_every_error_is_public() -> None:
    tree = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert tree <= set(vidcaption.__all__)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="'vidcaption' has no attribute 'nothing'"):
        _ = vidcaption.nothing


def test_importing_the_package_is_light() -> None:
    assert loaded_after("import vidcaption; vidcaption.Segment; vidcaption.Captions") == ""


def test_one_version() -> None:
    assert vidcaption.__version__ == version("vidcaption")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{vidcaption.__version__}]" in changelog


def test_build_includes_the_model() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included == {
        f"weights/{name}": f"vidcaption/_weights/{name}" for name in ("catalog.json", "default")
    }
    assert (ROOT / "weights/default/manifest.json").is_file()
