import errno
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vidcaption.errors import OutputError
from vidcaption.output.write import check_some_writable, check_writable, write_atomic

posix = pytest.mark.skipif(os.name != "posix", reason="modes, links and pipes as POSIX has them")


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def fail_with(error: BaseException, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def failing(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, name, failing)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_writes_utf8_with_plain_line_ends(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a.srt", "Hund ä 犬\n\r\n")
    assert (tmp_path / "a.srt").read_bytes() == "Hund ä 犬\n\r\n".encode()
    write_atomic(tmp_path / "a.srt", "")
    assert (tmp_path / "a.srt").read_bytes() == b""
    assert os.listdir(tmp_path) == ["a.srt"]


def test_bytes_of_a_file_name_that_is_not_utf8_are_escaped(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a.txt", "\udcff.mp4")
    assert (tmp_path / "a.txt").read_bytes() == rb"\udcff.mp4"


def test_writes_bytes_as_they_are(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a.png", b"\x89PNG\r\n\xff")
    assert (tmp_path / "a.png").read_bytes() == b"\x89PNG\r\n\xff"


def test_makes_folders(tmp_path: Path) -> None:
    write_atomic(tmp_path / "b" / "c" / "a.srt", "text")
    assert (tmp_path / "b" / "c" / "a.srt").read_text() == "text"


def test_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_atomic(Path("a.srt"), "text")
    assert (tmp_path / "a.srt").read_text() == "text"


def test_a_name_as_long_as_can_be(tmp_path: Path) -> None:
    write_atomic(tmp_path / ("x" * 251 + ".srt"), "text")
    assert len(os.listdir(tmp_path)) == 1


@posix
def test_a_new_file_has_the_usual_mode(tmp_path: Path, umask: None) -> None:
    write_atomic(tmp_path / "a.srt", "text")
    assert mode(tmp_path / "a.srt") == 0o640


@posix
def test_an_existing_file_keeps_its_mode(tmp_path: Path, umask: None) -> None:
    path = tmp_path / "a.srt"
    path.touch()
    path.chmod(0o606)
    write_atomic(path, "text")
    assert mode(path) == 0o606


@posix
def test_a_symbolic_link_stays(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "a.srt"
    link.symlink_to(tmp_path / "there" / "b.srt")
    for text in ("new", "old"):
        write_atomic(link, text)
        assert link.is_symlink()
        assert (tmp_path / "there" / "b.srt").read_text() == text
    assert os.listdir(tmp_path / "there") == ["b.srt"]


@posix
def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomic(pipe, "text")
        assert os.read(reader, 100) == b"text"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_the_old_text_is_there_until_the_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.srt"
    path.write_text("old")
    steps = []
    fsync, replace = os.fsync, os.replace

    def seen_fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        steps.append("folder" if stat.S_ISDIR(status.st_mode) else f"{status.st_size} bytes")
        fsync(descriptor)

    def seen_replace(source: Path, target: Path) -> None:
        steps.append("replace")
        assert path.read_text() == "old"
        assert Path(source).read_text() == "new"
        assert Path(source).parent == tmp_path
        assert Path(source).name.startswith(".")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "replace", seen_replace)
    write_atomic(path, "new")
    assert path.read_text() == "new"
    assert steps[:2] == ["3 bytes", "replace"]
    assert steps[2:] == (["folder"] if os.name == "posix" else [])


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_alone(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.srt"
    path.write_text("old")
    fail_with(OSError(errno.ENOSPC, "No space left on device"), monkeypatch, step)
    with pytest.raises(OutputError) as caught:
        write_atomic(path, "new")
    assert str(caught.value) == (
        f"{path} cannot be written (No space left on device); choose another place"
    )
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.srt"]


def test_an_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(KeyboardInterrupt(), monkeypatch, "fsync")
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a.srt", "new")
    assert not os.listdir(tmp_path)


def test_a_folder_that_cannot_be_synced_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def files_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    write_atomic(tmp_path / "a.srt", "text")
    assert (tmp_path / "a.srt").read_text() == "text"


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "a.srt").mkdir()
    with pytest.raises(OutputError, match=r"a\.srt cannot be written \(Is a directory\)"):
        write_atomic(tmp_path / "a.srt", "text")
    assert os.listdir(tmp_path) == ["a.srt"]


@posix
@pytest.mark.parametrize("inside", ["a.srt", "b/a.srt"])
def test_a_file_where_a_folder_should_be(inside: str, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="a file is where a folder is needed"):
        write_atomic(tmp_path / "out" / inside, "text")


def test_a_write_protected_file_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.srt"
    path.write_text("old")
    path.chmod(0o444)
    monkeypatch.setattr(os, "access", lambda *_: False)  # the superuser may write to any file
    with pytest.raises(OutputError, match="Permission denied"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    path.chmod(0o644)


def test_writable_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "old.srt").write_text("old")
    check_writable(tmp_path / name for name in ("old.srt", "new.srt", "x/y/new.srt"))
    assert [path.name for path in tmp_path.iterdir()] == ["old.srt"]
    check_writable([Path(os.devnull)])


def test_unwritable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(
        OutputError, match=r"file.*x\.srt cannot be written: a file is where a folder is"
    ):
        check_writable([tmp_path / "file/x.srt"])
    with pytest.raises(OutputError, match="folder cannot be written: it is a folder"):
        check_writable([tmp_path / "folder"])
    for name in ("n" * 300, f"new/{'n' * 300}", f"{'n' * 300}/x.srt", "n/" * 3000):
        with pytest.raises(OutputError, match="its name is too long; choose a shorter one"):
            check_writable([tmp_path / name])
    if sys.platform == "linux":
        with pytest.raises(OutputError, match="cannot be written"):
            check_writable([Path("/proc/vidcaption/x.srt")])


def test_some_are_writable_if_one_is(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    places = [tmp_path / "folder", tmp_path / ("n" * 300), tmp_path / "new.srt"]
    check_some_writable(places)
    check_some_writable([])
    with pytest.raises(OutputError, match="folder cannot be written: it is a folder"):
        check_some_writable(places[:2])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do anything")
def test_write_protection(tmp_path: Path) -> None:
    (tmp_path / "old.srt").touch(mode=0o400)
    with pytest.raises(OutputError, match="write-protected"):
        check_writable([tmp_path / "old.srt"])
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        check_writable([tmp_path / "new.srt"])
    tmp_path.chmod(0o700)
