"""Addresses of Google Cloud Storage, with an emulator of its server."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from clips import every, write_clip
from tiny import write_tiny

pytestmark = pytest.mark.slow
pytest.importorskip("gcp_storage_emulator")


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server with the bucket ``videos``."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["-m", "gcp_storage_emulator", "start", "--host=127.0.0.1", f"--port={port}"]
    words += ["--in-memory", "--default-bucket=videos", "--quiet"]
    with subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        while True:
            assert server.poll() is None
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.1)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("NO_GCE_CHECK", "true")  # whose answer is waited for
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nonexistent")
        yield "gs://videos"
        server.terminate()


def run(*words: str) -> tuple[int, str]:
    """The exit code of a command, and what it prints."""
    command = [sys.executable, "-m", "vidcaption", "run", *words, "--beam", "1", "--frames", "1"]
    ended = subprocess.run(command, capture_output=True, text=True)
    return ended.returncode, ended.stdout + ended.stderr


def test_a_folder_is_captioned_once(address: str, tmp_path: Path) -> None:
    store = fsspec.filesystem("gs")
    clip = write_clip(tmp_path / "a.mp4", every(0.5, 4)).read_bytes()
    for name in ("a.mp4", "sub/b c.mp4"):
        store.pipe(f"videos/in/{name}", clip)
    options = ["--model", str(write_tiny(tmp_path / "model")), "--precision", "fp32"]
    code, printed = run(f"{address}/in", "-r", "--srt", *options)
    lines = printed.splitlines()
    assert code == 0 and lines[-1].startswith("vidcaption: 2 captioned, in")
    assert all(line.startswith("vidcaption: ") for line in lines)  # and nothing by libraries
    found = {each for each in store.find("videos/in") if "/." not in each}
    names = ("a.mp4", "a.srt", "sub/b c.mp4", "sub/b c.srt")
    assert found == {f"videos/in/{name}" for name in names}
    assert store.cat("videos/in/a.srt") == store.cat("videos/in/sub/b c.srt")

    store.pipe("videos/in/a.srt", b"edited")
    code, printed = run(f"{address}/in", "-r", "--srt", *options)
    assert code == 0 and "0 captioned, 1 done before, 1 kept" in printed
    assert store.cat("videos/in/a.srt") == b"edited"
    code, printed = run(f"{address}/in/no.mp4", "--srt", *options)
    assert (code, printed) == (2, f"vidcaption: no such file or folder: {address}/in/no.mp4\n")
