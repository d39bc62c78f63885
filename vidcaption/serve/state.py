"""What all requests share, and how a job is described to clients."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vidcaption.options.output import OutputOptions
from vidcaption.options.serve import ServeOptions
from vidcaption.serve.feed import Feed
from vidcaption.serve.jobs import Job, Jobs
from vidcaption.serve.library import Library
from vidcaption.serve.place import Place
from vidcaption.serve.player import Player
from vidcaption.serve.worker import Worker

SHOWN = 200  # jobs in a list


@dataclass(eq=False)
class State:
    """``uploading``: the sizes that clients promised for the uploads at this time."""

    options: ServeOptions
    jobs: Jobs
    place: Place
    library: Library
    feed: Feed
    worker: Worker
    player: Player
    uploading: dict[str, int] = field(default_factory=dict)

    def describe(self, job: Job) -> dict[str, Any]:
        """A job as JSON: see ``openapi.py``."""
        running = self.worker.running
        segments, progress = [], 1.0 if job.status == "done" else None
        if running is not None and running.job.id == job.id and job.status == "running":
            segments, progress = running.segments, running.progress
        queued = job.status == "queued"
        done = job.status == "done"
        return {
            "id": job.id,
            "name": job.name,
            "status": job.status,
            "position": self.jobs.waiting(job.number) if queued else None,
            "progress": None if progress is None else round(progress, 3),
            "captions": job.captions if done else len(segments),
            "latest": segments[-1].text if segments else None,
            "duration": job.duration_s,
            "created": _iso(job.created),
            "started": _iso(job.started),
            "finished": _iso(job.finished),
            "error": job.error,
            "callback_error": job.callback_error,
            "links": self._links(job),
        }

    def snapshot(self) -> dict[str, dict[str, Any]]:
        """The newest jobs by id, in the order of their arrival."""
        return {job.id: self.describe(job) for job in reversed(self.jobs.latest(SHOWN))}

    def link_to(self, path: Path) -> tuple[str, str] | None:
        """The name and the page of a video; None if it is none of this server's."""
        job = self.jobs.done_for(path)
        if job is not None:
            return job.name, f"/captions/{job.id}"
        file = self.library.named(path)
        return (file.name, f"/v1/files/{file.id}") if file is not None else None

    def _links(self, job: Job) -> dict[str, Any]:
        own = f"/v1/captions/{quote(job.id)}"
        links: dict[str, Any] = {"self": own, "events": f"{own}/events"}
        if job.status in ("queued", "running", "done"):
            links["video"] = f"{own}/video"
        if job.status == "done":
            links["page"] = f"/captions/{job.id}"
            links["results"] = {
                format: f"{own}/result.{format}" for format in OutputOptions.known_formats()
            }
        return links


def _iso(time_s: float | None) -> str | None:
    if time_s is None:
        return None
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds")
