"""``vidcaption run``."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidcaption.addresses import Address
from vidcaption.cli.console import closing_words
from vidcaption.cli.flags import Inputs, Models, Offline, with_options
from vidcaption.cli.help import helped
from vidcaption.errors import UsageError
from vidcaption.events import VERBOSE, event
from vidcaption.options.batch import BatchOptions, RayOptions
from vidcaption.options.captioning import CaptionOptions, MachineOptions
from vidcaption.options.output import LogOptions, OutputOptions

if TYPE_CHECKING:
    from vidcaption.batch import Batch
    from vidcaption.batch.batch import Keep
    from vidcaption.store.mixture import Mixture

logger = logging.getLogger(__name__)


@helped(
    """
    vidcaption run clip.mp4                         print captions with their times
    vidcaption run clip.mp4 --srt --json            write clip.srt and clip.json
    vidcaption run videos -r --vtt --out-dir out    a folder, mirrored in out
    vidcaption run videos --txt --window whole      one plain sentence for each file
    cat clip.mp4 | vidcaption run - --srt           from a pipe to standard output
    """,
    first="srt json txt output out-dir recursive window model device force",
)
@with_options
def run(
    output: OutputOptions,
    batch: BatchOptions,
    ray: RayOptions,
    options: CaptionOptions,
    machine: MachineOptions,
    voice: LogOptions,
    inputs: Inputs = None,
    model: Models = None,
    offline: Offline = False,
    index: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also add captions to this index, for vidcaption find."),
    ] = None,
) -> int:
    """Caption videos: write files next to them, or print lines if no format is given.

    Inputs that are done, by the same model with the same options, are skipped. Files that were
    edited, or that vidcaption did not write, are kept.

    Exit codes: 0 all inputs are captioned, 1 some failed, 2 wrong usage, 3 nothing can run or be
    written, 130 interrupted, 141 standard output was closed by its reader.
    """
    from vidcaption.batch import Batch
    from vidcaption.cli.captioning import check_ray, executor, resolve_mixture
    from vidcaption.cli.console import interruptible, put
    from vidcaption.cli.reporter import Reporter, described

    with closing_words(), interruptible(), ExitStack() as stack:
        work = stack.enter_context(Batch(inputs or [], output, batch, offline=offline))
        _say_what_is_run(work, batch)
        if not work.selection.chosen:
            return 0
        if ray.ray and work.selection.piped:
            raise UsageError("--ray captions files, and - is standard input; remove one of them")
        check_ray(ray, machine)
        if index and model and len(model) > 1:
            raise UsageError(
                "--index keeps captions of one model; give --model once, or no --index"
            )
        far = [path for path in work.selection.found if isinstance(path, Address)]
        if index and far:
            raise UsageError(
                f"--index holds files of this machine, and {far[0]} is an address; remove --index"
            )
        folder = resolve_mixture(model, offline or batch.dry_run, voice)
        lines = [described(job, plan) for job, plan in work.plan(folder, options)]
        if batch.dry_run:
            put("".join(f"{line}\n" for line in lines))
            return 0
        for line in lines:
            logger.debug(line, extra=event("plan"))
        with _adding(index, model, folder, options) as keep:
            reporter = Reporter(voice, len(lines), work.delivery)
            with executor(ray, batch) as execute:
                code = reporter.see_through(work.start(machine, reporter, put, keep, execute))
        return code or int(work.incomplete)


def _say_what_is_run(work: "Batch", batch: BatchOptions) -> None:
    from vidcaption.cli.console import results_awaited
    from vidcaption.output.text import counted

    selection = work.selection
    if work.delivery.beside_inputs and not batch.dry_run and results_awaited():
        logger.info("captions are written next to the inputs; add -o - for standard output")
    if selection.shard is not None:
        part = f"{selection.shard}: {counted(len(selection.chosen), 'input')}"
        logger.log(VERBOSE, part, extra=event("shard"))
    if not selection.chosen:
        logger.info("nothing to do: no input is left by --shard or --retry-failed")


@contextmanager
def _adding(
    path: Path | None,
    model: list[Path] | None,
    folder: "Path | Mixture",
    options: CaptionOptions,
) -> "Iterator[Keep | None]":
    """A function that adds captions to an index, if there is one."""
    if path is None or not isinstance(folder, Path):
        yield None
        return
    from vidcaption.cli.captioning import recipe_of
    from vidcaption.find.index import Index
    from vidcaption.find.update import add

    with Index(path, create=True) as index:
        number = index.recipe_id(recipe_of(model[0].as_posix() if model else None, folder, options))
        yield lambda outcome: add(index, outcome, number)
