import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from vidcaption import Captioner

pytest.importorskip("resource", reason="peak memory is read with a POSIX module")

ROOT = Path(__file__).parent.parent


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"benchmarks/{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_those_of_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tables.py", "--check"])
    load("tables").main()


def test_the_scores_are_those_of_the_embedded_model() -> None:
    scored = {}
    for path in (ROOT / "benchmarks/results").glob("*.json"):
        report = json.loads(path.read_text(encoding="utf-8"))
        if "model_sha256" in report:
            scored[path.name] = report["model_sha256"]
    assert set(scored.values()) == {Captioner.from_pretrained().model.sha256}


def test_speed_prints_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    speed = load("speed")
    monkeypatch.setattr(sys, "argv", ["speed.py", str(ROOT / "examples/clip.mp4"), "--runs", "1"])
    speed.main()
    report = json.loads(capsys.readouterr().out)
    assert report["video"]["frames"] == 480 and report["video"]["duration_s"] == 20
    assert list(report["seconds"]) == ["decode", "encode", "search", "write", "all"]
    assert all(seconds >= 0 for seconds in report["seconds"].values())
    assert report["times_real_time"] == pytest.approx(20 / report["seconds"]["all"], abs=0.06)
    assert report["peak_memory_mib"]["main"] > 100


def test_startup_prints_json() -> None:
    command = [sys.executable, str(ROOT / "benchmarks/startup.py"), "--runs", "1"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    report = json.loads(result.stdout)
    for kind in ("import", "embedded", "cached", "pinned"):
        assert 0 < report[kind]["median_ms"] <= report[kind]["max_ms"]
