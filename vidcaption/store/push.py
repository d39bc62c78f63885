"""Uploads a model folder to the Hub, with a model card that the Hub can read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, EvalResult, ModelCard, ModelCardData
from yaml import YAMLError

from vidcaption.errors import ModelError, UsageError
from vidcaption.model.manifest import CARD, MANIFEST, REQUIRED, check, read_text, to_json
from vidcaption.reasons import unparsed
from vidcaption.store.catalog import as_list
from vidcaption.store.hub import PATIENCE_S, api, explained, within
from vidcaption.store.reference import Reference

TAGS = ("video-captioning", "pytorch")
_USE = """
## Use

```sh
pip install vidcaption
vidcaption run clip.mp4 --model {repo}
```
"""


@dataclass(frozen=True)
class About:
    """Facts about a model that its folder does not contain.

    ``license``: its identifier on the Hub. ``datasets``: Hub names of the datasets it was trained
    on. ``reports``: what ``vidcaption evaluate --json`` printed.
    """

    license: str | None = None
    datasets: Sequence[str] = ()
    reports: Sequence[Mapping[str, Any]] = ()


def prepare(folder: Path, repo: str, about: About) -> dict[str, bytes | Path]:
    """The content of each file in the repo: the folder's files, with a completed card.

    Raises ModelError for an incomplete folder, UsageError for an invalid report.
    """
    rows = check(folder)
    text = read_text(folder / CARD) if (folder / CARD).is_file() else f"# {repo}\n"
    card = _complete(text, repo, about).encode("utf-8")
    rows[CARD] = {"sha256": sha256(card).hexdigest(), "size": len(card)}
    files: dict[str, bytes | Path] = {name: folder / name for name in REQUIRED}
    return files | {CARD: card, MANIFEST: to_json(rows).encode("utf-8")}


def push(files: Mapping[str, bytes | Path], repo: str, *, create: bool) -> str:
    """Commit ``files`` to ``repo``, and return the commit.

    ``create``: create the repo if it does not exist. Raises ModelError.
    """
    hub = api()
    with explained(Reference(repo)):
        if create:
            hub.create_repo(repo, exist_ok=True)
        elif not within(PATIENCE_S, lambda: hub.repo_exists(repo)):
            raise ModelError(
                f"there is no repo {repo}, or it is private and HF_TOKEN may not read it; add "
                "--create to create it"
            )
        commit = hub.create_commit(
            repo,
            [
                CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)
                for name, content in files.items()
            ],
            commit_message="Upload a vidcaption model",
        )
    return commit.oid


def _complete(text: str, repo: str, about: About) -> str:
    """The card with all metadata that the Hub reads; existing entries are kept."""
    try:
        card = ModelCard(text)
    except (ValueError, YAMLError) as error:
        raise ModelError(f"{unparsed(CARD, 'YAML', error, 2)}; correct it") from error
    data = card.data
    assert isinstance(data, ModelCardData)
    data.library_name = data.library_name or "vidcaption"
    data.tags = list(dict.fromkeys([*(data.tags or []), *TAGS]))
    data.license = about.license or data.license
    data.datasets = list(dict.fromkeys([*as_list(data.datasets), *about.datasets])) or None
    if results := [result for report in about.reports for result in _results(report)]:
        data.model_name = data.model_name or repo.split("/")[1]
        data.eval_results = [*(data.eval_results or []), *results]
        names = [result.metric_type for result in data.eval_results]
        data.metrics = list(dict.fromkeys([*as_list(data.metrics), *names]))
    if "vidcaption run" not in card.text:
        card.text = card.text.rstrip("\n") + "\n" + _USE.format(repo=repo)
    return str(card)


def _results(report: Mapping[str, Any]) -> list[EvalResult]:
    try:
        return [
            EvalResult(
                task_type="video-captioning",
                dataset_type=Path(report["dataset"]).stem,
                dataset_name=report["dataset"],
                dataset_split=report["split"],
                metric_type=name.lower().split("-")[0],  # BLEU-4 is a kind of bleu
                metric_name=name,
                metric_value=value,
            )
            for name, value in report["scores"].items()
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            "--scores is not what 'vidcaption evaluate --json' prints: it needs dataset, split and "
            "scores"
        ) from error
