"""``vidcaption run``."""

import functools
import gc
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidcaption.cli.arguments import Offline
from vidcaption.cli.completion import complete_model
from vidcaption.cli.flags import with_options
from vidcaption.cli.help import helped
from vidcaption.cli.log import VERBOSE, closing_words, event
from vidcaption.cli.weights import resolve_with_bar
from vidcaption.options import (
    BatchOptions,
    CaptionOptions,
    LogOptions,
    MachineOptions,
    OutputOptions,
)

if TYPE_CHECKING:
    from vidcaption.batch import Books, Job, Manifest, Outcome
    from vidcaption.cli.delivery import Delivery
    from vidcaption.pipeline import Captioner
    from vidcaption.video.workers import Workers

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
    model: Annotated[
        str | None,
        typer.Option(
            autocompletion=complete_model,
            help="A model folder, or owner/name or owner/name@revision on the Hub; the embedded "
            "model unless given.",
        ),
    ] = None,
    offline: Offline = False,
) -> int:
    """Caption videos: files next to them in each format asked for, or else lines on stdout.

    What is done already, by the same model with the same options from the same input, is passed
    over. Files that were edited, or that vidcaption did not write, are kept.

    Exit codes: 0 all inputs are captioned, 1 some are not, 2 the command is wrong, 3 nothing can
    run or be written, 130 interrupted, 141 nobody reads standard output any more.
    """
    from vidcaption.batch import Books, Manifest, spooled
    from vidcaption.cli.delivery import Delivery
    from vidcaption.cli.interrupt import interruptible
    from vidcaption.cli.reporter import described
    from vidcaption.cli.selection import select
    from vidcaption.cli.streams import results_awaited
    from vidcaption.cli.voice import put
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

        devices = machine.device.split(",")
        number = max(batch.worker_count or suitable(), len(devices))
        workers = stack.enter_context(Workers(min(len(jobs), number), batch.file_timeout_s))
        load = functools.cache(functools.partial(_load, folder, machine, devices))
        if any(plan.needed for plan in plans):
            workers.warm_up()  # it is ready to read when the model is loaded
            load()  # what is wrong with the model or a device is said before all else
        return _work(load, jobs, books, options, delivery, batch, manifest, workers, voice)


def _load(folder: Path, machine: MachineOptions, devices: "Sequence[str]") -> "list[Captioner]":
    # Only now, as it takes seconds: whatever can be wrong with the command was said before. No
    # garbage is made meanwhile, and looking for it would take a tenth of the time.
    gc.disable()
    from vidcaption.pipeline import Captioner

    gc.enable()
    if machine.engine == "openvino":
        from vidcaption.model.engine import cached, require

        require()
        if not cached(folder).exists():
            logger.info(
                "exporting the CNN to OpenVINO, once for this model and version",
                extra=event("export"),
            )
    captioners = [
        Captioner.from_pretrained(
            folder,
            device=device,
            precision=machine.precision,
            batch_size=machine.batch_size,
            threads=machine.threads,
            engine=machine.engine,
            decoder=machine.decoder,
        )
        for device in devices
    ]
    name, sha256 = captioners[0].model.name, captioners[0].model.sha256
    facts = event("model", name=name, sha256=sha256)
    logger.log(VERBOSE, f"model {name}, sha256 {sha256}", extra=facts)
    for captioner in captioners:
        device, precision = str(captioner.machine.device), str(captioner.machine.precision)
        facts = event("device", device=device, precision=precision)
        logger.log(VERBOSE, f"on {device}, {precision}", extra=facts)
    return captioners


def _work(
    load: "Callable[[], Sequence[Captioner]]",
    jobs: "Sequence[Job]",
    books: "Books",
    options: CaptionOptions,
    delivery: "Delivery",
    batch: BatchOptions,
    manifest: "Manifest | None",
    workers: "Workers",
    voice: LogOptions,
) -> int:
    """Do all jobs and tell of them. Returns the exit code."""
    from vidcaption.batch import caption_all
    from vidcaption.cli.interrupt import INTERRUPTED
    from vidcaption.cli.reporter import Reporter

    reporter = Reporter(voice, delivery, manifest, count=len(jobs))
    outcomes: Iterator[Outcome]
    outcomes = caption_all(load, jobs, options, books, reporter, workers, retries=batch.retries)
    if batch.fail_fast:
        outcomes = _until_failure(outcomes)
    try:
        with reporter.live():
            delivery.deliver(reporter.followed(outcomes), books)
    except KeyboardInterrupt:
        reporter.sum_up(interrupted=True)
        return INTERRUPTED
    reporter.sum_up()
    return 1 if reporter.trouble else 0


def _until_failure(outcomes: "Iterable[Outcome]") -> "Iterator[Outcome]":
    for outcome in outcomes:
        yield outcome
        if outcome.status == "failed":
            return
