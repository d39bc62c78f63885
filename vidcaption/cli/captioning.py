"""How commands find their model and caption with it: one by one, or into an index."""

import functools
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from vidcaption.errors import InputError, OutputError, UsageError
from vidcaption.events import VERBOSE, event
from vidcaption.options.batch import BatchOptions, RayOptions
from vidcaption.options.captioning import CaptionOptions, DeviceOptions, MachineOptions
from vidcaption.options.output import LogOptions, VoiceOptions

if TYPE_CHECKING:
    from vidcaption.batch import Executor
    from vidcaption.cli.bar import Bar
    from vidcaption.find.index import Index, Recipe
    from vidcaption.output.captions import Captions
    from vidcaption.pipeline import Captioner
    from vidcaption.store.mixture import Mixture

logger = logging.getLogger(__name__)


def resolve_with_bar(name: str | None, offline: bool, voice: VoiceOptions) -> Path:
    """The folder of a model, with a progress bar while it is fetched if ``voice`` enables it.

    Raises ModelError, OutputError.
    """
    from vidcaption.cli.console import make_bar
    from vidcaption.store import resolve

    bar = make_bar(voice)
    with bar or nullcontext():
        return resolve(name, offline=offline, watch=bar.begin if bar else None)


def resolve_mixture(
    names: Sequence[Path] | None, offline: bool, voice: VoiceOptions
) -> "Path | Mixture":
    """The folder of a model, or those of several as NAME=WEIGHT, see ``resolve_with_bar``.

    Raises UsageError, ModelError, OutputError.
    """
    from vidcaption.store.mixture import parse, weigh

    given = [name.as_posix() for name in names or ()]
    if len(given) < 2:
        return resolve_with_bar(given[0] if given else None, offline, voice)
    (first, _), *others = weigh(parse(given))
    return [
        resolve_with_bar(str(first), offline, voice),
        *((resolve_with_bar(str(name), offline, voice), weight) for name, weight in others),
    ]


def loader(
    resolve: "Callable[[], Path | Mixture]", machine: DeviceOptions
) -> "Callable[[], Captioner]":
    """A function that resolves and loads the model once. Raises ModelError, DeviceError,
    OutputError."""

    @functools.cache
    def load() -> "Captioner":
        folder = resolve()
        from vidcaption.pipeline import Captioner

        return Captioner.from_pretrained(
            folder, device=machine.device, precision=machine.precision, threads=machine.threads
        )

    return load


def caption(
    captioner: "Captioner", path: Path, options: CaptionOptions, bar: "Bar | None"
) -> "Captions":
    """All captions of a video, with its progress on the bar. Raises InputError."""
    with captioner.open(path, options) as captioning:
        if bar is not None:
            duration_s, start_s = captioning.info.duration_s, options.start_s
            bar.begin(f"{path.name}: captions", duration_s, lambda: captioning.progress_s - start_s)
        return captioning.finish()


def make_each(pairs: Iterable[tuple[Path, Path]], make: Callable[[Path, Path], None]) -> int:
    """Make of each video its target, and go on where one fails. Returns the exit code."""
    failed = False
    for video, target in pairs:
        try:
            make(video, target)
        except (InputError, OutputError) as error:
            failed = True
            logger.error(str(error))
        else:
            logger.info(f"{video} -> {target}")
    return int(failed)


def check_ray(ray: RayOptions, machine: MachineOptions) -> None:
    """Raise UsageError if captioning with Ray cannot use these devices."""
    if ray.ray and "," in machine.device:
        raise UsageError(
            f"--ray gives each process one device, and --device is {machine.device!r}; "
            "omit it, and set --ray-networks"
        )


@contextmanager
def executor(ray: RayOptions, batch: BatchOptions) -> "Iterator[Executor]":
    """What captions: Ray if asked for, else this process. Raises SetupError."""
    if not ray.ray:
        from vidcaption.batch.runner import in_process

        yield in_process
        return
    from vidcaption.scale.cluster import Cluster

    with Cluster(ray, batch) as cluster:
        yield cluster


def default_index() -> Path:
    """The index in the user's data folder."""
    from platformdirs import user_data_path

    return user_data_path("vidcaption", appauthor=False) / "index.sqlite"


def recipe_of(model: str | None, folder: Path, options: CaptionOptions) -> "Recipe":
    """How captions are made; ``folder``: of the model that was given as ``model``."""
    from vidcaption.find.index import Recipe
    from vidcaption.model.manifest import WEIGHTS, read_config, read_rows

    name = os.path.abspath(model) if model and os.path.isdir(model) else model
    options = options.of_model(read_config(folder).frames)
    return Recipe(name, read_rows(folder)[WEIGHTS]["sha256"], options)


def bring_up_to_date(
    index: "Index",
    files: Sequence[Path],
    model: str | None,
    options: CaptionOptions,
    machine: MachineOptions,
    ray: RayOptions,
    voice: LogOptions,
    *,
    redo: bool = False,
    offline: bool = False,
) -> int:
    """Caption the new ones of the files. Returns the exit code."""
    from vidcaption.find.update import survey

    folder = resolve_with_bar(model, offline, voice)
    recipe = recipe_of(model, folder, options)
    found = survey(index, files, index.recipe_id(recipe), redo=redo)
    _tell("outdated", found.outdated, "captioned by another model or with other options")
    _tell("broken", found.broken, "skipped: captioning failed before")
    if found.known:
        facts = event("known", paths=list(map(str, found.known)))
        message = f"{counted(found.known)} recognised by content, and not captioned again"
        logger.log(VERBOSE, message, extra=facts)
    if not found.todo:
        return 0
    return _caption(index, found.todo, folder, recipe, machine, ray, voice)


def _caption(
    index: "Index",
    files: Sequence[Path],
    folder: Path,
    recipe: "Recipe",
    machine: MachineOptions,
    ray: RayOptions,
    voice: LogOptions,
) -> int:
    from vidcaption.batch import Captioners
    from vidcaption.cli.reporter import Reporter
    from vidcaption.find.update import update

    logger.info(f"{counted(files)} new", extra=event("indexing", count=len(files)))
    reporter = Reporter(voice, len(files))
    batch = BatchOptions()
    with Captioners(folder, machine, batch) as load, executor(ray, batch) as execute:
        outcomes = update(index, files, recipe, load, reporter, execute)
        return reporter.see_through(lambda: deque(outcomes, maxlen=0).clear())


def _tell(name: str, files: Sequence[Path], what: str) -> None:
    if files:
        facts = event(name, paths=list(map(str, files)))
        hint = "vidcaption index --redo captions them again"
        logger.info(f"{counted(files)} {what}; {hint}", extra=facts)


def counted(files: Sequence[object]) -> str:
    """``1 file is`` or ``2 files are``."""
    return "1 file is" if len(files) == 1 else f"{len(files)} files are"
