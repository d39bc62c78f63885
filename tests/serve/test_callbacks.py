"""Callbacks: that they arrive, and that they do not reach what is nobody's business."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from servers import Served, send, until, until_over

from vidcaption import UsageError
from vidcaption.serve import callbacks
from vidcaption.serve.callbacks import check_callback, is_public


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.216.34", "2606:2800:220:1::1", "2002:0808:0808::1"]
)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.5.4", "192.168.1.1", "169.254.169.254", "0.0.0.0",
        "100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fd00::1",
        "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1",
        "2001:db8::1",
    ],
)  # fmt: skip
def test_private_addresses(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "", "x", "//a.example/", "file:///etc/passwd", "gopher://a.example/", "http://",
        "http://user:secret@a.example/", "http://a.example:99999/", "http://[::1", "http://é.example/",
        "http://localhost/", "http://127.0.0.1:1/", "https://[::1]/", "http://169.254.169.254/x",
    ],
)  # fmt: skip
def test_callbacks_that_are_refused_at_once(address: str) -> None:
    with pytest.raises(UsageError, match="callback is"):
        check_callback(address, private=False)


def test_callbacks_that_are_taken() -> None:
    check_callback("https://a.example:8443/done?x=1", private=False)
    check_callback("http://localhost/", private=True)


@contextmanager
def receiver(*statuses: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address that answers with these statuses, the last one again and again."""
    heard: list[dict[str, Any]] = []
    left = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append({"path": self.path, "host": self.headers["Host"], **json.loads(body)})
            self.send_response(left.pop(0) if len(left) > 1 else left[0])
            self.send_header("Location", "http://127.0.0.1:9/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/done?job=1", heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "POLL_S", 0.05)
    monkeypatch.setattr("vidcaption.serve.jobs.RETRY_S", (0.05, 0.05))


def test_a_callback_is_made_once(served: Served, clip: Path) -> None:
    with receiver(200) as (address, heard), served.started(private_callbacks=True) as client:
        done = until_over(client, send(client, clip.read_bytes(), callback=address))
        failed = until_over(client, send(client, b"no video", callback=address))
        until(lambda: len(heard) == 2)
        assert [(each["id"], each["status"]) for each in heard] == [
            (done["id"], "done"), (failed["id"], "failed")
        ]  # fmt: skip
        assert heard[0]["path"] == "/done?job=1" and heard[0]["links"] == done["links"]
        assert heard[0]["host"] == address.split("/")[2]


def test_a_callback_is_tried_again(served: Served, clip: Path) -> None:
    with (
        receiver(500, 302, 200) as (address, heard),
        served.started(private_callbacks=True) as client,
    ):
        job = until_over(client, send(client, clip.read_bytes(), callback=address))
        until(lambda: len(heard) == 3)
        until(lambda: client.get(job["links"]["self"]).json()["callback_error"] is None)
    with receiver(404) as (address, heard), served.started(private_callbacks=True) as client:
        job = until_over(client, send(client, clip.read_bytes(), callback=address))
        until(lambda: len(heard) == 3)
        until(lambda: client.get(job["links"]["self"]).json()["callback_error"])
        told = client.get(job["links"]["self"]).json()
        assert told["status"] == "done" and "it answered 404" in told["callback_error"]


def test_a_callback_survives_a_restart(served: Served, clip: Path) -> None:
    with receiver(200) as (address, heard):
        with served.started(private_callbacks=True, queue=1) as client:
            send(client, clip.read_bytes(), callback=address)
        with served.started(private_callbacks=True):
            until(lambda: len(heard) == 1)
        assert heard[0]["status"] == "done"


def test_names_of_private_addresses(
    served: Served, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a name stands for is looked at when it is called."""
    monkeypatch.setattr(
        "socket.getaddrinfo",
        lambda host, port, **_: [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in ("8.8.8.8", "127.0.0.1")
        ],
    )
    with receiver(200) as (address, heard), served.started() as client:
        callback = address.replace("127.0.0.1", "a.example")
        job = until_over(client, send(client, clip.read_bytes(), callback=callback))
        until(lambda: client.get(job["links"]["self"]).json()["callback_error"])
        told = client.get(job["links"]["self"]).json()["callback_error"]
        assert told.startswith("a.example is at a private address") and not heard


def test_nobody_listens(served: Served, clip: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with served.started(private_callbacks=True) as client:
        callback = f"http://127.0.0.1:{port}/"
        job = until_over(client, send(client, clip.read_bytes(), callback=callback))
        until(lambda: client.get(job["links"]["self"]).json()["callback_error"])
        told = client.get(job["links"]["self"]).json()["callback_error"]
        assert told == "it cannot be reached: its server refuses the connection"
