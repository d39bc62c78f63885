"""Servers on the loopback: an S3 store, and one before it, or before files, that misbehaves."""

import http.client
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self

import fsspec
import pytest

from vidcaption import remote

BUCKET = "videos"
EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The token has expired.</Message></Error>"
_HOP = {"connection", "transfer-encoding", "content-length", "server", "date"}


@dataclass
class Proxy:
    """A server that passes requests on, or answers files, until a fault is set.

    ``ranges``: whether it sends them, or None if it also says that it does not.

    ``fault``: called with the method and path of each request; its answer is ``"cut"`` (the
    connection breaks in the middle of the body), ``"slow"``, a status, or None for no fault.
    ``sent``: bytes of bodies; ``asked``: methods and paths.
    """

    target: str | None = None
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # media type and content
    ranges: bool | None = True
    fault: Callable[[str, str], str | int | None] = lambda *_: None
    sent: int = 0
    asked: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def answer(self) -> None:
                proxy.answer(self)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        self.asked.append(f"{request.command} {request.path}")
        fault = self.fault(request.command, request.path)
        if fault == "slow":
            time.sleep(0.2)
        if isinstance(fault, int):
            status, headers, data = fault, {}, EXPIRED if fault == 400 else b""
        else:
            status, headers, data = (self._passed if self.target else self._file)(request, body)
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        if "Content-Length" not in headers:
            request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        if request.command != "HEAD":
            if fault == "cut":
                data = data[: len(data) // 2]
                request.close_connection = True
            request.wfile.write(data)
            self.sent += len(data)

    def _passed(
        self, request: BaseHTTPRequestHandler, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        assert self.target is not None
        connection = http.client.HTTPConnection(self.target.removeprefix("http://"))
        connection.request(request.command, request.path, body, dict(request.headers))
        response = connection.getresponse()
        data = response.read()
        kept = {k: v for k, v in response.getheaders() if k.lower() not in _HOP}
        if request.command == "HEAD":
            kept["Content-Length"] = response.getheader("Content-Length") or "0"
        connection.close()
        return response.status, kept, data

    def _file(self, request: BaseHTTPRequestHandler, _: bytes) -> tuple[int, dict[str, str], bytes]:
        found = self.files.get(request.path.partition("?")[0])
        if found is None:
            return 404, {}, b""
        kind, data = found
        headers = {"Content-Type": kind, "ETag": f'"{len(data)}"'}
        if self.ranges is None:
            headers["Accept-Ranges"] = "none"
        asked = request.headers.get("Range")
        if not self.ranges or asked is None:
            return 200, headers | {"Content-Length": str(len(data))}, data
        first, _, last = asked.removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last) + 1]
        headers["Content-Range"] = f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"
        return 206, headers, part


class Store:
    """A bucket in an S3 server, and the proxy before it that programs are told to use."""

    def __init__(self, client: Any, proxy: Proxy) -> None:
        self._client, self.proxy = client, proxy

    def put(self, **files: bytes) -> None:
        for name, data in files.items():
            self._client.put_object(Bucket=BUCKET, Key=name, Body=data)

    def get(self, name: str) -> bytes:
        data: bytes = self._client.get_object(Bucket=BUCKET, Key=name)["Body"].read()
        return data

    def names(self) -> set[str]:
        """All objects, without those of records."""
        found = self._client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return {row["Key"] for row in found if "/." not in f"/{row['Key']}"}

    def clear(self) -> None:
        for row in self._client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
            self._client.delete_object(Bucket=BUCKET, Key=row["Key"])


_SETTINGS = {"aws_access_key_id": "AKIDSECRET", "aws_secret_access_key": "s3cr3t"}


@pytest.fixture(scope="session")
def s3() -> Iterator[Store]:
    """An S3 server with an empty bucket, behind a proxy."""
    import boto3  # which takes a second
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **_SETTINGS)
    client.create_bucket(Bucket=BUCKET)
    with Proxy(address) as proxy:
        yield Store(client, proxy)
    client.close()
    server.stop()


@pytest.fixture
def store(s3: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The bucket, empty, as this process and those that it starts find it."""
    for name, value in _SETTINGS.items():
        monkeypatch.setenv(name.upper(), value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.proxy.address)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setattr(remote, "WAITS_S", (0.0, 0.0, 0.0))
    fsspec.filesystem("s3").invalidate_cache()
    s3.proxy.asked.clear()
    s3.proxy.sent = 0
    yield s3
    s3.proxy.fault = lambda *_: None
    s3.clear()
