"""``vidcaption run``."""

import functools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidcaption.cli.captioning import load_captioners, resolve_with_bar
from vidcaption.cli.console import closing_words
from vidcaption.cli.flags import Model, Offline, with_options
from vidcaption.cli.help import helped
from vidcaption.errors import OutputError
from vidcaption.events import VERBOSE, event
from vidcaption.options import (
    BatchOptions,
    CaptionOptions,
    LogOptions,
    MachineOptions,
    OutputOptions,
)

if TYPE_CHECKING:
    from vidcaption.batch import Books, Job, Manifest, Outcome
    from vidcaption.batch.delivery import Delivery
    from vidcaption.cli.reporter import Reporter
    from vidcaption.pipeline import Captioner

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
    options: CaptionOptions,
    machine: MachineOptions,
    voice: LogOptions,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT",
            help="Videos, images, folders of them, patterns; - is a video on standard input.",
        ),
    ] = None,
    model: Model = None,
    offline: Offline = False,
    index: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also add captions to this index, for vidcaption find."),
    ] = None,
) -> int:
    """Caption videos: files next to them in each format asked for, or else lines on stdout.

    What is done already, by the same model with the same options from the same input, is passed
    over. Files that were edited, or that vidcaption did not write, are kept.

    Exit codes: 0 all inputs are captioned, 1 some are not, 2 the command is wrong, 3 nothing can
    run or be written, 130 interrupted, 141 nobody reads standard output any more.
    """
    from vidcaption.batch import Books, Manifest, spooled
    from vidcaption.batch.delivery import Delivery
    from vidcaption.batch.selection import select
    from vidcaption.cli.console import interruptible, put, results_awaited
    from vidcaption.cli.reporter import described
    from vidcaption.model.manifest import WEIGHTS, read_rows
    from vidcaption.output.text import counted
    from vidcaption.output.write import check_some_writable
    from vidcaption.video.workers import Workers, suitable

    with closing_words(), interruptible(), ExitStack() as stack:
        selection = select(inputs or [], batch)
        delivery = Delivery(output, selection)
        if delivery.beside_inputs and not batch.dry_run and results_awaited():
            logger.info("captions are written next to the inputs; add -o - for standard output")
        if selection.shard is not None:
            part = f"{selection.shard}: {counted(len(selection.chosen), 'input')}"
            logger.log(VERBOSE, part, extra=event("shard"))
        if not selection.chosen:
            logger.info("nothing to do: --shard or --retry-failed leave no input")
            return 0

        folder = resolve_with_bar(model, offline or batch.dry_run, voice)
        books = Books(read_rows(folder)[WEIGHTS]["sha256"], options, force=batch.force)
        spool = selection.piped and not batch.dry_run
        source = stack.enter_context(spooled()) if spool else None
        jobs = [delivery.job(path, source) for path in selection.chosen]
        delivery.check(books, batch.manifest)
        plans = [books.plan(job) for job in jobs]
        lines = [described(job, plan) for job, plan in zip(jobs, plans, strict=True)]
        if batch.dry_run:
            put("".join(f"{line}\n" for line in lines))
            return 0
        for line in lines:
            logger.debug(line, extra=event("plan"))
        if all(plan.needed for plan in plans):
            check_some_writable(target for plan in plans for target in plan.todo.values())
        manifest = Manifest(batch.manifest, books.model_sha256) if batch.manifest else None
        keep = _adder(stack, index, model, folder, options) if index else None

        devices = machine.device.split(",")
        number = max(batch.worker_count or suitable(), len(devices))
        workers = stack.enter_context(Workers(min(len(jobs), number), batch.file_timeout_s))
        load = functools.cache(
            functools.partial(load_captioners, folder, machine, devices, workers)
        )
        if any(plan.needed for plan in plans):
            workers.warm_up()  # it is ready to read when the model is loaded
            load()  # what is wrong with the model or a device is said before all else
        return _work(load, jobs, books, options, delivery, batch, manifest, voice, keep)


def _work(
    load: "Callable[[], Sequence[Captioner]]",
    jobs: "Sequence[Job]",
    books: "Books",
    options: CaptionOptions,
    delivery: "Delivery",
    batch: BatchOptions,
    manifest: "Manifest | None",
    voice: LogOptions,
    keep: "Callable[[Outcome], None] | None",
) -> int:
    """Do all jobs and tell of them. Returns the exit code."""
    from vidcaption.batch import caption_all
    from vidcaption.cli.console import INTERRUPTED, put
    from vidcaption.cli.reporter import Reporter

    reporter = Reporter(voice, delivery, manifest, count=len(jobs))
    outcomes: Iterator[Outcome]
    outcomes = caption_all(load, jobs, options, books, reporter, retries=batch.retries)
    if keep is not None:
        outcomes = _kept(keep, outcomes, reporter)
    if batch.fail_fast:
        outcomes = _until_failure(outcomes)
    try:
        with reporter.live():
            delivery.deliver(reporter.followed(outcomes), books, put)
    except KeyboardInterrupt:
        reporter.sum_up(interrupted=True)
        return INTERRUPTED
    reporter.sum_up()
    return 1 if reporter.trouble else 0


def _adder(
    stack: ExitStack, path: Path, model: str | None, folder: Path, options: CaptionOptions
) -> "Callable[[Outcome], None]":
    """What adds captions to an index, which is open as long as ``stack``."""
    from vidcaption.cli.indexing import recipe_of
    from vidcaption.find.index import Index
    from vidcaption.find.update import add

    index = stack.enter_context(Index(path, create=True))
    number = index.recipe_id(recipe_of(model, folder, options))
    return lambda outcome: add(index, outcome, number)


def _kept(
    keep: "Callable[[Outcome], None]", outcomes: "Iterable[Outcome]", reporter: "Reporter"
) -> "Iterator[Outcome]":
    for outcome in outcomes:
        try:
            keep(outcome)
        except OutputError as error:  # the captions are what the night is for
            reporter.trouble = True
            logger.error(str(error), extra=event("index", path=outcome.job.path))
        yield outcome


def _until_failure(outcomes: "Iterable[Outcome]") -> "Iterator[Outcome]":
    for outcome in outcomes:
        yield outcome
        if outcome.status == "failed":
            return
