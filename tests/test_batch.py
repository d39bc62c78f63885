import os
import shutil
import sys
from pathlib import Path

import pytest

from vidcaption import Captioner, Captions, InputError, OutputError, UsageError
from vidcaption.batch import Outcome, caption_all, check_writable, discover
from vidcaption.options import CaptionOptions
from vidcaption.pipeline import Captioning
from vidcaption.types import Segment

CLIP = Path(__file__).parent.parent / "examples/clip.mp4"


def tree(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files_are_taken_as_they_are_named(here: Path) -> None:
    tree(here, "b.mp4", "a.bin", ".hidden.mp4", "d/c.mp4")
    found = discover(["b.mp4", "a.bin", ".hidden.mp4", "d/c.mp4"])
    assert found == {
        Path("b.mp4"): Path(),
        Path("a.bin"): Path(),
        Path(".hidden.mp4"): Path(),
        Path("d/c.mp4"): Path("d"),
    }
    assert list(found) == [Path("b.mp4"), Path("a.bin"), Path(".hidden.mp4"), Path("d/c.mp4")]


def test_folders_give_their_videos_in_natural_order(here: Path) -> None:
    tree(here, *(f"d/{name}" for name in ("c10.mp4", "c9.MKV", "C1.jpg", "n.txt", ".h.mp4", "mp4")))
    tree(here, "d/e/x.mp4")
    found = discover(["d"])
    assert list(found) == [Path("d/C1.jpg"), Path("d/c9.MKV"), Path("d/c10.mp4")]
    assert set(found.values()) == {Path("d")}


def test_recursive(here: Path) -> None:
    tree(here, "d/a.mp4", "d/e/b.mp4", "d/e/f/c.webm", "d/.git/h.mp4", "d/e/.x/i.mp4")
    found = discover(["d"], recursive=True)
    assert list(found) == [Path("d/a.mp4"), Path("d/e/b.mp4"), Path("d/e/f/c.webm")]
    assert set(found.values()) == {Path("d")}


def test_an_input_named_twice_is_found_once(here: Path) -> None:
    tree(here, "d/a.mp4", "d/b.mp4")
    found = discover(["d/b.mp4", "d", "./d/../d/b.mp4", str(here / "d/a.mp4")])
    assert found == {Path("d/b.mp4"): Path("d"), Path("d/a.mp4"): Path("d")}


def test_loops_of_links_end(here: Path) -> None:
    tree(here, "d/a.mp4")
    (here / "d/e").symlink_to(here / "d", target_is_directory=True)
    assert list(discover(["d"], recursive=True)) == [Path("d/a.mp4")]


@pytest.mark.parametrize(
    ("inputs", "recursive", "message"),
    [
        (["gone.mp4", "d", "lost/x"], False, "no such file or folder: gone.mp4, lost/x"),
        (["-"], False, "no such file or folder: -"),
        (["empty"], False, "empty holds no video or image; -r looks into the folders within it"),
        (["empty"], True, "empty holds no video or image"),
        (["d", "nested"], False, "nested holds no video or image; -r looks"),
    ],
)
def test_wrong_inputs(here: Path, inputs: list[str], recursive: bool, message: str) -> None:
    tree(here, "d/a.mp4", "empty/.a.mp4", "nested/e/a.mp4")
    with pytest.raises(UsageError) as caught:
        discover(inputs, recursive=recursive)
    assert str(caught.value).startswith(message)


def test_writable_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "old.srt").write_text("old")
    check_writable(tmp_path / name for name in ("old.srt", "new.srt", "x/y/new.srt"))
    assert [path.name for path in tmp_path.iterdir()] == ["old.srt"]
    check_writable([Path(os.devnull)])


def test_unwritable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=r"file.*x\.srt cannot be written: Not a directory"):
        check_writable([tmp_path / "file/x.srt"])
    with pytest.raises(OutputError, match="folder cannot be written: it is a folder"):
        check_writable([tmp_path / "folder"])
    if sys.platform == "linux":
        with pytest.raises(OutputError, match="cannot be written"):
            check_writable([Path("/proc/vidcaption/x.srt")])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do anything")
def test_write_protection(tmp_path: Path) -> None:
    (tmp_path / "old.srt").touch(mode=0o400)
    with pytest.raises(OutputError, match="write-protected"):
        check_writable([tmp_path / "old.srt"])
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        check_writable([tmp_path / "new.srt"])
    tmp_path.chmod(0o700)


class Log:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.opened_paths: list[Path] = []
        self.segments: list[Segment] = []

    def opened(self, path: Path, captioning: Captioning) -> None:
        assert captioning.info.path == str(path)
        self.opened_paths.append(path)

    def captioned(self, segment: Segment) -> None:
        self.segments.append(segment)


def test_caption_all_goes_on(tmp_path: Path) -> None:
    good, bad, again = tmp_path / "good.mp4", tmp_path / "bad.mp4", tmp_path / "again.mp4"
    shutil.copy(CLIP, good)
    bad.write_bytes(b"\0" * 5000)
    shutil.copy(CLIP, again)
    targets = {
        good: {"srt": tmp_path / "bad.mp4/good.srt"},  # below a file: cannot be written
        again: {"srt": tmp_path / "again.srt", "json": tmp_path / "x/again.json"},
    }
    log = Log()
    options = CaptionOptions(end_s=5, beam=1)
    captioner = Captioner.from_pretrained()
    outcomes = caption_all(captioner, [good, bad, again], options, targets, log)
    unwritten, unreadable, written = outcomes

    assert isinstance(unwritten, Outcome) and isinstance(unwritten.error, OutputError)
    assert isinstance(unwritten.captions, Captions)
    assert isinstance(unreadable.error, InputError) and unreadable.captions is None
    assert written.error is None and written.captions is not None
    assert (tmp_path / "again.srt").read_text() == written.captions.render("srt")
    assert (tmp_path / "x/again.json").read_text() == written.captions.render("json")
    assert [each.path for each in (unwritten, unreadable, written)] == [good, bad, again]
    assert written.elapsed_s > 0
    assert log.opened_paths == [good, again]
    assert log.segments == [*unwritten.captions.segments, *written.captions.segments]


def test_what_meets_every_input_is_raised(tmp_path: Path) -> None:
    class Full(Log):
        def captioned(self, segment: Segment) -> None:
            raise OutputError("no space")

    outcomes = caption_all(
        Captioner.from_pretrained(), [CLIP], CaptionOptions(end_s=1, beam=1), {}, Full()
    )
    with pytest.raises(OutputError, match="no space"):
        next(outcomes)
