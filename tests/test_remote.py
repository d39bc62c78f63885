"""Files at addresses: read by ranges and written whole, also where servers misbehave."""

import errno
import logging
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

import fsspec
import pytest
from clips import INDEX_FIRST, every, write_clip
from fsspec.implementations.local import LocalFileSystem
from fsspec.registry import _registry
from stores import Proxy, Store

from vidcaption import InputError, OutputError, SetupError, UsageError, remote
from vidcaption.addresses import Address
from vidcaption.options.captioning import CaptionOptions
from vidcaption.output.write import check_writable, write_atomic
from vidcaption.video.batches import WindowReader

QUICK = CaptionOptions(frames=1, window_s=1, segment="fixed")
CLIP = Address("s3://videos/clip.mp4")
FAULTS = ["cut", 503, "slow"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A video of four seconds that begins with its index, and 12 MB of nothing behind it."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    data = write_clip(path, every(0.5, 8), mux=INDEX_FIRST).read_bytes()
    padding = 12 * 2**20
    return data + padding.to_bytes(4, "big") + b"free" + bytes(padding - 8)


def frames(path: Path | Address) -> list[bytes]:
    with WindowReader(path, (32, 32), QUICK, 8, name=str(path)) as reader:
        windows = [window for part in iter(reader.read, []) for window in part]
    return [window.frames[0].image.tobytes() for window in windows]


@pytest.fixture(scope="module")
def expected(clip: bytes, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    path = tmp_path_factory.mktemp("local") / "clip.mp4"
    path.write_bytes(clip)
    found = frames(path)
    assert len(set(found)) == 4
    return found


def test_a_video_is_read_by_ranges(store: Store, clip: bytes, expected: list[bytes]) -> None:
    store.put(**{"clip.mp4": clip})
    assert frames(CLIP) == expected
    gets = [each for each in store.proxy.asked if each.startswith("GET")]
    assert len(gets) == 1 and store.proxy.sent <= remote.BLOCK_BYTES < len(clip) / 2


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_that_pass(
    store: Store, clip: bytes, expected: list[bytes], fault: str | int
) -> None:
    store.put(**{"clip.mp4": clip})
    numbers = count()

    def first(method: str, _: str) -> str | int | None:
        return fault if method == "GET" and next(numbers) < 2 else None

    store.proxy.fault = first
    assert frames(CLIP) == expected
    assert next(numbers) > 2 or fault == "slow"


def test_a_video_is_never_cut_short_by_a_server(store: Store, tmp_path: Path) -> None:
    """What was read of it could be captioned, and would look like all of it."""
    size = (320, 240)
    path = write_clip(tmp_path / "long.mkv", every(0.1, 40), codec="rawvideo", size=size)
    store.put(**{"clip.mp4": path.read_bytes()})
    store.proxy.fault = lambda method, _: (
        503 if method == "GET" and store.proxy.sent >= remote.BLOCK_BYTES // 2 else None
    )
    with pytest.raises(InputError) as caught:
        frames(CLIP)
    assert str(caught.value) == (
        "s3://videos/clip.mp4 cannot be read: its server is overloaded or broken (status 503)"
    )
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EAGAIN  # --retries tries again


def test_expired_credentials(store: Store, clip: bytes) -> None:
    store.put(**{"clip.mp4": clip})
    store.proxy.fault = lambda *_: 400
    for path in (CLIP, CLIP.parent):
        with pytest.raises(InputError, match="access is refused, or has expired") as caught:
            frames(path)
        assert "AWS_PROFILE" in str(caught.value) and "SECRET" not in str(caught.value)
    with pytest.raises(OutputError, match="has expired"):
        write_atomic(CLIP, "text")
    store.proxy.fault = lambda *_: 403
    with pytest.raises(OutputError, match="access is refused"):
        write_atomic(CLIP, "text")


def test_no_credentials(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "gone")
    files = type(fsspec.filesystem("s3"))
    before = dict(files._cache)
    files.clear_instance_cache()
    with pytest.raises(InputError, match="check the credentials, as with aws sso login"):
        frames(CLIP)
    files._cache.update(before)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s3://videos/gone.mp4", "cannot be read: it does not exist"),
        ("s3://videos/folder", "is a folder; name the videos in it"),
        ("s3://videos/empty.mp4", "is empty; upload it again"),
        ("s3://videos/text.mp4", "is not a video or picture, or is too damaged"),
        ("bogus://x/y.mp4", "is an address of bogus://, which is not supported; allowed are s3,"),
        ("s3:///x.mp4", "cannot be read"),
    ],
)
def test_what_is_no_video(store: Store, address: str, message: str) -> None:
    store.put(**{"folder/x.mp4": b"x", "empty.mp4": b"", "text.mp4": b"text" * 100})
    with pytest.raises(InputError) as caught:
        frames(Address(address))
    assert str(caught.value).startswith(address.removesuffix("x.mp4")) and message in str(
        caught.value
    )


def test_a_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("s3fs", "gcsfs", "adlfs", "aiohttp"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    for name in ("s3", "gs", "az"):
        monkeypatch.delitem(_registry, name, raising=False)
    for address in ("s3://b/x.mp4", "gs://b/x.mp4", "az://b/x.mp4"):
        with pytest.raises(SetupError) as caught:
            remote.filesystem(Address(address))
        assert str(caught.value) == (
            f'{address} needs the extra "cloud", which is not, or not fully, installed; '
            "pip install 'vidcaption[cloud]'"
        )


def test_a_package_of_no_extra_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "paramiko", None)
    monkeypatch.delitem(__import__("sys").modules, "fsspec.implementations.sftp", raising=False)
    monkeypatch.delitem(_registry, "sftp", raising=False)
    with pytest.raises(SetupError, match="needs paramiko, which is not installed; see what fsspec"):
        remote.filesystem(Address("sftp://h/x.mp4"))


def test_an_archive_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"x" * 100)
    with pytest.raises(remote.RemoteError, match="it is not in an archive of that kind"):
        remote.entry(Address(f"zip://x.mp4::{tmp_path / 'a.zip'}"))


@pytest.fixture
def web(clip: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setattr(remote, "WAITS_S", (0.0,))
    files = {"/clip.mp4": ("video/mp4", clip), "/page": ("text/html; charset=x", b"<html>")}
    with Proxy(files=files) as server:
        yield server


def test_a_web_server_with_ranges(web: Proxy, expected: list[bytes]) -> None:
    assert frames(Address(f"{web.address}/clip.mp4?X-Amz-Signature=abc")) == expected
    assert web.sent <= remote.BLOCK_BYTES
    assert any("X-Amz-Signature=abc" in each for each in web.asked)


def test_a_web_server_without_ranges(
    web: Proxy, expected: list[bytes], clip: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The end of this file is not needed, and an index at its end would be."""
    caplog.set_level(logging.INFO, "vidcaption")
    web.ranges = False
    address = Address(f"{web.address}/clip.mp4?sig=abc")
    assert frames(address) == expected
    with remote.open_binary(address) as file:
        file.seek(-10, 2)
        assert file.read() == clip[-10:] and file.read() == b"" and file.tell() == len(clip)
    assert [record.getMessage() for record in caplog.records] == [
        f"{web.address}/clip.mp4?sig=*** is downloaded whole: its server does not send parts"
    ]


def test_pages_and_broken_connections(web: Proxy) -> None:
    with pytest.raises(InputError, match=r"is a web page, and no video; .* yt-dlp -f mp4"):
        frames(Address(f"{web.address}/page"))
    for status, message in ((404, "does not exist"), (401, "access is refused"), (502, "502")):
        web.fault = lambda *_, status=status: status  # type: ignore[misc]
        with pytest.raises(InputError, match=message):
            frames(Address(f"{web.address}/clip.mp4"))
    web.fault = lambda method, _: "cut" if method == "GET" else None
    with pytest.raises(InputError, match="there is no connection to its server, or it broke"):
        frames(Address(f"{web.address}/clip.mp4"))
    with pytest.raises(InputError, match=r"http://me:\*\*\*@127.0.0.1:9/x.mp4 cannot be read"):
        frames(Address("http://me:pw@127.0.0.1:9/x.mp4"))


def test_reasons() -> None:
    class ConnectTimeoutError(Exception):
        pass

    for error, number in (
        (ConnectTimeoutError(), errno.ETIMEDOUT),
        (TimeoutError(), errno.ETIMEDOUT),
        (ConnectionResetError(), errno.ECONNRESET),
        (NotImplementedError(), errno.EROFS),
        (OSError(errno.ENOSPC, "full"), errno.ENOSPC),
        (KeyError("https://me:pw@h"), 0),
    ):
        found = remote.reason(error, CLIP)
        assert found.errno == number and "pw" not in str(found)


def test_a_file_is_written_whole_or_not_at_all(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = fsspec.filesystem("s3")  # of which there is one, and which sends parts of 50 MB
    monkeypatch.setattr(files, "put_file", partial(files.put_file, chunksize=5 * 2**20))
    big = bytes(6 * 2**20)
    write_atomic(CLIP, "old")
    parts = count()

    def third(method: str, path: str) -> int | None:
        return 403 if method == "PUT" and "partNumber" in path and next(parts) > 0 else None

    store.proxy.fault = third
    pieces = iter([big] * 2)
    with pytest.raises(OutputError, match=r"s3://videos/clip.mp4 cannot be written: access"):
        write_atomic(CLIP, pieces)
    assert next(parts) > 1 and store.get("clip.mp4") == b"old"
    store.proxy.fault = lambda *_: None
    write_atomic(CLIP, [big, b"end"])
    assert store.get("clip.mp4") == big + b"end"

    def breaks() -> Iterator[bytes]:
        yield b"half"
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OutputError, match="cannot be written: no space left"):
        write_atomic(CLIP, breaks())
    assert store.get("clip.mp4") == big + b"end"
    caplog.clear()  # the server's, of a part that came after the upload was given up


def test_a_write_is_repeated(store: Store) -> None:
    numbers = count()
    store.proxy.fault = lambda method, _: 503 if method == "PUT" and next(numbers) < 2 else None
    write_atomic(CLIP, "text")
    assert store.get("clip.mp4") == b"text"


def test_where_nothing_can_be_written(store: Store) -> None:
    check_writable([CLIP, Address("s3://videos/new/x.srt")])
    with pytest.raises(OutputError, match="s3://gone does not exist; create it first"):
        check_writable([Address("s3://gone/x/y.srt")])
    with pytest.raises(OutputError, match="s3://gone does not exist; create it first"):
        write_atomic(Address("s3://gone/x/y.srt"), "text")
    with pytest.raises(OutputError, match="https:// can only be read; write elsewhere with"):
        check_writable([Address("https://a.b/y.srt")])


class Disk(LocalFileSystem):
    protocol = "disk"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path.removeprefix("disk://")


def test_elsewhere_a_file_is_renamed_when_it_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.register_implementation("disk", Disk, clobber=True)
    target = tmp_path / "new/x.srt"
    write_atomic(Address(f"disk://{target}"), "old")
    assert target.read_text() == "old" and len(list(target.parent.iterdir())) == 1

    def broken(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Disk, "mv", broken)
    with pytest.raises(OutputError, match="access is refused"):
        write_atomic(Address(f"disk://{target}"), "new")
    assert target.read_text() == "old" and len(list(target.parent.iterdir())) == 1


def test_what_is_known_of_a_file(store: Store) -> None:
    assert remote.state(CLIP) is None and remote.entry_now(CLIP) is None
    store.put(**{"clip.mp4": b"one"})
    first = remote.state(CLIP)
    store.put(**{"clip.mp4": b"two"})
    remote.entry_now(CLIP)
    assert first is not None and first[0] == 3 and first != remote.state(CLIP)
    assert remote.read(CLIP) == b"two" and set(remote.listed(CLIP.parent)) == {"clip.mp4"}
    remote.remove([CLIP, CLIP])
    assert remote.listed(CLIP.parent) == remote.listed(Address("s3://gone/x")) == {}
    with pytest.raises(UsageError, match="which is not supported"):
        remote.entry(Address("bogus://x"))
