"""``vidcaption models``, on a cache and a Hub of its own."""

import io
import json
import shutil
from pathlib import Path

import pytest
from hub import Hub, Repo

from vidcaption.cli import main
from vidcaption.model.manifest import CONFIG, FILES, WEIGHTS

NAME = "ann/captioner"
ROOT = Path(__file__).parents[3]
EMBEDDED = ROOT / "weights/default"


class Models:
    """One call of ``vidcaption models``: its exit code and what it wrote."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *args: str) -> None:
        self.code = main(["models", *args])
        self.out, self.err = capsys.readouterr()

    @property
    def data(self) -> object:
        assert (self.code, self.err) == (0, "")
        return json.loads(self.out)


def test_list(repo: Repo, hub: Hub, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["models", "pull", NAME])
    hub.requests.clear()
    capsys.readouterr()
    head, default, cached = Models(capsys, "list").out.splitlines()
    assert head.split() == ["NAME", "WHERE", "SIZE", "LANGUAGES", "LICENSE", "SCORES"]
    assert default.startswith("default ") and " embedded " in default
    commit = repo.refs["main"]
    assert cached.split() == [
        f"{NAME}@{commit[:12]}", "(main)", "cached", "0.3", "MB", "en", "mit", "-",
    ]  # fmt: skip
    rows = Models(capsys, "list", "--json").data
    assert isinstance(rows, list)
    assert rows[0]["path"] == str(EMBEDDED) and rows[0]["where"] == "embedded"
    assert rows[1] == {
        "name": f"{NAME}@{commit}",
        "where": "cached",
        "revisions": ["main"],
        "size": sum((folder / name).stat().st_size for name in FILES),
        "languages": ["en"],
        "license": "mit",
        "scores": {},
        "path": rows[1]["path"],
    }
    assert (Path(rows[1]["path"]) / CONFIG).is_file()
    (Path(rows[1]["path"]) / WEIGHTS).unlink()
    assert " partial " in Models(capsys, "list").out
    assert hub.requests == []


def test_pull(repo: Repo, hub: Hub, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = Models(capsys, "pull", NAME, "default")
    commit = repo.refs["main"]
    assert (first.code, first.out) == (0, f"{NAME}@{commit}\ndefault\n")
    assert first.err == ""
    hub.requests.clear()
    assert Models(capsys, "pull", NAME, "--json").data == [
        {"name": f"{NAME}@{commit}", "path": str(next(cache.glob(f"*/snapshots/{commit}")))}
    ]
    assert hub.requests == []
    assert Models(capsys, "pull", NAME, "--update").out == first.out.splitlines()[0] + "\n"
    assert hub.asked() == [f"GET /api/models/{NAME}?blobs=true"]


def test_pulling_what_is_not_there(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    failed = Models(capsys, "pull", NAME)
    assert (failed.code, failed.out) == (3, "")
    assert failed.err.startswith(f"vidcaption: there is no model {NAME} on ")
    assert failed.err.count("\n") == 1


def test_info(repo: Repo, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    pulled = Models(capsys, "pull", NAME).out.strip()
    hub.requests.clear()
    known = Models(capsys, "info", NAME, "--json").data
    assert isinstance(known, dict)
    assert known["name"] == pulled and known["license"] == "mit" and known["languages"] == ["en"]
    assert known["config"]["input"]["backbone"] == "mobilenet_v2"
    assert known["card"].endswith("# Captioner\n")
    lines = Models(capsys, "info", NAME, "--card").out.splitlines()
    assert lines[0].split() == ["name", pulled] and lines[-1] == "# Captioner"
    summary = Models(capsys, "info", NAME).out.splitlines()
    assert summary[:-1] == lines[: len(summary) - 1] and "# Captioner" not in summary
    assert summary[-1].endswith(" lines; --card prints them")
    unknown = Models(capsys, "info", "ann/other")
    assert unknown.code == 3 and "'vidcaption models pull ann/other'" in unknown.err
    assert hub.requests == []


def test_cards_can_hold_anything(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = shutil.copytree(folder, tmp_path / "model")
    for top in ("[", "- 1", "model-index: 3", "model-index: [{results: [{metrics: [4]}]}]", "a: b"):
        (model / "README.md").write_text(f"---\n{top}\n---\n\x1b[31mred\n", encoding="utf-8")
        known = Models(capsys, "info", str(model), "--json").data
        assert isinstance(known, dict) and known["scores"] == {}
        assert Models(capsys, "info", str(model), "--card").out.endswith("\\u001b[31mred\n")
    (model / "README.md").unlink()
    assert Models(capsys, "info", str(model), "--json").code == 0


def test_verify(repo: Repo, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    name = Models(capsys, "pull", NAME).out.strip()
    whole = Models(capsys, "verify")
    assert (whole.code, whole.out) == (0, f"default: complete\n{name}: complete\n")
    path = Path(Models(capsys, "path", NAME).out.strip())
    (path / WEIGHTS).resolve().write_bytes(b"altered")
    altered = Models(capsys, "verify", NAME, "default", "--json")
    assert altered.code == 1
    first, second = json.loads(altered.out)
    assert first["whole"] is False and "model.safetensors is not the file" in first["problem"]
    assert second == {"name": "default", "whole": True, "problem": None}
    assert Models(capsys, "pull", NAME).code == 0
    assert Models(capsys, "verify", NAME).code == 0


def test_path(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    assert Models(capsys, "path", "default").out == f"{EMBEDDED}\n"
    assert Models(capsys, "path", "default", "--json").data == {
        "name": "default",
        "path": str(EMBEDDED),
    }
    missing = Models(capsys, "path", NAME)
    assert missing.code == 3 and "not complete" in missing.err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_rm(
    repo: Repo,
    files: dict[str, bytes],
    cache: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = cache / "models--bob--other/snapshots/1/config.json"
    other.parent.mkdir(parents=True)
    other.touch()
    old = repo.refs["main"]
    tagged = repo.commit(files | {"README.md": b"# Other\n"}, "v1")
    main(["models", "pull", NAME, f"{NAME}@v1"])
    capsys.readouterr()
    unasked = Models(capsys, "rm", NAME)
    assert unasked.code == 2 and "needs --yes" in unasked.err
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    refused = Models(capsys, "rm", NAME)
    assert refused.code == 1 and refused.out == "" and f"Remove {NAME}@" in refused.err
    removed = Models(capsys, "rm", f"{NAME}@v1", "--yes", "--json").data
    assert isinstance(removed, dict) and removed["removed"] == [f"{NAME}@{tagged}"]
    assert Models(capsys, "path", NAME).code == 0
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert Models(capsys, "rm", NAME).out == f"{NAME}@{old}\n"
    assert Models(capsys, "path", NAME).code == 3
    assert not (cache / "models--ann--captioner").exists()
    for name in (NAME, "bob/other", "default", "weights/default"):
        gone = Models(capsys, "rm", name, "--yes")
        assert gone.code == 2 and "the cache has no model" in gone.err
    assert other.exists()


def test_a_model_from_the_hub_captions_offline(
    hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.repos[NAME] = Repo()
    commit = hub.repos[NAME].commit({path.name: path.read_bytes() for path in EMBEDDED.iterdir()})
    run = ["run", str(ROOT / "examples/clip.mp4"), "--json", "-o", "-", "--end", "4", "--beam", "1"]
    assert main([*run, "--model", NAME, "--offline"]) == 3
    assert "not complete" in capsys.readouterr().err and hub.requests == []
    assert main(["models", "pull", NAME]) == 0
    capsys.readouterr()
    hub.requests.clear()
    assert main([*run, "--model", NAME, "--offline"]) == 0
    model = json.loads(capsys.readouterr().out)["model"]
    manifest = json.loads((EMBEDDED / "manifest.json").read_text(encoding="utf-8"))
    assert model == {
        "name": f"{NAME}@{commit}",
        "sha256": manifest["model.safetensors"]["sha256"],
    }
    assert hub.requests == []


def test_export(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "cache")
    kept = Models(capsys, "export", "default")
    assert (kept.code, kept.err) == (0, "")
    assert Path(kept.out.strip()).is_file() and Path(kept.out).is_relative_to(tmp_path / "cache")
    told = Models(capsys, "export", "default", "--out", str(tmp_path / "out"), "--json").data
    assert isinstance(told, dict)
    file = tmp_path / "out/encoder.xml"
    assert told == {
        "name": "default",
        "path": str(file),
        "size": file.stat().st_size,
        "largest_difference": told["largest_difference"],
    }
    assert 0 <= told["largest_difference"] < 0.01
    refused = Models(capsys, "export", str(tmp_path))
    assert (refused.code, refused.out) == (3, "")
