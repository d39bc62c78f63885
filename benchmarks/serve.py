"""What a server loses when many clients use it while it is killed again and again: prints JSON.

    python benchmarks/serve.py --clients 50 --uploads 3 --kills 2 > result.json

Starts ``vidcaption serve`` and clients that send it clips of a second each, all at once. Every
fifth upload is slow, and as many more are broken off in the middle. The server is killed (SIGKILL)
when it has accepted as many uploads as was drawn by chance, and started again; clients try again
until they are answered. In the end every accepted job must be done, with the
captions that the same clip gets without a server. The exit code is 1 if anything is not as it must
be.
"""

import argparse
import json
import os
import platform
import random
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import httpx2
from soak import write_clip

from vidcaption import Captioner

CLIPS = 8  # different ones
EVERY = 5  # upload is slow
SLOW_S = 3.0
MUST_BE_NONE = ("lost", "failed", "different", "folders_left")
OPTIONS = {"beam": "1", "frames": "2"}


class Server:
    """``vidcaption serve``, started again at the same address whenever it was killed."""

    def __init__(self, home: Path, model: str | None) -> None:
        self.data = home / "data"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", "vidcaption", "serve", "--data", str(self.data)]
        self._command += ["--port", str(self.port), "--queue", "10000", "--uploads", "100"]
        self._command += ["--precision", "fp32", "-q", *(["--model", model] if model else [])]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command)
        with httpx2.Client(base_url=self.address, trust_env=False) as client:
            while self._process.poll() is None:
                try:
                    client.get("/v1/health")
                    return
                except httpx2.TransportError:
                    time.sleep(0.1)
        raise SystemExit("the server has ended")

    def end(self, number: int) -> None:
        self._process.send_signal(number)
        self._process.wait()

    def jobs(self) -> dict[str, str]:
        """The status of each job."""
        with sqlite3.connect(self.data / "jobs.sqlite") as db:
            return dict(db.execute("SELECT id, status FROM jobs"))


class Clients:
    """What all clients were told: the clip of each job, and how long each answer took."""

    def __init__(self, server: Server, clips: list[bytes]) -> None:
        self._server, self._clips = server, clips
        self._lock = Lock()
        self.told: dict[str, int] = {}
        self.seconds: list[float] = []
        self.tries = self.broken_off = 0

    def use(self, client: int, uploads: int) -> None:
        with httpx2.Client(base_url=self._server.address, trust_env=False, timeout=60) as http:
            for number in range(client * uploads, (client + 1) * uploads):
                clip = number % len(self._clips)
                if number % EVERY == 0:
                    self._break_off(self._clips[clip])
                self._send(http, clip, slow=number % EVERY == 1)

    def _send(self, http: httpx2.Client, clip: int, *, slow: bool) -> None:
        while True:
            began_s = time.monotonic()
            data = self._clips[clip]
            try:
                answer = http.post(
                    "/v1/captions", params=OPTIONS, content=slowly(data) if slow else data
                )
                accepted = answer.status_code == 202
            except httpx2.TransportError:  # it was killed
                accepted = False
            with self._lock:
                self.tries += 1
                if accepted:
                    self.told[answer.json()["id"]] = clip
                    if not slow:
                        self.seconds.append(time.monotonic() - began_s)
                    return
            time.sleep(0.2)

    def _break_off(self, data: bytes) -> None:
        head = (
            f"POST /v1/captions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        try:
            with socket.create_connection(("127.0.0.1", self._server.port)) as sent:
                sent.sendall(head.encode() + data[: len(data) // 2])
        except OSError:
            return
        with self._lock:
            self.broken_off += 1


def slowly(data: bytes) -> Iterator[bytes]:
    for part in range(10):
        time.sleep(SLOW_S / 10)
        yield data[part * len(data) // 10 : (part + 1) * len(data) // 10]


def load(home: Path, model: str | None, asked: argparse.Namespace) -> dict[str, Any]:
    chance = random.Random(asked.seed)
    paths = [home / f"{number}.mp4" for number in range(CLIPS)]
    for path in paths:
        write_clip(path, chance)
    captioner = Captioner.from_pretrained(model, precision="fp32")
    expected = [captioner.caption(path, beam=1, frames=2).to_srt() for path in paths]
    server = Server(home, model)
    clients = Clients(server, [path.read_bytes() for path in paths])
    count, began_s = asked.clients * asked.uploads, time.monotonic()
    limits = sorted(chance.sample(range(1, count), asked.kills))
    with ThreadPoolExecutor(asked.clients) as threads:
        at_work = [threads.submit(clients.use, i, asked.uploads) for i in range(asked.clients)]
        for limit in limits:
            while len(clients.told) < limit:
                time.sleep(0.05)
            server.end(signal.SIGKILL)
            server.start()
        for each in at_work:
            each.result()
    while not {"queued", "running"}.isdisjoint(server.jobs().values()):
        time.sleep(0.1)
    seconds = time.monotonic() - began_s
    jobs = server.jobs()
    with httpx2.Client(base_url=server.address, trust_env=False, timeout=60) as http:
        results = {id: http.get(f"/v1/captions/{id}/result.srt").text for id in clients.told}
    server.end(signal.SIGTERM)
    folders = {path.name for path in (server.data / "jobs").iterdir()}
    return {
        "clients": asked.clients,
        "uploads": count,
        "broken_off": clients.broken_off,
        "slow": sum(number % EVERY == 1 for number in range(count)),
        "kills": asked.kills,
        "tries": clients.tries,
        "told": len(clients.told),
        "jobs": len(jobs),
        "lost": len(clients.told.keys() - jobs.keys()),
        "failed": sum(status != "done" for status in jobs.values()),
        "different": sum(expected[clip] != results[id] for id, clip in clients.told.items()),
        "folders_left": len(folders - jobs.keys()),
        "seconds": round(seconds, 1),
        "answered_in_s": {
            "median": round(statistics.median(clients.seconds), 3),
            "slowest": round(max(clients.seconds), 3),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--uploads", type=int, default=3, help="of each client")
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", help="the embedded one unless given")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        report = load(Path(home), asked.model, asked)
    machine = {"cores": os.cpu_count(), "system": platform.platform()}
    print(json.dumps(report | {"machine": machine}, indent=2))
    sys.exit(any(report[name] for name in MUST_BE_NONE) or report["told"] != report["uploads"])


if __name__ == "__main__":
    main()
