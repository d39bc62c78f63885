import json
from pathlib import Path

import pytest
from hub import Repo

from vidcaption.store import catalog, embedded, resolve
from vidcaption.store.reference import Reference

NAME = "ann/captioner"


def test_the_catalogue_holds_only_what_can_be_had() -> None:
    path = embedded(catalog.CATALOG)
    assert path is not None
    for row in json.loads(path.read_text(encoding="utf-8"))["models"]:
        assert {"name", "repo", "commit", "size", "languages", "license", "scores"} == row.keys()
        if row["repo"] is None:
            folder = embedded(row["name"])
            assert folder is not None and folder.is_dir()
            assert row["commit"] is None and row["size"] is None
        else:
            assert Reference(row["repo"], row["commit"]).commit and row["size"] > 0


def test_a_model_of_the_catalogue_that_is_on_the_hub(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"languages": ["de"], "license": "apache-2.0", "scores": {"CIDEr": 50.0}}
    row = {"name": "small", "repo": NAME, "commit": repo.refs["main"], "size": 300_000, **told}
    path = tmp_path / "catalog.json"
    path.write_text(json.dumps({"models": [row]}), encoding="utf-8")
    monkeypatch.setattr(catalog, "embedded", lambda name: path if name == path.name else None)
    (entry,) = catalog.entries()
    assert (entry.name, entry.where, entry.path) == (f"{NAME}@{row['commit']}", "hub", None)
    assert (entry.size, entry.languages, entry.scores) == (300_000, ["de"], {"CIDEr": 50.0})
    folder = resolve(entry.name)
    (entry,) = catalog.entries()
    # the catalogue goes before the card
    assert (entry.where, entry.path, entry.license) == ("cached", str(folder), "apache-2.0")
