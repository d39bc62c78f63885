"""Which inputs are found, where and in which order."""

import io
import os
import sys
import tempfile
from pathlib import Path

import pytest
from limits import file_size

from vidcaption import InputError, OutputError, UsageError
from vidcaption.batch import discover, read_list, spooled, suffixes_of
from vidcaption.batch.ledger import Ledger
from vidcaption.options.captioning import CaptionOptions
from vidcaption.video.batches import WindowReader

SYSTEM = ("@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "@Recycle")


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
    tree(here, *(f"d/{name}/x.mp4" for name in SYSTEM))
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
        (["d", ""], False, "an INPUT is empty; name a file or folder, and check variables in it"),
        (["gone.mp4", "d", "lost/x"], False, "no such file or folder: gone.mp4, lost/x"),
        (["*.mov"], False, "no such file, and no video or image matches: *.mov"),
        (["d/*.txt*"], False, "no such file, and no video or image matches: d/*.txt*"),
        (["d/**x"], False, "d/**x is not a pattern"),
        (["empty"], False, "empty contains no video or image; -r includes its subfolders"),
        (["empty"], True, "empty contains no video or image"),
        (["d", "nested"], False, "nested contains no video or image; -r includes"),
    ],
)
def test_wrong_inputs(here: Path, inputs: list[str], recursive: bool, message: str) -> None:
    tree(here, "d/a.mp4", "d/n.txt", "empty/.a.mp4", "nested/e/a.mp4")
    with pytest.raises(UsageError) as caught:
        discover(inputs, recursive=recursive)
    assert str(caught.value).startswith(message)


def test_links_to_folders_are_followed_once(here: Path) -> None:
    tree(here, "d/real/a.mp4", "other/b.mp4", "other/deep/c.mp4")
    (here / "d/a_link").symlink_to(here / "d/real", target_is_directory=True)
    (here / "d/out").symlink_to(here / "other", target_is_directory=True)
    (here / "other/back").symlink_to(here / "d", target_is_directory=True)
    assert list(discover(["d"], recursive=True)) == [
        Path("d/out/b.mp4"), Path("d/out/deep/c.mp4"), Path("d/real/a.mp4"),
    ]  # fmt: skip


def test_the_same_file_by_another_name_is_found_once(here: Path) -> None:
    tree(here, "a.mp4")
    (here / "link.mp4").symlink_to(here / "a.mp4")
    assert list(discover(["link.mp4", "a.mp4"])) == [Path("link.mp4")]


def test_more_suffixes(here: Path) -> None:
    tree(here, "d/a.mp4", "d/b.DAT", "d/c.tar.dat", "d/n.txt")
    assert list(discover(["d"], suffixes=suffixes_of("dat"))) == [
        Path("d/a.mp4"), Path("d/b.DAT"), Path("d/c.tar.dat"),
    ]  # fmt: skip
    assert suffixes_of(".dat, Bin") == {".dat", ".bin"}
    for odd in ("", "a b", ".", "x/y", "a,,b"):
        with pytest.raises(UsageError, match="is not a suffix"):
            suffixes_of(odd)


def test_our_own_outputs_are_no_inputs(here: Path) -> None:
    tree(here, "d/a.mp4", "d/a.txt", "d/mine.txt")
    ledger = Ledger(here / "d")
    with ledger.lease("a") as held:
        assert held
        ledger.add("a.txt", "0" * 64, "1" * 64)
    found = discover(["d"], suffixes=[".txt", ".jsonl"])
    assert list(found) == [Path("d/a.mp4"), Path("d/mine.txt")]
    assert list(discover(["d/a.txt"])) == [Path("d/a.txt")]  # one asked for it


@pytest.mark.parametrize(
    ("pattern", "expected", "root"),
    [
        ("d/*.mp4", ["d/c2.mp4", "d/c10.mp4"], "d"),
        ("d/c?.mp4", ["d/c2.mp4"], "d"),
        ("d/c[0-9]*", ["d/c2.mp4", "d/c10.mp4"], "d"),
        ("d/*.bin", ["d/x.bin"], "d"),
        ("d/**/*.mp4", ["d/c2.mp4", "d/c10.mp4", "d/e/c1.mp4", "d/e/f/y.mp4"], "d"),
        ("d/**", ["d/c2.mp4", "d/c10.mp4", "d/e/c1.mp4", "d/e/f/y.mp4"], "d"),
        ("*/e/*.mp4", ["d/e/c1.mp4"], "."),
        ("d/e*", ["d/e/c1.mp4"], "d"),
        ("d/.h*", ["d/.hidden.mp4"], "d"),
        ("d/@eaDir/*", ["d/@eaDir/x.mp4"], "d/@eaDir"),
        ("*/@eaDir/*.mp4", ["d/@eaDir/x.mp4"], "."),
        ("[[]x].mp4", ["[x].mp4"], "."),
    ],
)
def test_patterns(here: Path, pattern: str, expected: list[str], root: str) -> None:
    tree(here, "d/c10.mp4", "d/c2.mp4", "d/n.txt", "d/x.bin", "d/.hidden.mp4", "d/e/c1.mp4")
    tree(here, "d/e/f/y.mp4", "d/.git/z.mp4", "[x].mp4", *(f"d/{name}/x.mp4" for name in SYSTEM))
    (here / "d/e/loop").symlink_to(here / "d", target_is_directory=True)
    found = discover([pattern])
    assert [path.as_posix() for path in found] == expected
    assert set(found.values()) == {Path(root)}
    absolute = discover([str(here / pattern)])
    assert [path.relative_to(here).as_posix() for path in absolute] == expected


def test_a_file_that_is_called_like_a_pattern_is_that_file(here: Path) -> None:
    tree(here, "clip[1].mp4", "clip1.mp4", "a*.mp4", "ab.mp4")
    assert list(discover(["clip[1].mp4", "a*.mp4"])) == [Path("clip[1].mp4"), Path("a*.mp4")]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do anything")
def test_a_folder_that_cannot_be_listed_costs_itself_alone(here: Path) -> None:
    tree(here, "d/a.mp4", "d/lost+found/x.mp4", "d/z.mp4")
    (here / "d/lost+found").chmod(0)
    found = list(discover(["d"], recursive=True))
    assert found == [Path("d/a.mp4"), Path("d/lost+found"), Path("d/z.mp4")]
    with pytest.raises(InputError, match=r"d/lost\+found cannot be read: permission denied"):
        WindowReader(Path("d/lost+found"), (8, 8), CaptionOptions(), 1).__enter__()
    with pytest.raises(UsageError, match=r"lost\+found cannot be listed: Permission denied"):
        discover(["d/lost+found"])
    (here / "d/lost+found").chmod(0o700)


def test_a_record_that_cannot_be_read_hides_no_videos(here: Path) -> None:
    tree(here, "d/a.mp4", "d/.vidcaption.jsonl/no-file")
    assert list(discover(["d"])) == [Path("d/a.mp4")]


def test_listed_inputs_may_be_missing(here: Path) -> None:
    tree(here, "d/b.mp4", "empty/n.txt", "x.odd")
    listed = [Path(name) for name in ("gone.mp4", "x.odd", "d", "d/b.mp4", "empty", "d/*.mp4")]
    assert discover([], listed) == {
        Path("gone.mp4"): Path(),
        Path("x.odd"): Path(),
        Path("d/b.mp4"): Path("d"),
        Path("empty"): Path(),
        Path("d/*.mp4"): Path("d"),
    }


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a.mp4\nb c.mp4\n", ["a.mp4", "b c.mp4"]),
        (b"a.mp4\r\n\r\nb.mp4", ["a.mp4", "b.mp4"]),
        (b"\xef\xbb\xbfa.mp4\n", ["a.mp4"]),
        (b"a.mp4\0b\nc.mp4\0", ["a.mp4", "b\nc.mp4"]),
        (b" a.mp4\na.mp4", [" a.mp4", "a.mp4"]),
        (b"caf\xe9.mp4\na.mp4\n", ["caf\udce9.mp4", "a.mp4"]),
        (b"# all\na.mp4\n#b.mp4\n./#c.mp4\n #d.mp4\n", ["a.mp4", "./#c.mp4", " #d.mp4"]),
        (b"a.mp4\0#b.mp4\0", ["a.mp4", "#b.mp4"]),
        ("\ufeffa.mp4\r\n三 二.mp4\r\n".encode("utf-16-le"), ["a.mp4", "三 二.mp4"]),
        ("\ufeffa.mp4\n# b.mp4\n".encode("utf-16-be"), ["a.mp4"]),
        (b"a.mp4\0x\0", ["a.mp4", "x"]),
    ],
)
def test_lists(
    here: Path, data: bytes, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(here, "a.mp4")
    (here / "list").write_bytes(data)
    assert read_list("list") == [Path(name) for name in expected]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert read_list("-") == [Path(name) for name in expected]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "list contains no paths; write one per line, or separate them by NUL"),
        (b"\n\r\n", "list contains no paths"),
        (b"# a.mp4\n", "list contains no paths"),
        (
            "a.mp4\r\n./\r\n".encode("utf-16-le"),
            "most paths in list are a single letter, as in UTF",
        ),
        ("C:/二/a.mp4\n".encode("utf-16-be"), "most paths in list are a single letter"),
        (b"\xff\xfea\0b", "list is incomplete UTF-16; save it as UTF-8"),
        (b"\0\0\0\x20ftypisom" * 99, "no path in list exists, such as"),
        (b"gone\x1b[31m.mp4\n", r"such as 'gone\\x1b\[31m.mp4'; they are relative to"),
    ],
)
def test_what_is_no_list(here: Path, data: bytes, message: str) -> None:
    (here / "list").write_bytes(data)
    with pytest.raises(UsageError, match=message):
        read_list("list")


def test_lists_that_cannot_be_read(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, reason in (("gone", "No such file"), (".", "Is a directory")):
        with pytest.raises(UsageError, match=f"--from-file {name} cannot be read: {reason}"):
            read_list(name)
    terminal = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    with pytest.raises(UsageError, match="standard input is a terminal"):
        read_list("-")
    with pytest.raises(UsageError, match="pipe a video into it"), spooled():
        pass


def test_standard_input_is_a_file_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    data = os.urandom(3_000_000)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    with spooled() as path:
        assert path.read_bytes() == data
    assert not path.exists() and not path.parent.exists()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    empty = pytest.raises(InputError, match="the video on standard input is empty; check what")
    with empty, spooled():
        pass


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX limits")
def test_standard_input_needs_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"video")))
    full, nowhere = (
        pytest.raises(
            OutputError, match=f"cannot be copied to a temporary file: {reason}.*; name a folder"
        )
        for reason in ("File too large in ", "there is no folder for temporary files")
    )
    with full, file_size(2), spooled():
        pass
    monkeypatch.setattr(tempfile, "tempdir", None)  # it was found before
    with nowhere, file_size(0), spooled():
        pass
