"""How ``find`` and ``index`` caption what is new."""

import logging
import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vidcaption.cli.captioning import resolve_with_bar
from vidcaption.events import VERBOSE, event
from vidcaption.options import BatchOptions, CaptionOptions, LogOptions, MachineOptions

if TYPE_CHECKING:
    from vidcaption.find.index import Index, Recipe

logger = logging.getLogger(__name__)


def default_index() -> Path:
    """The file in the user's data folder."""
    from platformdirs import user_data_path

    return user_data_path("vidcaption", appauthor=False) / "index.sqlite"


def recipe_of(model: str | None, folder: Path, options: CaptionOptions) -> "Recipe":
    """What captions are made by; ``folder``: of the model that was asked for as ``model``."""
    from vidcaption.find.index import Recipe
    from vidcaption.model.manifest import WEIGHTS, read_rows

    name = os.path.abspath(model) if model and os.path.isdir(model) else model
    return Recipe(name, read_rows(folder)[WEIGHTS]["sha256"], options)


def bring_up_to_date(
    index: "Index",
    files: Sequence[Path],
    model: str | None,
    options: CaptionOptions,
    machine: MachineOptions,
    voice: LogOptions,
    *,
    redo: bool = False,
    offline: bool = False,
) -> int:
    """Caption what is new among the files. Returns the exit code."""
    from vidcaption.find.update import survey

    folder = resolve_with_bar(model, offline, voice)
    recipe = recipe_of(model, folder, options)
    found = survey(index, files, index.recipe_id(recipe), redo=redo)
    _tell("outdated", found.outdated, "captioned by another model or with other options")
    _tell("broken", found.broken, "skipped: captioning failed before")
    if found.known:
        facts = event("known", paths=list(map(str, found.known)))
        message = f"{counted(found.known)} known by their content, and not captioned again"
        logger.log(VERBOSE, message, extra=facts)
    if not found.todo:
        return 0
    return _caption(index, found.todo, folder, recipe, machine, voice)


def _caption(
    index: "Index",
    files: Sequence[Path],
    folder: Path,
    recipe: "Recipe",
    machine: MachineOptions,
    voice: LogOptions,
) -> int:
    from vidcaption.batch import Captioners
    from vidcaption.cli.reporter import Reporter
    from vidcaption.find.update import update

    logger.info(f"{counted(files)} to be indexed", extra=event("indexing", count=len(files)))
    reporter = Reporter(voice, len(files))
    with Captioners(folder, machine, BatchOptions()) as load:
        outcomes = update(index, files, recipe, load, reporter)
        return reporter.see_through(lambda: deque(outcomes, maxlen=0).clear())


def _tell(name: str, files: Sequence[Path], what: str) -> None:
    if files:
        facts = event(name, paths=list(map(str, files)))
        hint = "vidcaption index --redo captions them again"
        logger.info(f"{counted(files)} {what}; {hint}", extra=facts)


def counted(files: Sequence[object]) -> str:
    """``1 file is`` or ``2 files are``."""
    return "1 file is" if len(files) == 1 else f"{len(files)} files are"
