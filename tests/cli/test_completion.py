"""What the shell is offered, by the protocol that the installed scripts speak."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import constants
from runs import Apart, install

from vidcaption.cli import main
from vidcaption.store import DEFAULT, embedded

COMMIT = "0" * 40


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a folder, a home, and a cache with a model by two names."""
    place = tmp_path_factory.mktemp("place")
    (place / "runs/mine").mkdir(parents=True)
    (place / ".hidden").mkdir()
    model = place / "cache/models--owner--name"
    shutil.copytree(str(embedded(DEFAULT)), model / "snapshots" / COMMIT)
    (model / "refs").mkdir()
    for name in ("main", "v1"):
        (model / "refs" / name).write_text(COMMIT)
    install(place / "bin")
    return place


def environment(place: Path, **extra: str) -> dict[str, str]:
    path = f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"
    offline = {"HF_HUB_CACHE": str(place / "cache"), "HF_ENDPOINT": "http://127.0.0.1:9"}
    return os.environ | offline | {"PATH": path, "HOME": str(place)} | extra


@pytest.fixture
def offered(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., list[str]]:
    """The lines that come out when the shell asks, with these variables."""
    monkeypatch.chdir(place)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(place / "cache"))

    def offered(**protocol: str) -> list[str]:
        for name, value in protocol.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit, match=r"^0$"):
            main([])
        return [line for line in capsys.readouterr().out.splitlines() if line]

    return offered


def in_bash(typed: str) -> dict[str, str]:
    words = f"vidcaption {typed}"
    position = str(len(words.split(" ")) - 1)
    return {
        "_VIDCAPTION_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": position,
    }


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("run --model ", ["bin", "cache", "default", "owner/name", "owner/name@v1", "runs"]),
        ("run --model owner/name@", ["owner/name@v1"]),
        ("run --model runs/", ["runs/mine"]),
        ("run --model gone/", []),
        ("evaluate d", ["default"]),
        ("models info def", ["default"]),
        ("models verify owner/name@", ["owner/name@v1"]),
        ("models rm ow", ["owner/name", "owner/name@v1"]),
        ("train --init ow", ["owner/name", "owner/name@v1"]),
        ("features --model def", ["default"]),
        ("train --preset mea", ["mean-pool"]),
        ("config show t", ["train"]),
        ("run --segment ", ["auto", "fixed", "scenes"]),
        ("run --sampling ", ["exact", "fast", "keyframes"]),
        ("run --out-", ["--out-dir"]),
        ("tr", ["train"]),
    ],
)
def test_bash(typed: str, names: list[str], offered: Callable[..., list[str]]) -> None:
    assert sorted(offered(**in_bash(typed))) == names


def test_a_broken_file_with_options_does_not_matter(
    offered: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vidcaption.toml").write_text("broken")
    monkeypatch.chdir(tmp_path)
    assert offered(**in_bash("run --segm")) == ["--segment"]


def test_fish_and_zsh(offered: Callable[..., list[str]]) -> None:
    typed = {"_TYPER_COMPLETE_ARGS": "vidcaption run --model ow"}
    fish = {"_VIDCAPTION_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert offered(**fish, **typed) == ["owner/name", "owner/name@v1"]
    zsh = offered(_VIDCAPTION_COMPLETE="complete_zsh", **typed)
    assert zsh == ['_arguments \'*: :(("owner/name"', '"owner/name@v1"))\'']


def test_models_are_listed_without_heavy_libraries_and_network(place: Path) -> None:
    typed = environment(place, **in_bash("run --model owner/name@"))
    offered = Apart(cwd=place, environment=typed)
    assert (offered.out, offered.lines) == ("owner/name@v1\n", [])
    assert not {"torch", "cv2", "av", "httpx2"} & offered.loaded


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_in_bash_after_installing_it(place: Path) -> None:
    script = """
    vidcaption --install-completion >&2
    . ~/.bashrc
    COMP_WORDS=(vidcaption train --preset show-and) COMP_CWORD=3
    _vidcaption_completion vidcaption
    echo "${COMPREPLY[@]}"
    """
    command = ["bash", "--norc", "-c", script]
    output = subprocess.check_output(command, env=environment(place), text=True)
    assert output == "show-and-tell\n"
