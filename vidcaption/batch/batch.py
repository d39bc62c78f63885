"""One run over many inputs: found, named, planned, captioned and delivered."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from vidcaption.addresses import location_of
from vidcaption.batch.captioners import Captioners
from vidcaption.batch.delivery import Delivery
from vidcaption.batch.inputs import select, spooled
from vidcaption.batch.manifest import Manifest
from vidcaption.batch.plan import Books, Job, Plan
from vidcaption.batch.runner import Executor, Outcome, Runner, Watcher, in_process
from vidcaption.errors import OutputError
from vidcaption.events import event
from vidcaption.model.manifest import read_config
from vidcaption.options.batch import BatchOptions
from vidcaption.options.captioning import CaptionOptions, MachineOptions
from vidcaption.options.output import OutputOptions
from vidcaption.output.write import check_some_writable
from vidcaption.store.mixture import Mixture, folders, sha256_of
from vidcaption.store.settings import check_network

logger = logging.getLogger(__name__)

Keep = Callable[[Outcome], None]


class Batch:
    """The inputs of one run, and where their captions go. Use it in a ``with`` block.

    ``plans``: what is to be done for each, by the latest call of ``plan``. ``incomplete``: whether
    a row of the manifest, or what ``keep`` does, could not be written. ``offline``: never use the
    network.

    Raises UsageError or OutputError for what cannot be met, before any work.
    """

    incomplete = False

    def __init__(
        self,
        inputs: Sequence[str],
        output: OutputOptions,
        options: BatchOptions,
        *,
        offline: bool = False,
    ) -> None:
        self._options = options
        for place in (output.folder, location_of(output.place or "-")):
            check_network(place or Path(), offline=offline)
        self.selection = select(inputs, options, offline=offline)
        self.delivery = Delivery(output, self.selection)
        self.plans: list[tuple[Job, Plan]] = []
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def plan(self, model: Path | Mixture, options: CaptionOptions) -> list[tuple[Job, Plan]]:
        """Decide what is to be done for each input with the model in this folder, or with those in
        several.

        Raises ModelError, UsageError, OutputError.
        """
        self._model = model
        (first, _), *_ = folders(model)
        options = options.of_model(read_config(first).frames)
        self._books = Books(sha256_of(model), options, force=self._options.force)
        spool = self.selection.piped and not self._options.dry_run
        source = self._closing.enter_context(spooled()) if spool else None
        jobs = [self.delivery.job(path, source) for path in self.selection.chosen]
        self.delivery.check(self._books, self._options.manifest)
        self.plans = [(job, self._books.plan(job)) for job in jobs]
        return self.plans

    def start(
        self,
        machine: MachineOptions,
        watcher: Watcher,
        put: Callable[[str], None],
        keep: Keep | None = None,
        execute: Executor = in_process,
    ) -> Callable[[], None]:
        """Prepare, and return what captions and delivers when it is called.

        ``put`` writes to standard output, ``keep`` is given each outcome. Raises OutputError,
        UsageError, ModelError, DeviceError and SetupError for what would stop every input.
        """
        if all(plan.needed for _, plan in self.plans):
            check_some_writable(file for _, plan in self.plans for file in plan.todo.values())
        keeping: dict[str, Keep] = {"index": keep} if keep else {}
        if self._options.manifest:
            keeping["error"] = Manifest(self._options.manifest, self._books.model_sha256).add
        captioners = self._closing.enter_context(Captioners(self._model, machine, self._options))
        runner = Runner(captioners, self._books, self._options.retries)
        if not any(plan.needed for _, plan in self.plans):
            execute = Runner.run  # which need not load or start anything
        outcomes = execute(runner, [job for job, _ in self.plans], watcher)
        return lambda: self.delivery.deliver(self._kept(outcomes, keeping), self._books, put)

    def _kept(self, outcomes: Iterable[Outcome], keeping: dict[str, Keep]) -> Iterator[Outcome]:
        for outcome in outcomes:
            for name, keep in keeping.items():
                try:
                    keep(outcome)
                except OutputError as error:  # the captions matter more
                    self.incomplete = True
                    logger.error(str(error), extra=event(name, path=outcome.job.path))
            yield outcome
            if self._options.fail_fast and outcome.status == "failed":
                return
