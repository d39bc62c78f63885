"""What can be watched, and what is said of what cannot."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from clips import Clips
from hypothesis import given
from hypothesis import strategies as st
from streams import free_port, served

from vidcaption.errors import InputError, UsageError
from vidcaption.video.source import SCHEMES, Source

NOTHING = " gives no video that FFmpeg can read"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("-", "standard input"),
        ("rtsp://192.168.1.5/stream", "rtsp://192.168.1.5/stream"),
        ("RTSP://camera:8554/a", "RTSP://camera:8554/a"),
        ("rtsp://me:secret@camera/a", "rtsp://me:***@camera/a"),
        ("udp://@:5000", "udp://@:5000"),
        ("https://a.example/live.m3u8", "https://a.example/live.m3u8"),
    ],
)
def test_names(text: str, name: str) -> None:
    assert Source.of(text).name == name


@given(st.text("abc:@/?#%1é", min_size=1), st.sampled_from(sorted(SCHEMES)))
def test_no_text_is_more_than_wrong(text: str, scheme: str) -> None:
    for source in (text, f"{scheme}://{text}"):
        with suppress(UsageError):
            Source.of(source)


@given(st.text("abc123-_.~%", min_size=4))
def test_passwords_are_never_told(password: str) -> None:
    source = Source.of(f"rtsp://user:{password}@camera/")
    assert source.name == "rtsp://user:***@camera/"
    assert password in source.address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("987", "there is no camera 987: /dev/video987 does not exist"),
        ("/dev/video987", "no such file or directory.; SOURCE is a camera's number, a device"),
        ("nothing.ts", "no such file or directory"),
        ("", "SOURCE is empty; name a camera, an address, or -"),
        ("srt://camera:5", "srt://, which is not supported; allowed are rtsp, "),
        ("file:///etc/passwd", "file://, which is not supported"),
        ("concat://a.ts|b.ts", "concat://, which is not supported"),
        ("tcp://camera", "tcp://camera needs a port, such as"),
        ("udp://me:secret@camera", r"udp://me:\*\*\*@camera needs a port"),
        ("tcp://camera:99999", "is not a valid address; a port must be at most 65535"),
        ("rtsp://", "names no host"),
        ("http://[camera/", "is not a valid address; .* an IPv6 address in brackets"),
        (".", r"\. is a folder; name a file that is being written"),
    ],
)
@pytest.mark.skipif(os.name != "posix", reason="other names of devices")
def test_what_there_is_not(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Source.of(text)


@pytest.mark.skipif(os.name != "posix", reason="needs a FIFO")
def test_a_pipe_is_to_be_on_standard_input(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match=r"is a pipe, .* vidcaption live -"):
        Source.of(str(tmp_path / "pipe"))


def refused(source: Source, timeout_s: float = 5.0) -> str:
    with pytest.raises(InputError) as info, source.connect(timeout_s):
        pass
    return str(info.value).removeprefix(source.name)


@pytest.mark.parametrize("scheme", ["tcp", "rtsp", "http", "rtmp"])
def test_nobody_listens(scheme: str) -> None:
    source = Source.of(f"{scheme}://127.0.0.1:{free_port()}")
    assert refused(source) == " refuses the connection (is it on, and the port right?)"


def test_no_such_host() -> None:
    message = refused(Source.of("tcp://camera.invalid:5"))
    assert message == " cannot be reached (is its name right, and the network up?)"


@pytest.mark.parametrize("name", ["sound.mp4", "text.txt", "list.mp4", "noise.mp4"])
def test_no_video(name: str, clips: Clips) -> None:
    with served(clips[name].read_bytes()) as address:
        message = refused(Source.of(address))
    sound = name == "sound.mp4"
    assert message == (" holds sound but no video" if sound else NOTHING)


def test_nothing_is_sent() -> None:
    with served(b"", silent=True) as address:
        assert refused(Source.of(address), 0.2) == " has sent nothing for 0.2 s"
    assert refused(Source.of("udp://127.0.0.1:45998"), 0.2) == " has sent nothing for 0.2 s"


def test_it_hangs_up_at_once() -> None:
    with served(b"") as address:
        assert refused(Source.of(address)) == NOTHING


def test_it_wants_a_password() -> None:
    answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
    with served(answer) as address:
        message = refused(Source.of(address.replace("tcp", "http")))
    assert message == " needs a user name and password: SCHEME://USER:PASSWORD@HOST/"


def test_a_server_cannot_name_a_file(clips: Clips) -> None:
    """An HLS playlist chooses what is opened next."""
    clip = clips["late.ts"]
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{clip}\n#EXT-X-ENDLIST\n"
    answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(playlist)}\r\n\r\n{playlist}".encode()
    with served(answer) as address:
        source = Source.of(address.replace("tcp", "http") + "/live.m3u8")
        assert refused(source)


def test_a_file_that_does_not_grow(clips: Clips) -> None:
    clip = clips["empty.mp4"]
    assert refused(Source.of(str(clip)), 0.2) == " has not grown for 0.2 s"
