"""Streams over loopback: bytes sent by a thread, or video made by PyAV in a process of its own."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import cast

import av
from clips import MILLISECOND, picture

STEP_S = 0.1  # between frames


@contextmanager
def served(*payloads: bytes, silent: bool = False) -> Iterator[str]:
    """The address of a TCP server that sends a payload to each client, and then hangs up.

    ``silent``: it stays connected instead.
    """
    held: list[socket.socket] = []

    def serve() -> None:
        for payload in payloads:
            client, _ = server.accept()
            held.append(client)
            with suppress(OSError):  # who has seen enough hangs up
                client.sendall(payload)
            if not silent:
                client.close()
        if not silent:
            server.close()

    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        threading.Thread(target=serve, daemon=True).start()
        yield address
        for client in held:
            client.close()


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def sent(address: str, seconds: float, times: int = 1) -> "Iterator[subprocess.Popen[bytes]]":
    """A process that sends video in real time, so many times in a row, each in a new connection."""
    command = [sys.executable, __file__, address, str(seconds), str(times)]
    with subprocess.Popen(command) as process:
        try:
            yield process
        finally:
            process.kill()


def send(address: str, seconds: float, *, paced: bool = True) -> None:
    """Send numbered pictures as an MPEG transport stream, with a key frame each second.

    ``paced``: in real time. Otherwise it also declares sound, of which there is none.
    """
    options = {"flush_packets": "1"} if paced else {}
    with av.open(address, "w", format="mpegts", options=options) as container:
        stream = cast(av.VideoStream, container.add_stream("libx264", rate=round(1 / STEP_S)))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.options = {"tune": "zerolatency", "g": "10"}
        stream.codec_context.time_base = MILLISECOND
        if not paced:
            container.add_stream("aac", rate=8000, layout="mono")
        began_s = time.monotonic()
        for i in range(round(seconds / STEP_S)):
            frame = av.VideoFrame.from_ndarray(picture(i % 256), "rgb24")
            frame.pts, frame.time_base = round(i * STEP_S / MILLISECOND), MILLISECOND
            container.mux(stream.encode(frame))
            if paced:
                time.sleep(max(0.0, began_s + (i + 1) * STEP_S - time.monotonic()))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    address, seconds, times = sys.argv[1:]
    with suppress(ConnectionError):  # who has seen enough hangs up
        for _ in range(int(times)):
            send(address, float(seconds))
