"""Uploads that are too large, too slow or broken off, and names of all kinds."""

import asyncio
import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import Served, send, until_over
from starlette.requests import Request

from vidcaption.output.text import printable
from vidcaption.serve import uploads
from vidcaption.serve.uploads import UploadError, display_name, take


@given(st.text())
def test_names_are_one_line_without_folders(text: str) -> None:
    name = display_name(text)
    assert name and "/" not in name and len(name) <= 150 and name == printable(name)


def test_names_are_kept_where_they_can_be() -> None:
    assert display_name("My film (1).mp4") == "My film (1).mp4"
    assert display_name("C:\\films\\a.mp4") == display_name("../../a.mp4") == "a.mp4"
    assert display_name("") == display_name("///") == "video"


def test_names_do_not_become_paths(served: Served, clip: Path) -> None:
    with served.started() as client:
        for name in ("../../../etc/passwd", "a/b.mp4", "nul\0", "." * 300, "<script>.mp4"):
            job = until_over(client, send(client, clip.read_bytes(), name=name))
            assert job["status"] == "done"
            assert {file.split("/")[-1] for file in served.files()} == {"video", "captions.json"}
            answer = client.get(f"{job['links']['self']}/result.srt")
            assert "\n" not in answer.headers["content-disposition"]
            client.delete(job["links"]["self"])


def test_size(served: Served, clip: Path) -> None:
    data = clip.read_bytes()
    with served.started(upload_mb=len(data) / 1e6) as client:
        assert send(client, data)
        for body in (data + b"x", iter([data, b"x"])):  # whose length is told before, or not
            answer = client.post("/v1/captions", content=body)
            assert answer.status_code == 413 and "too large" in answer.json()["error"]
        jobs = client.get("/v1/captions").json()["jobs"]
        until_over(client, jobs[0])
        assert {file.split("/")[0] for file in served.files()} == {job["id"] for job in jobs}
        assert len(jobs) == 1


def test_queue(served: Served, clip: Path, long_clip: Path) -> None:
    with served.started(queue=1) as client:
        running = send(client, long_clip.read_bytes(), stride="0.1")
        until_over(client, running, "running")
        send(client, clip.read_bytes())
        full = client.post("/v1/captions", content=clip.read_bytes())
        assert full.status_code == 503 and "no more may" in full.json()["error"]
        assert int(full.headers["retry-after"]) > 0


def test_storage(served: Served, clip: Path) -> None:
    data = clip.read_bytes()
    with served.started(storage_mb=1.5 * len(data) / 1e6) as client:
        job = until_over(client, send(client, data))
        for body in (data, iter([data])):
            full = client.post("/v1/captions", content=body)
            assert full.status_code == 507 and "there is no room" in full.json()["error"]
        client.delete(job["links"]["self"])
        assert send(client, data)


def request_of(*chunks: bytes | float | str, length: int | None = None) -> Request:
    """One whose body comes in chunks, with pauses in seconds, and an end by "broken off"."""
    left = list(chunks)

    async def receive() -> dict[str, Any]:
        while left:
            chunk = left.pop(0)
            if isinstance(chunk, bytes):
                return {"type": "http.request", "body": chunk, "more_body": True}
            if chunk == "broken off":
                return {"type": "http.disconnect"}
            await asyncio.sleep(float(chunk))
        return {"type": "http.request", "body": b"", "more_body": False}

    headers = [(b"content-length", str(length).encode())] if length is not None else []
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


def test_pieces_arrive_whole(tmp_path: Path) -> None:
    parts = [bytes([i % 256]) * (i * 997 % 300_000) for i in range(40)]
    size = asyncio.run(take(request_of(*parts), tmp_path / "x", 10**9, 60))
    assert (tmp_path / "x").read_bytes() == b"".join(parts) and size == sum(map(len, parts))


@pytest.mark.parametrize(
    ("chunks", "status", "told"),
    [
        ((b"a", 5.0, b"b"), 408, "it took over 0.3 s"),
        ((b"a", 0.1, b"b", 0.1, b"c", 0.1, b"d", 0.1, b"e"), 408, "it took over 0.3 s"),
        ((b"a", "broken off"), 400, "broken off"),
        ((), 400, "no body"),
    ],
)
def test_what_is_not_taken(tmp_path: Path, chunks: tuple[Any, ...], status: int, told: str) -> None:
    with pytest.raises(UploadError, match=told) as raised:
        asyncio.run(take(request_of(*chunks), tmp_path / "x", 100, 0.3))
    assert raised.value.status == status


def test_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "IDLE_S", 0.05)
    with pytest.raises(UploadError, match=r"0\.05 s without data"):
        asyncio.run(take(request_of(b"a", 5.0, b"b"), tmp_path / "x", 100, 60))


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.write", write)
    with pytest.raises(UploadError, match="cannot be kept: No space left") as raised:
        asyncio.run(take(request_of(b"a"), tmp_path / "x", 100, 60))
    assert raised.value.status == 507


def test_lingering_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "LINGER_S", 0.1)
    for chunks in ((b"a", 60.0), (b"a", "broken off"), (b"a" * 10,) * 1000):
        monkeypatch.setattr(uploads, "LINGER_BYTES", 100)
        asyncio.run(uploads.linger(request_of(*chunks)))
