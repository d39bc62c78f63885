"""``vidcaption doctor``, on an installation that works and on broken ones."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants

from vidcaption import store
from vidcaption.cli import main
from vidcaption.doctor import Finding, examine
from vidcaption.store import cache

NAMES = [
    "options",
    *("Python", "vidcaption", "PyTorch", "torchvision", "PyAV", "OpenCV", "other libraries"),
    *("devices", "precisions", "codecs", "built-in model", "model cache", "training's cache"),
    *("network", "scoring", "training", "a caption"),
]


def test_an_installation_that_works(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("https_proxy", "http://me:secret@proxy:3128")
    monkeypatch.setattr(constants, "ENDPOINT", "https://me:secret@mirror/api?key=secret")
    assert main(["doctor"]) == 0
    out, err = capsys.readouterr()
    assert "secret" not in out + err
    heads = [line for line in out.splitlines() if not line.startswith(" ")]
    assert [head[9:].split(":")[0] for head in heads] == NAMES
    assert {head[:9].strip() for head in heads} <= {"ok", "warning"}
    assert "at https://mirror, a token is set, through http://proxy:3128\n" in out
    assert "ok       codecs: h264, hevc, vp8, vp9, av1, mpeg4" in out
    assert "fp32" in next(head for head in heads if "precisions" in head)
    assert "ok       a caption: '" in out


def test_broken_weights_and_what_else_can_be_amiss(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "weights/default"
    shutil.copytree(store.resolve(), weights)
    data = bytearray((weights / "model.safetensors").read_bytes())
    data[len(data) // 2] ^= 1
    (weights / "model.safetensors").write_bytes(data)
    monkeypatch.setattr(store, "_PACKAGE", tmp_path / "package")
    partial = cache.snapshot("owner/name", "0" * 40).relative_to(cache._root())
    shutil.copytree(weights, tmp_path / "cache" / partial)
    (tmp_path / "cache" / partial / "config.json").unlink()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "ENDPOINT", "mirror")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub/checkpoints").write_text("no folder")

    assert main(["doctor", "--json"]) == 3
    report = json.loads(capsys.readouterr().out)
    found = {row["name"]: Finding(**row) for row in report["findings"]}
    assert report["works"] is False and list(found) == NAMES
    failed = {name for name, each in found.items() if each.state == "failed"}
    assert failed == {"built-in model", "a caption"}
    assert "is not the file that manifest.json describes" in found["built-in model"].found
    assert found["built-in model"].advice == "reinstall vidcaption and its dependencies"
    assert found["model cache"].state == "warning"
    assert found["model cache"].advice == (
        f"fetch the rest: vidcaption models pull owner/name@{'0' * 40}"
    )
    assert found["network"].state == "warning"
    assert found["network"].found.startswith("disabled by HF_HUB_OFFLINE, at 'mirror'")
    assert found["scoring"].state == "warning"
    assert "0 files" in found["training's cache"].found


def test_a_broken_library(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text("raise OSError('libtorch_cpu.so:\\n not found')")
    paths = (tmp_path, Path(store.__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    command = [sys.executable, "-m", "vidcaption", "doctor", "--json"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (3, "")
    found = {row["name"]: row for row in json.loads(result.stdout)["findings"]}
    reason = "OSError: libtorch_cpu.so: not found"
    for name in ("PyTorch", "torchvision", "devices", "precisions", "a caption"):
        assert (found[name]["state"], found[name]["found"]) == ("failed", reason), name
        assert found[name]["advice"]
    for name in ("Python", "PyAV", "codecs", "built-in model", "network"):
        assert found[name]["state"] == "ok", name
    assert found["training's cache"]["state"] == "warning"


def test_a_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scenedetect", None)  # as if it were not installed
    [others] = [each for each in examine() if each.name == "other libraries"]
    assert others.state == "failed" and "scenedetect" in others.found
