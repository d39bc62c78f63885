"""``vidcaption models``: models on this machine and on the Hub."""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from vidcaption.cli.flags import Json, complete_model
from vidcaption.cli.help import HelpedCommand, helped

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        autocompletion=complete_model,
        help="default, a folder, owner/name or owner/name@revision.",
    ),
]

models = typer.Typer()


@models.command("list", cls=HelpedCommand)
@helped("""
    vidcaption models list
    vidcaption models list --json
""")
def list_models(as_json: Json = False) -> int:
    """List the built-in model, those in the Hub's cache, and those in the catalogue."""
    from dataclasses import asdict

    from vidcaption.cli.console import put_table
    from vidcaption.store.catalog import entries

    rows = [asdict(each) for each in entries()]
    if as_json:
        return _put_json(rows)
    put_table(
        ("NAME", "WHERE", "SIZE", "LANGUAGES", "LICENSE", "SCORES"),
        [
            (
                _short(row["name"], row["revisions"]),
                row["where"],
                _megabytes(row["size"]),
                _words(row["languages"]),
                row["license"] or "-",
                _words(f"{name} {value:g}" for name, value in row["scores"].items()),
            )
            for row in rows
        ],
    )
    return 0


@models.command(cls=HelpedCommand)
@helped("""
    vidcaption models pull owner/name
    vidcaption models pull owner/name@v1.0 --update
""")
def pull(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME", help="owner/name or owner/name@revision on the Hub."),
    ],
    update: Annotated[
        bool, typer.Option("--update", help="Ask the Hub for the current commit of a name.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Fetch models from the Hub into its cache and check them; print their names with the commit.

    Complete models cost no request, and altered files are fetched again.
    """
    from contextlib import nullcontext

    from vidcaption import store
    from vidcaption.cli.console import make_bar
    from vidcaption.options.output import VoiceOptions

    bar = make_bar(VoiceOptions())
    with bar or nullcontext():
        watch = bar.begin if bar else None
        folders = [store.pull(name, update=update, watch=watch) for name in names]
    rows = [{"name": store.name_of(folder), "path": str(folder)} for folder in folders]
    return _put_json(rows) if as_json else _put_lines(row["name"] for row in rows)


@models.command(cls=HelpedCommand)
@helped("""
    vidcaption models info default
    vidcaption models info my-model --card
""")
def info(
    name: Name,
    card: Annotated[bool, typer.Option("--card", help="Also print its model card.")] = False,
    as_json: Json = False,
) -> int:
    """Show size, checksum, licence, scores and config of a model on this machine."""
    from vidcaption.output.text import printable
    from vidcaption.store import resolve
    from vidcaption.store.catalog import facts

    known = facts(resolve(name, offline=True))
    if as_json:
        return _put_json(known)
    text = known.pop("card")
    lines = {
        **known,
        "size": _megabytes(known["size"]),
        "license": known["license"] or "-",
        **{key: _words(known[key]) for key in ("languages", "datasets")},
        **{
            key: _words(f"{part} {value}" for part, value in known[key].items())
            for key in ("scores", "config")
        },
    }
    width = max(map(len, lines))
    _put_lines(f"{key:{width}}  {printable(value)}" for key, value in lines.items())
    if text and not card:
        return _put_lines([f"{'card':{width}}  {len(text.splitlines())} lines; --card prints them"])
    return _put_lines(["", *(printable(line) for line in text.splitlines())] if text else [])


@models.command(cls=HelpedCommand)
@helped("""
    vidcaption models verify
    vidcaption models verify owner/name
""")
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            autocompletion=complete_model,
            help="Models.  [default: all on this machine]",
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Compare the files of models with the sizes and checksums in their manifest.

    Exit codes: 0 all are complete, 1 some are not.
    """
    from vidcaption.errors import ModelError
    from vidcaption.model.manifest import check
    from vidcaption.store import resolve
    from vidcaption.store.catalog import entries

    rows = []
    for name in names or [each.name for each in entries() if each.path]:
        problem = None
        try:
            check(resolve(name, offline=True))
        except ModelError as error:
            problem = str(error)
        rows.append({"name": name, "whole": problem is None, "problem": problem})
    if as_json:
        _put_json(rows)
    else:
        _put_lines(f"{row['name']}: {row['problem'] or 'complete'}" for row in rows)
    return 0 if all(row["whole"] for row in rows) else 1


@models.command(cls=HelpedCommand)
@helped("""
    ls $(vidcaption models path default)
""")
def path(name: Name, as_json: Json = False) -> int:
    """Print the folder of a model that is on this machine."""
    from vidcaption.store import name_of, resolve

    folder = resolve(name, offline=True)
    if as_json:
        return _put_json({"name": name_of(folder), "path": str(folder)})
    return _put_lines([str(folder)])


@models.command(cls=HelpedCommand)
@helped("""
    vidcaption models export default --out exported
""")
def export(
    name: Name,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write encoder.xml and encoder.bin to this folder, for other programs.  [default: "
            "the cache of run --engine openvino]",
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Write a model's CNN for OpenVINO, compare it with PyTorch, and print the file.

    Its input is (N, 3, S, S) uint8 RGB, its output (N, R, C) float32. Needs the extra "openvino".
    """
    from vidcaption.model import engine
    from vidcaption.model.folder import load
    from vidcaption.store import name_of, resolve

    engine.require()
    folder = resolve(name, offline=True)
    path = out / engine.FILE if out else engine.cached(folder)
    difference = engine.export(load(folder), path)
    if as_json:
        rows = {"name": name_of(folder), "path": str(path), "size": path.stat().st_size}
        return _put_json({**rows, "largest_difference": difference})
    return _put_lines([str(path)])


@models.command(cls=HelpedCommand)
@helped("""
    vidcaption models rm owner/name@v1.0 --yes
""")
def rm(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME",
            autocompletion=complete_model,
            help="owner/name for all its commits, or with @revision.",
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: Json = False,
) -> int:
    """Remove models from the Hub's cache."""
    from vidcaption.cli.console import say
    from vidcaption.errors import UsageError
    from vidcaption.store import cache

    found = dict.fromkeys(each for name in names for each in cache.chosen(name))
    if not yes:
        if sys.stdin is None or not sys.stdin.isatty():
            raise UsageError("without a terminal, removing models needs --yes")
        listed = ", ".join(f"{each.repo}@{each.commit[:12]}" for each in found)
        print(f"Remove {listed}? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            say("nothing was removed")
            return 1
    freed = cache.remove({each.commit for each in found})
    removed = [f"{each.repo}@{each.commit}" for each in found]
    if as_json:
        return _put_json({"removed": removed, "freed": freed})
    return _put_lines(removed)


@models.command(cls=HelpedCommand)
@helped("""
    vidcaption models push my-model owner/name --create --dry-run
    vidcaption models push my-model owner/name --license mit --scores scores.json
""")
def push(
    folder: Annotated[Path, typer.Argument(help="A model folder.")],
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="A repo on the Hub.")],
    create: Annotated[
        bool, typer.Option("--create", help="Create the repo if it does not exist.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be uploaded, and the card.")
    ] = False,
    license: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Licence on the card, such as cc-by-4.0."),
    ] = None,
    dataset: Annotated[
        list[str] | None, typer.Option(help="A dataset the model was trained on; may be repeated.")
    ] = None,
    scores: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="What evaluate --json printed, for the card; may be repeated."
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Upload a model folder to the Hub with a card, and print its name with the commit.

    HF_TOKEN must hold a token that may write to the repo.
    """
    from vidcaption.errors import UsageError
    from vidcaption.output.text import printable
    from vidcaption.store.reference import Reference
    from vidcaption.store.settings import settings

    settings()  # reports invalid settings, before the next import fails

    from vidcaption.store import push as store_push

    reference = Reference.parse(repo)
    if reference is None or reference.revision:
        raise UsageError(f"{repo!r} is not the name of a repo; give it as owner/name")
    about = store_push.About(license, dataset or [], [_read_report(file) for file in scores or []])
    files = store_push.prepare(folder, repo, about)
    sizes = {
        name: content.stat().st_size if isinstance(content, Path) else len(content)
        for name, content in files.items()
    }
    if not sys.stderr.isatty():
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()  # the library would also draw them into files and pipes
    commit = None if dry_run else store_push.push(files, repo, create=create)
    if as_json:
        return _put_json({"repo": repo, "commit": commit, "files": sizes})
    if commit:
        return _put_lines([f"{repo}@{commit}"])
    card = files["README.md"]
    assert isinstance(card, bytes)
    _put_lines(f"{name}  {size}" for name, size in sizes.items())
    return _put_lines(["", *map(printable, card.decode("utf-8").splitlines())])


def _read_report(path: Path) -> dict[str, Any]:
    from vidcaption.errors import UsageError
    from vidcaption.reasons import unparsed

    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--scores is {path}, which cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{unparsed(f'--scores {path}', 'JSON', error)}; name a file that evaluate --json wrote"
        ) from error
    return report


def _put_json(value: Any) -> int:
    from vidcaption.cli.console import put_json

    put_json(value)
    return 0


def _put_lines(lines: Iterable[str]) -> int:
    from vidcaption.cli.console import put

    put("".join(f"{line}\n" for line in lines))
    return 0


def _short(name: str, revisions: Sequence[str]) -> str:
    """With a short commit, and the branches and tags that refer to it."""
    repo, _, commit = name.partition("@")
    return f"{repo}@{commit[:12]}{_bracketed(revisions)}" if commit else repo


def _bracketed(words: Sequence[str]) -> str:
    return f" ({', '.join(words)})" if words else ""


def _words(words: Iterable[str]) -> str:
    return ", ".join(words) or "-"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
