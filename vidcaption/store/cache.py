"""The Hub's cache on this machine, shared with other programs. Does not use the network.

``models--owner--name/refs/REVISION`` holds the commit that a branch or tag was resolved to, and
``snapshots/COMMIT`` the files. HF_HUB_CACHE or HF_HOME set its folder.
"""

import contextlib
import secrets
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from vidcaption.errors import OutputError, UsageError
from vidcaption.model.manifest import MANIFEST, REQUIRED, WORDS
from vidcaption.reasons import of_system
from vidcaption.store.reference import Reference
from vidcaption.store.settings import settings

MAIN = "main"  # the branch of a name without a revision


@dataclass(frozen=True)
class Cached:
    """One commit of a model in the cache. ``revisions``: branches and tags resolved to it."""

    repo: str
    commit: str
    folder: Path
    revisions: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether all files that a model needs are there."""
        return _complete(self.folder)


def find(reference: Reference) -> Path | None:
    """The folder of a model with all files that it needs, if the cache has it."""
    commit = reference.commit or _recorded(reference)
    folder = snapshot(reference.repo, commit) if commit else None
    return folder if folder and _complete(folder) else None


def snapshot(repo: str, commit: str) -> Path:
    """The folder of a commit's files, which may not exist."""
    return _home(repo) / "snapshots" / commit


def holds(folder: Path) -> bool:
    """Whether a folder is a snapshot in the cache."""
    return folder.parent.name == "snapshots" and folder.is_relative_to(_root())


def name_of(folder: Path) -> str | None:
    """``owner/name@commit`` of a snapshot; None for a folder outside the cache."""
    if not holds(folder):
        return None
    return f"{_repo(folder.parent.parent)}@{folder.name}"


def record(reference: Reference, commit: str) -> None:
    """Remember what a branch or tag was resolved to. Raises OutputError."""
    if reference.commit or _recorded(reference) == commit:
        return
    path = _ref(reference)
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(commit, encoding="ascii")
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({of_system(error)}); set HF_HOME to a folder that can"
        ) from error


def models() -> Iterator[Cached]:
    """Every commit in the cache that is a vidcaption model, complete or not."""
    for manifest in sorted(_root().glob(f"models--*--*/snapshots/*/{MANIFEST}")):
        folder = manifest.parent
        if (folder / WORDS).exists():
            home = folder.parent.parent
            yield Cached(_repo(home), folder.name, folder, tuple(_names(home, folder.name)))


def chosen(name: str) -> list[Cached]:
    """The commits of ``owner/name[@revision]``: all of them without a revision.

    Raises UsageError if the cache has no such vidcaption model.
    """
    reference = Reference.parse(name)
    found = [
        each
        for each in models()
        if reference
        and each.repo == reference.repo
        and reference.revision in (None, each.commit, *each.revisions)
    ]
    if not found:
        raise UsageError(
            f"the cache has no model {name}; 'vidcaption models list' shows those it has"
        )
    return found


def remove(commits: Collection[str]) -> int:
    """Remove these commits from the cache, and return the number of bytes freed.

    Raises OutputError.
    """
    from huggingface_hub import scan_cache_dir

    plan = scan_cache_dir(_root()).delete_revisions(*commits)
    plan.execute()
    for path in (*plan.repos, *plan.snapshots):
        # the library only logs what it could not delete
        if path.exists():
            raise OutputError(f"{path} cannot be removed; check the permissions of the cache")
    return plan.expected_freed_size


def check_home() -> None:
    """Raise OutputError if there is no place for the cache, as this user has no home folder."""
    if settings().HF_HUB_CACHE.startswith("~"):
        raise OutputError(
            "models from the Hub are kept in the home folder, and this user has none; set HF_HOME "
            "to a folder that can be written to"
        )


def _complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in REQUIRED)


def _root() -> Path:
    return Path(settings().HF_HUB_CACHE).resolve()


def _home(repo: str) -> Path:
    return _root() / f"models--{repo.replace('/', '--')}"


def _repo(home: Path) -> str:
    return home.name.removeprefix("models--").replace("--", "/")


def _ref(reference: Reference) -> Path:
    return _home(reference.repo) / "refs" / (reference.revision or MAIN)


def _recorded(reference: Reference) -> str | None:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return Reference(reference.repo, _ref(reference).read_text(encoding="ascii")).commit
    return None


def _names(home: Path, commit: str) -> Iterator[str]:
    refs = home / "refs"
    for path in sorted(refs.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            reference = Reference(_repo(home), path.relative_to(refs).as_posix())
            if _recorded(reference) == commit:
                yield reference.revision or MAIN
