"""``vidcaption models push``, through the commit API of ``huggingface_hub``."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from hub import TOKEN, Hub, Repo, refusal

from vidcaption.cli import main
from vidcaption.model.manifest import FILES, WEIGHTS
from vidcaption.store import resolve

NAME = "ann/captioner"

# huggingface_hub uploads in a way that its HTTP client does not like any more
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(autouse=True)
def token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """What ``vidcaption evaluate --json`` prints, in part."""
    path = tmp_path / "report.json"
    scores = {"BLEU-4": 20.5, "CIDEr": 55.25}
    path.write_text(json.dumps({"dataset": "flickr.jsonl", "split": "test", "scores": scores}))
    return path


def test_a_new_repo(
    hub: Hub, folder: Path, report: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    about = ["--scores", str(report), "--dataset", "flickr8k", "--license", "cc-by-4.0"]
    assert main(["models", "push", str(folder), NAME, "--create", *about]) == 0
    commit = hub.repos[NAME].refs["main"]
    assert capsys.readouterr() == (f"{NAME}@{commit}\n", "")
    files = hub.repos[NAME].commits[commit]
    assert set(files) == {".gitattributes", *FILES}
    assert files[WEIGHTS] == (folder / WEIGHTS).read_bytes()
    _, top, text = files["README.md"].decode().split("---\n", 2)
    assert yaml.safe_load(top) == {
        "language": "en",
        "library_name": "vidcaption",
        "license": "cc-by-4.0",
        "tags": ["video-captioning", "pytorch"],
        "datasets": ["flickr8k"],
        "metrics": ["bleu", "cider"],
        "model-index": [
            {
                "name": "captioner",
                "results": [
                    {
                        "task": {"type": "video-captioning"},
                        "dataset": {"name": "flickr.jsonl", "type": "flickr", "split": "test"},
                        "metrics": [
                            {"type": "bleu", "value": 20.5, "name": "BLEU-4"},
                            {"type": "cider", "value": 55.25, "name": "CIDEr"},
                        ],
                    }
                ],
            }
        ],
    }
    assert text.startswith("# Captioner\n")
    assert f"vidcaption run clip.mp4 --model {NAME}\n" in text
    # what was pushed can be pulled, and tells its scores
    assert resolve(f"{NAME}@{commit}").name == commit
    assert main(["models", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[1]["scores"] == {"BLEU-4": 20.5, "CIDEr": 55.25}


def test_a_repo_that_is_there(
    repo: Repo, hub: Hub, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = repo.refs["main"]
    assert main(["models", "push", str(folder), NAME, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["commit"] == repo.refs["main"] != old
    assert set(told["files"]) == set(FILES)
    assert not any("repos/create" in request for request in hub.asked())
    first = repo.commits[repo.refs["main"]]["README.md"]
    pulled = resolve(NAME)
    # a card that is complete stays as it is
    assert main(["models", "push", str(pulled), NAME, "--create"]) == 0
    assert repo.commits[repo.refs["main"]]["README.md"] == first


def test_dry_run(hub: Hub, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (folder / "README.md").read_bytes()
    assert main(["models", "push", str(folder), NAME, "--create", "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert f"{WEIGHTS}  {(folder / WEIGHTS).stat().st_size}\n" in out and "- pytorch\n" in out
    assert err == "" and hub.requests == []
    assert (folder / "README.md").read_bytes() == before


def test_a_model_without_a_card(folder: Path, tmp_path: Path, hub: Hub) -> None:
    bare = shutil.copytree(folder, tmp_path / "bare")
    (bare / "README.md").unlink()
    assert main(["models", "push", str(bare), NAME, "--create"]) == 0
    files = hub.repos[NAME].commits[hub.repos[NAME].refs["main"]]
    assert f"# {NAME}\n" in files["README.md"].decode()


def failure(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str]:
    code = main(["models", "push", *map(str, args)])
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("vidcaption: ") and err.count("\n") == 1
    return code, err


def test_what_cannot_be_pushed(
    hub: Hub,
    repo: Repo,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(code: int, message: str, *args: object) -> None:
        told = failure(capsys, *args)
        assert told[0] == code and message in told[1]

    altered = shutil.copytree(folder, tmp_path / "altered")
    (altered / WEIGHTS).write_bytes(b"altered")
    fails(3, "model.safetensors is not the file that manifest.json", altered, NAME)
    fails(3, "is not a model folder", tmp_path / "nothing", NAME)
    fails(2, "'captioner' is not the name of a repo", folder, "captioner")
    fails(2, "is not the name of a repo", folder, f"{NAME}@main")
    fails(2, "--scores is", folder, NAME, "--scores", tmp_path / "nothing.json")
    cut = tmp_path / "cut.json"
    cut.write_text("{")
    fails(
        2,
        f"--scores {cut}, line 1, column 2: not JSON; name a file that",
        folder,
        NAME,
        "--scores",
        cut,
    )
    fails(2, "--scores is not what", folder, NAME, "--scores", folder / "config.json")
    assert hub.requests == []
    fails(3, "there is no repo ann/other", folder, "ann/other")
    hub.fault = lambda request: refusal(507, "the storage is full") if request.cdn else None
    fails(3, "has a problem (507)", folder, NAME)
    monkeypatch.delenv("HF_TOKEN")
    fails(3, "refuses access to ann/captioner with 401", folder, NAME)
    fails(3, "refuses access to ann/other with 401", folder, "ann/other", "--create")
    card = altered / "README.md"
    shutil.copy(folder / WEIGHTS, altered)
    card.write_text("---\na: [\n---\n", encoding="utf-8")
    fails(3, "README.md, line 2, column 5: not YAML; correct it", altered, NAME)
