"""The command, as a process: real connections, kills and restarts."""

import json
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from servers import QUICK, Process, send, until, until_over

from vidcaption.batch.parts import Parts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX signals are sent"),
]


def follow(client: httpx2.Client, address: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Server-sent events as they come."""
    with client.stream("GET", address) as answer:
        name = ""
        for line in answer.iter_lines():
            kind, _, value = line.partition(": ")
            if kind == "event":
                name = value
            elif kind == "data":
                yield name, json.loads(value)


def test_nothing_is_lost_by_kills(tiny: Path, tmp_path: Path, long_clip: Path) -> None:
    """Each window that anyone was told of is there after a kill, and the result is the same."""
    data = tmp_path / "data"
    options = {"stride": "0.5", "merge": "false"}
    told: dict[float, str] = {}
    for kill in range(2):
        with Process(tiny, data) as server:
            if not kill:
                job = send(server.client, long_clip.read_bytes(), **options)
                waiting = send(server.client, long_clip.read_bytes(), name="second", **options)
            assert server.client.get(job["links"]["self"]).json()["status"] in ("queued", "running")
            heard = 0
            for name, event in follow(server.client, job["links"]["events"]):
                if name == "caption":
                    assert told.setdefault(event["start"], event["text"]) == event["text"]
                    heard += 1
                if heard > 40 * (kill + 1):
                    break
            assert server.end(signal.SIGKILL)[0] == -signal.SIGKILL
        assert set(told) <= kept(data, job["id"])
    with Process(tiny, data) as server:
        until_over(server.client, job)
        result = server.client.get(f"{job['links']['self']}/result.json").json()["segments"]
        assert told.items() <= {each["start"]: each["text"] for each in result}.items()
        until_over(server.client, waiting)
        other = server.client.get(f"{waiting['links']['self']}/result.json").json()["segments"]
        assert result == other and len(result) > 200  # which nothing has interrupted
        count = f"{len(result)} captions"
        assert server.end() == (130, [f"video: {count}", f"second: {count}"])


def kept(data: Path, id: str) -> set[float]:
    """When windows begin that are on disk."""
    parts = Parts(data / "jobs" / id / "captions.json")
    parts.fingerprint("captions")  # which reads what there is
    ((name, fingerprint),) = parts._unfinished
    segments = parts.progress(name, fingerprint).segments
    return {round(segment.start_s, 3) for segment in segments if segment}


def test_a_page_follows_all_jobs(tiny: Path, tmp_path: Path, clip: Path) -> None:
    with Process(tiny, tmp_path / "data") as server:
        events = follow(server.client, "/v1/events")
        assert next(events) == ("all", {"jobs": 0})
        with httpx2.Client(base_url=server.address, trust_env=False) as other:
            job = send(other, clip.read_bytes(), name="a.mp4")
            seen = [next(events)]
            while seen[-1][1]["status"] != "done":
                seen.append(next(events))
            assert all(name == "job" and event["id"] == job["id"] for name, event in seen)
            other.delete(job["links"]["self"])
            assert next(events) == ("gone", {"id": job["id"]})
        # an open stream does not keep the server from ending
        began_s = time.monotonic()
        code, said = server.end(signal.SIGINT)
        assert code == 130 and said == [f"a.mp4: {seen[-1][1]['captions']} captions"]
        assert time.monotonic() - began_s < 30
        with pytest.raises((StopIteration, httpx2.HTTPError)):
            next(events)


def test_broken_and_slow_uploads(tiny: Path, tmp_path: Path, clip: Path) -> None:
    data = tmp_path / "data"
    with Process(tiny, data, "--upload-timeout", "1", "--upload-mb", "0.001") as server:
        begin(server, 1000).close()  # broken off
        with begin(server, 1000) as slow:
            assert slow.recv(1000).startswith(b"HTTP/1.1 408")
        # who sends too much is heard out, to hear why it was refused
        answer = server.client.post("/v1/captions", params=QUICK, content=b"x" * 20_000_000)
        assert answer.status_code == 413
        until(lambda: not list((data / "jobs").iterdir()))
        with begin(server, 1000):  # and is killed meanwhile
            until(lambda: list((data / "jobs").iterdir()))
            server.end(signal.SIGKILL)
    with Process(tiny, data) as server:
        assert not list((data / "jobs").iterdir())
        assert server.client.get("/v1/captions").json() == {"jobs": []}
        with begin(server, 1000):
            until(lambda: list((data / "jobs").iterdir()))
            assert server.end() == (130, [])
        assert not list((data / "jobs").iterdir())


def begin(server: Process, length: int) -> socket.socket:
    """An upload of which the first 100 bytes are sent."""
    host, port = server.address.removeprefix("http://").split(":")
    sent = socket.create_connection((host, int(port)))
    head = f"POST /v1/captions HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n"
    sent.sendall(head.encode() + b"x" * 100)
    return sent


def test_many_clients(tiny: Path, tmp_path: Path, clip: Path) -> None:
    with Process(tiny, tmp_path / "data") as server:

        def use(_: int) -> str:
            with httpx2.Client(base_url=server.address, trust_env=False, timeout=60) as client:
                return str(until_over(client, send(client, clip.read_bytes()))["id"])

        with ThreadPoolExecutor(8) as threads:
            ids = set(threads.map(use, range(8)))
        jobs = server.client.get("/v1/captions").json()["jobs"]
        assert {job["id"] for job in jobs} == ids and len(ids) == 8
        assert {job["status"] for job in jobs} == {"done"}
