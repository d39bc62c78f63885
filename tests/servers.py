"""A server with a tiny model: in this process, or as the command in one of its own."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import httpx2
from starlette.testclient import TestClient

from vidcaption import Captioner
from vidcaption.find.index import Recipe
from vidcaption.options.captioning import CaptionOptions
from vidcaption.options.serve import ServeOptions
from vidcaption.serve.app import build
from vidcaption.serve.place import Place

LOCAL = "http://127.0.0.1:8765"
QUICK = {"beam": "1", "frames": "1", "max-words": "6", "window": "1"}


class Served:
    """A server in this process, which can be started again at the same place."""

    def __init__(self, captioner: Captioner, root: Path, folders: list[Path]) -> None:
        self.captioner, self.folders = captioner, folders
        self.place = Place(root, root / "index.sqlite")
        self.options = ServeOptions()

    @contextmanager
    def started(
        self, *, headers: dict[str, str] | None = None, **options: Any
    ) -> Iterator[TestClient]:
        recipe = Recipe(None, self.captioner.model.sha256, CaptionOptions())
        asked = replace(self.options, **options)
        with self.place.locked():
            app, _ = build(asked, self.place, self.folders, self.captioner, recipe)
            with TestClient(app, base_url=LOCAL, follow_redirects=False) as client:
                yield client

    def files(self) -> set[str]:
        """What lies in the folders of jobs."""
        below = self.place.uploads
        return {path.relative_to(below).as_posix() for path in below.rglob("*") if path.is_file()}


def send(client: Any, data: bytes, status: int = 202, **parameters: str) -> dict[str, Any]:
    """Upload a video; the answer."""
    answer = client.post("/v1/captions", params=QUICK | parameters, content=data)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def until_over(client: Any, job: dict[str, Any], *wanted: str) -> dict[str, Any]:
    """A job when it is over, or in one of the states ``wanted``."""
    deadline_s = time.monotonic() + 60
    while True:
        now: dict[str, Any] = client.get(job["links"]["self"]).json()
        if now["status"] in (wanted or ("done", "failed", "cancelled")):
            return now
        assert time.monotonic() < deadline_s, now
        time.sleep(0.02)


def until(happens: Callable[[], object]) -> None:
    """Wait for it to be true."""
    deadline_s = time.monotonic() + 60
    while not happens():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


class Process:
    """``vidcaption serve`` in a process of its own, inside the context, and a client of it."""

    def __init__(self, tiny: Path, data: Path, *args: str) -> None:
        command = [sys.executable, "-m", "vidcaption", "serve", "--model", str(tiny), "--port", "0"]
        command += ["--data", str(data), "--precision", "fp32", "--log-json", *args]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        self.address = json.loads(line)["text"].removeprefix("listening at ").rstrip("/")
        self.client = httpx2.Client(base_url=self.address, timeout=60, trust_env=False)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.process.kill()
        self.process.communicate()

    def end(self, number: int = signal.SIGTERM) -> tuple[int, list[str]]:
        """Its exit code, and what it said since it listened."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, [json.loads(line)["text"] for line in err.splitlines()]
