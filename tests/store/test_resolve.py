"""Which requests finding a model costs, and what it leaves in the cache."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hub import Hub, Repo, refusal
from huggingface_hub import constants

from vidcaption.errors import ModelError
from vidcaption.model.manifest import CONFIG, FILES, WEIGHTS
from vidcaption.store import name_of, pull, resolve

NAME = "ann/captioner"
ROOT = Path(__file__).parent.parent.parent
BROKEN = refusal(503, "Service Unavailable")


def test_the_embedded_model_needs_no_network(hub: Hub) -> None:
    assert resolve() == resolve("default") == ROOT / "weights/default"
    assert name_of(resolve()) == "default"
    assert hub.requests == []


def test_a_folder_goes_before_a_model_on_the_hub(
    repo: Repo, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(NAME).mkdir(parents=True)
    assert resolve(NAME) == Path(NAME)
    assert name_of(resolve(NAME)) == str(Path(NAME))
    assert hub.requests == []


def test_only_the_files_of_a_model_are_fetched(
    repo: Repo, hub: Hub, files: dict[str, bytes]
) -> None:
    folder = resolve(NAME)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name: files[name] for name in FILES
    }
    commit = repo.refs["main"]
    assert name_of(folder) == f"{NAME}@{commit}"
    first, *others = hub.asked()
    assert first == f"GET /api/models/{NAME}?blobs=true"
    assert {request for request in others if request.startswith("HEAD")} == {
        f"HEAD /{NAME}/resolve/{commit}/{name}" for name in FILES
    }
    assert len(hub.requests) == 1 + 2 * len(FILES)


def test_a_name_is_resolved_once_and_then_works_offline(repo: Repo, hub: Hub) -> None:
    folder = resolve(NAME)
    hub.requests.clear()
    (newer := dict(repo.commits[repo.refs["main"]]))["README.md"] = b"# Newer\n"
    commit = repo.commit(newer)
    assert resolve(NAME) == resolve(NAME, offline=True) == folder
    assert pull(NAME) == folder
    assert hub.requests == []
    updated = pull(NAME, update=True)
    assert updated.name == commit
    assert (updated / "README.md").read_bytes() == b"# Newer\n"
    # what has not changed is not fetched again
    assert [request.path.rpartition("/")[2] for request in hub.requests if request.cdn] == []
    hub.requests.clear()
    assert resolve(NAME) == updated
    assert hub.requests == []


def test_a_commit_that_is_in_the_cache_needs_no_request(repo: Repo, hub: Hub) -> None:
    commit = repo.refs["main"]
    folder = resolve(f"{NAME}@{commit}")
    hub.requests.clear()
    assert resolve(f"{NAME}@{commit}") == pull(f"{NAME}@{commit}") == folder
    assert hub.requests == []
    # a branch was never asked for, and may mean another commit by now
    assert resolve(NAME) == folder
    assert hub.asked() == [f"GET /api/models/{NAME}?blobs=true"]


def test_a_branch_and_a_tag(repo: Repo, hub: Hub, files: dict[str, bytes]) -> None:
    tagged = repo.commit(files, "v1.0")
    inner = repo.commit(files, "feature/long")
    assert resolve(f"{NAME}@v1.0").name == tagged
    assert resolve(f"{NAME}@feature/long").name == inner
    hub.requests.clear()
    assert resolve(f"{NAME}@feature/long", offline=True).name == inner
    assert hub.requests == []


@pytest.mark.parametrize(
    "name", ["nothing", "a/b/c", "../up", "a--b/c", "a/b@../../x", "/a/b", "a/b.git"]
)
def test_names_that_are_none_ask_nobody(name: str, hub: Hub) -> None:
    with pytest.raises(ModelError, match=r"there is no model .*; give a model folder, owner/name"):
        resolve(name)
    assert hub.requests == []


def test_offline_is_offline(repo: Repo, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    message = f"{NAME} is not on this machine.*; fetch it with 'vidcaption models pull {NAME}'"
    with pytest.raises(ModelError, match=message):
        resolve(NAME, offline=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=message):
        resolve(NAME)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE forbids the network"):
        pull(NAME)
    assert hub.requests == []


def test_a_download_goes_on_where_the_connection_broke(
    repo: Repo, hub: Hub, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    hub.cut = 100_000
    told: list[tuple[str, float, float]] = []
    counts: list[Callable[[], float]] = []

    def watch(label: str, total: float, done: Callable[[], float]) -> None:
        told.append((label, total, done()))
        counts.append(done)

    folder = resolve(NAME, watch=watch)
    assert (folder / WEIGHTS).read_bytes() == files[WEIGHTS]
    ranges = [request.headers.get("range") for request in hub.requests if request.cdn]
    assert ranges == [None, "bytes=100000-"]
    size = sum(len(files[name]) for name in FILES)
    assert told == [(NAME, size, 0)]
    assert [done() for done in counts] == [size]


def test_files_that_arrived_are_not_fetched_again(repo: Repo, hub: Hub) -> None:
    hub.fault = lambda request: BROKEN if request.cdn else None
    with pytest.raises(ModelError, match="has a problem"):
        resolve(NAME)
    hub.fault = None
    with pytest.raises(ModelError, match="not complete"):
        resolve(NAME, offline=True)
    hub.requests.clear()
    resolve(NAME)
    assert {request.path.rpartition("/")[2] for request in hub.requests if not request.cdn} == {
        "captioner?blobs=true",
        WEIGHTS,
    }


def test_what_does_not_fit_its_manifest_is_never_recorded(
    repo: Repo, hub: Hub, files: dict[str, bytes]
) -> None:
    repo.commit(files | {WEIGHTS: b"other weights"})
    for _ in range(2):
        with pytest.raises(ModelError, match=r"is not the file that manifest\.json describes"):
            resolve(NAME)
    with pytest.raises(ModelError, match="not complete"):
        resolve(NAME, offline=True)


def test_pull_mends_an_altered_copy(repo: Repo, hub: Hub, files: dict[str, bytes]) -> None:
    folder = resolve(NAME)
    (folder / WEIGHTS).resolve().write_bytes(b"altered")
    assert pull(NAME) == folder
    assert (folder / WEIGHTS).read_bytes() == files[WEIGHTS]


def test_an_update_that_fails_leaves_what_was_there(
    repo: Repo, hub: Hub, files: dict[str, bytes]
) -> None:
    folder = resolve(NAME)
    repo.commit(files | {WEIGHTS: b"other weights"})
    with pytest.raises(ModelError):
        pull(NAME, update=True)
    assert resolve(NAME, offline=True) == folder


def test_a_model_of_a_newer_version_is_refused(
    repo: Repo, hub: Hub, folder: Path, files: dict[str, bytes], tmp_path: Path
) -> None:
    from vidcaption.model.manifest import MANIFEST, write_manifest

    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    config = json.loads(files[CONFIG]) | {"schema": 99, "since": "9.1.0"}
    (tmp_path / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    write_manifest(tmp_path)
    newer = {name: (tmp_path / name).read_bytes() for name in (CONFIG, MANIFEST)}
    repo.commit(files | newer)
    with pytest.raises(ModelError, match=r"needs vidcaption 9\.1\.0 .*pip install --upgrade"):
        resolve(NAME)


def test_the_token_is_sent_to_the_hub_and_to_no_one_else(
    repo: Repo, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    repo.private = True
    resolve(NAME)
    sent = {(request.cdn, request.headers.get("authorization")) for request in hub.requests}
    assert sent == {(False, "Bearer hf_right"), (True, None)}


def test_a_proxy_is_used(repo: Repo, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(hub.url)
    monkeypatch.setattr(constants, "ENDPOINT", "http://hub.invalid")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://hub.invalid" + template)
    monkeypatch.setenv("http_proxy", hub.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    hosts = set()
    hub.fault = lambda request: hosts.add(request.headers["host"])
    resolve(NAME)
    assert "hub.invalid" in hosts
