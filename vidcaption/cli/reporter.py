"""The messages of commands while they caption inputs."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import timedelta

from vidcaption.batch import Delivery, Job, Opened, Outcome, Plan, Watcher
from vidcaption.batch.plan import in_the_way
from vidcaption.cli.console import INTERRUPTED, make_bar, put
from vidcaption.errors import VidcaptionError
from vidcaption.events import VERBOSE, event
from vidcaption.options.output import LogOptions
from vidcaption.output.formats import readable_line
from vidcaption.output.text import counted, one_line, printable
from vidcaption.types import Segment

logger = logging.getLogger(__name__)

MISSING_S = 1.0  # containers are often inaccurate by less


class Reporter(Watcher):
    """The live view, readable lines, and a message for each input.

    ``count``: the number of inputs. ``delivery``: where captions go, if not into an index.
    """

    def __init__(self, voice: LogOptions, count: int, delivery: Delivery | None = None) -> None:
        self._lines = delivery is not None and delivery.lines
        self._headed = delivery is not None and delivery.several  # each input has a head line
        self._resumable = delivery is None or bool(delivery.targets)
        self._count = count
        self._bar = make_bar(voice, lines_on_stdout=self._lines)
        if self._bar is not None:
            self._bar.headline = self._headline if count > 1 else self._position
        self._captioning: Opened | None = None  # opened last
        self._at: Job | None = None  # its job, until the outcome
        self._said_waiting = False
        self._began_s = self._opened_s = time.monotonic()
        self._worked_s = self._seen_s = 0.0  # of work, and of video captioned
        self._became: Counter[str] = Counter()

    def see_through(self, work: Callable[[], None]) -> int:
        """Do the work, with the live view if enabled, and sum up. Returns the exit code."""
        self._began_s = time.monotonic()
        try:
            with self._bar or nullcontext():
                work()
        except KeyboardInterrupt:
            self._sum_up(interrupted=True)
            return INTERRUPTED
        self._sum_up()
        return 1 if self._became["failed"] else 0

    def opened(self, job: Job, captioning: Opened) -> None:
        info = captioning.info
        first, self._captioning, self._at = self._captioning is None, captioning, job
        self._opened_s = time.monotonic()
        if self._bar is not None:
            start_s, end_s = captioning.options.start_s, captioning.options.end_s
            ends_s = [each for each in (end_s, info.duration_s) if each is not None]
            self._bar.begin(
                job.path.name,
                max(0, min(ends_s) - start_s) if ends_s else None,
                lambda: captioning.progress_s - start_s,
            )
        facts = [info.codec, f"{info.width}x{info.height}"]
        facts += [f"{info.fps:.2f} frames/s"] if info.fps is not None else []
        facts += [f"{info.duration_s:.1f} s"] if info.duration_s is not None else []
        logger.log(VERBOSE, f"{job.path}: {', '.join(facts)}", extra=event("opened", path=job.path))
        if captioning.kept_s:
            logger.info(
                f"{job.path}: continues at {captioning.kept_s:.1f} s, where a run was interrupted",
                extra=event("resumed", path=job.path, at_s=captioning.kept_s),
            )
        if self._lines and self._headed:
            put(("" if first else "\n") + printable(str(job.path)) + ":\n")

    def captioned(self, segment: Segment) -> None:
        if self._lines and self._captioning is not None and not segment.below_min_confidence:
            still = self._captioning.info.duration_s is None  # without meaningful times
            put((one_line(segment.text) if still else readable_line(segment)) + "\n")

    def retrying(self, job: Job, error: VidcaptionError, wait_s: float) -> None:
        message = f"{error}; trying again in {wait_s:g} s"
        logger.info(message, extra=event("retry", path=job.path, wait_s=wait_s))

    def waiting(self, jobs: Sequence[Job]) -> None:
        if not self._said_waiting:
            names = ", ".join(str(job.path) for job in jobs[:3]) + (", ..." if jobs[3:] else "")
            message = f"waiting for another run that is captioning {names}"
            paths = [str(job.path) for job in jobs]
            logger.info(message, extra=event("waiting", paths=paths))
        self._said_waiting = True

    def _sum_up(self, *, interrupted: bool = False) -> None:
        """Print how many inputs were captioned, skipped and failed, and how many are left."""
        if self._count < 2 and not interrupted:
            return
        facts = {status: self._became[status] for status in ("captioned", "done", "kept", "failed")}
        facts["left"] = self._left
        names = {"done": "done before"}
        parts = [f"{facts['captioned']} captioned"]
        parts += [
            f"{number} {names.get(status, status)}"
            for status, number in facts.items()
            if number and status != "captioned"
        ]
        seconds = time.monotonic() - self._began_s
        text = f"{', '.join(parts)}, in {seconds:.1f} s"
        if interrupted:
            text = f"interrupted: {text}{self._going_on() if self._resumable else ''}"
        name = "interrupted" if interrupted else "summary"
        logger.info(text, extra=event(name, **facts, seconds=round(seconds, 3)))

    def _going_on(self) -> str:
        """Where the same command will continue."""
        text = "; the same command continues"
        if self._at is None or self._captioning is None:
            return text
        if kept_s := self._captioning.kept_s:
            return f"{text} at {kept_s:.1f} s of {self._at.path}"
        return f"{text} at the start of {self._at.path}"

    @property
    def _left(self) -> int:
        return self._count - self._became.total()

    def ended(self, outcome: Outcome) -> None:
        self._became[outcome.status] += 1
        job, captions, self._at = outcome.job, outcome.captions, None
        facts = {"path": job.path, "seconds": round(outcome.elapsed_s, 3)}
        if outcome.error is not None:
            kind = type(outcome.error).__name__
            logger.error(outcome.reason, extra=event("failed", error_class=kind, **facts))
        for path in outcome.kept:
            message = f"{in_the_way(path)}; --force replaces it"
            logger.info(message, extra=event("kept", **facts, output=path))
        if outcome.status == "done":
            message = f"{job.path} is done; --force captions it again"
            level = logging.INFO if self._count == 1 else VERBOSE
            logger.log(level, message, extra=event("done", **facts))
        if captions is None or (statistics := outcome.statistics) is None:
            return
        self._worked_s += outcome.elapsed_s
        self._seen_s += statistics.captioned_s
        if captions.corrupt:
            broken = counted(captions.corrupt, "broken packet")
            logger.info(f"{job.path}: {broken} skipped", extra=event("broken", **facts))
        if (missing_s := statistics.missing_s) > MISSING_S:
            logger.info(
                f"{job.path}: the last {missing_s:.1f} s are missing; it may be cut off",
                extra=event("cut_off", **facts),
            )
        frames, encoded = statistics.frames, statistics.encoded
        logger.log(
            VERBOSE,
            f"{job.path}: {frames - encoded} of {frames} frames reuse features",
            extra=event("reused", path=job.path, frames=frames, encoded=encoded),
        )
        spent = ", ".join(f"{name} {s:.2f} s" for name, s in statistics.seconds.items())
        timing = event("timing", **facts, spent=statistics.seconds)
        logger.debug(f"{job.path}: {spent}", extra=timing)
        if outcome.error is None and outcome.written:
            written = ", ".join(map(str, outcome.written))
            outputs = [str(path) for path in outcome.written]
            logger.info(
                f"{job.path} -> {written} ({outcome.elapsed_s:.1f} s)",
                extra=event("captioned", outputs=outputs, **facts),
            )
        elif outcome.error is None:
            logger.debug(f"{job.path} is captioned", extra=event("captioned", **facts))

    def _position(self) -> str:
        """Position and speed in the only video."""
        if self._captioning is None:
            return ""
        progress_s, duration_s = self._captioning.progress_s, self._captioning.info.duration_s
        seen_s = progress_s - self._captioning.resumed_s
        text = str(timedelta(seconds=round(progress_s)))
        text += f" of {timedelta(seconds=round(duration_s))}" if duration_s is not None else ""
        speed = seen_s / max(time.monotonic() - self._opened_s, 1e-3)
        return f"{text}, {speed:.1f} x real time" if seen_s else text

    def _headline(self) -> str:
        """Files, speed and the estimated remaining time."""
        worked = self._became["captioned"] + self._became["failed"]
        text = f"{self._became.total()} of {self._count} files, {self._left} left"
        text += f", {self._became['failed']} failed" if self._became["failed"] else ""
        if self._seen_s and self._worked_s:
            text += f", {self._seen_s / self._worked_s:.1f} x real time"
        if worked:
            left_s = (time.monotonic() - self._began_s) / worked * self._left
            text += f", {timedelta(seconds=round(left_s))} to go"
        return text


def described(job: Job, plan: Plan) -> str:
    """What would be done for an input, in a line that is safe to print."""
    notes = [in_the_way(path) for path in plan.kept]
    if not plan.needed:
        return printable(": ".join([f"{'keep' if plan.kept else 'done'}  {job.path}", *notes]))
    where = f" -> {', '.join(map(str, plan.todo.values()))}" if plan.todo else ""
    if plan.replaced:
        notes.append(f"replaces {', '.join(map(str, plan.replaced))}")
    return printable(f"run   {job.path}{where}" + (f" ({'; '.join(notes)})" if notes else ""))
