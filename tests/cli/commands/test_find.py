"""The contracts of ``vidcaption find`` and ``vidcaption index``."""

import json
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import forks
import pytest
from clips import write_image
from indexes import put
from runs import QUICK, Apart, Run
from tiny import write_tiny

from vidcaption.cli import main
from vidcaption.find.index import Index

CLIP = Path(__file__).parents[3] / "examples/clip.mp4"
INDEX = ["index", "--beam", "1", "--frames", "1", "--end", "8"]
LINE = re.compile(r" *-?\d+\.\d\d  \S+  \[\d\d:\d\d\.\d{3} --> \d\d:\d\d\.\d{3}\] \S.*")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a video in ``videos``, and a user's data folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_, **__: tmp_path / "data")
    for command in ("RUN", "INDEX"):
        monkeypatch.setenv(f"VIDCAPTION_{command}_MODEL", str(tiny))
    (tmp_path / "videos").mkdir()
    shutil.copy(CLIP, tmp_path / "videos/clip.mp4")
    return tmp_path


@pytest.fixture
def dogs(here: Path) -> Path:
    """An index of made-up captions of the video."""
    path = here / "dogs.sqlite"
    with Index(path, create=True) as index:
        put(index, here / "videos/clip.mp4", "A dog on a beach", "Two men ride horses", "A dog")
    return path


class Out:
    """What a command did."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *args: str) -> None:
        self.code = main([*args])
        self.out, self.err = capsys.readouterr()
        self.lines = self.err.splitlines()

    @property
    def others(self) -> list[str]:
        """Without the line that says why only words are compared, which depends on the model."""
        return [line for line in self.lines if "only words are compared" not in line]


def test_the_first_search_indexes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = Out(capsys, "find", "motorcycles", "videos")
    assert found.code == 0
    assert found.lines[0] == "vidcaption: 1 file is new"
    assert all(LINE.fullmatch(line) for line in found.out.splitlines())
    assert "  videos/clip.mp4  [00:00.000 --> 00:04.000] " in found.out
    with Index(here / "data/index.sqlite") as opened:
        latest = opened.latest_recipe()
    assert latest and latest[1].frames == 2  # the model's, as --rerank looks again at as many
    # the second does not, and needs no folder, as the first is remembered
    assert Out(capsys, "find", "motorcycles").out == found.out
    (here / "videos/text.mp4").write_text("no video\n" * 100)
    again = Out(capsys, "find", "motorcycles")
    assert again.code == 1 and again.out == found.out
    assert any("text.mp4 is not a video" in line for line in again.lines)
    again = Out(capsys, "find", "motorcycles")
    assert again.code == 0 and again.others == [
        "vidcaption: 1 file is skipped: captioning failed before; vidcaption "
        "index --redo captions them again"
    ]


def test_index(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = [*INDEX, "--index", "i.sqlite"]
    assert Out(capsys, *index, "videos").code == 0
    done = Out(capsys, *index, "-q")
    assert (done.code, done.out, done.err) == (0, "", "")
    other = Out(capsys, *index, "--window", "2")
    assert other.code == 0 and other.lines == [
        "vidcaption: 1 file is captioned by another model or with other options; vidcaption index "
        "--redo captions them again"
    ]
    with Index(here / "i.sqlite") as opened:
        before = opened.videos()
    assert Out(capsys, *index, "--window", "2", "--redo").code == 0
    with Index(here / "i.sqlite") as opened:
        (after,) = opened.videos().values()
        assert after.recipe != before[after.path].recipe
        latest = opened.latest_recipe()
    assert latest is not None and latest[1].window_s == 2
    # find goes on as index did
    write_image(here / "videos/still.png")
    assert Out(capsys, "find", "man", "--index", "i.sqlite").code == 0
    with Index(here / "i.sqlite") as opened:
        assert {video.recipe for video in opened.videos().values()} == {after.recipe}


def test_prune(here: Path, capsys: pytest.CaptureFixture[str], dogs: Path) -> None:
    (here / "videos/clip.mp4").unlink()
    found = Out(capsys, "find", "dog", "--index", "dogs.sqlite", "--no-update")
    assert (found.code, found.out) == (0, "") and found.others == [
        "vidcaption: 2 moments are omitted, in missing files",
        "vidcaption: nothing found for 'dog'",
    ]
    pruned = Out(capsys, *INDEX, "--index", "dogs.sqlite", "--prune")
    assert pruned.code == 0 and "1 file is missing and removed" in pruned.err
    with Index(dogs) as index:
        assert not index.videos() and index.count() == 0


def test_json(dogs: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["find", "dogs on beaches", "--index", "dogs.sqlite", "--no-update", "--json"]
    rows = json.loads(Out(capsys, *args).out)
    assert [row["text"] for row in rows] == ["A dog on a beach", "A dog"]
    assert rows[0]["score"] >= rows[1]["score"] >= 0
    del rows[0]["score"]
    assert rows[0] == {
        "video": str(here / "videos/clip.mp4"), "start": 0.0, "end": 4.0,
        "text": "A dog on a beach", "confidence": None, "concepts": [],
    }  # fmt: skip
    assert len(json.loads(Out(capsys, *args, "--limit", "1").out)) == 1
    none = Out(capsys, "find", "zebra", "--index", "dogs.sqlite", "--no-update", "--json")
    assert (none.code, json.loads(none.out)) == (0, [])


def test_clips_and_page(dogs: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["find", "dog", "--index", "dogs.sqlite", "--no-update"]
    found = Out(capsys, *args, "--clip", "clips", "--html", "page.html", "-q")
    assert (found.code, found.err) == (0, "")
    names = sorted(path.name for path in (here / "clips").iterdir())
    assert names == ["001-clip-0.0s.mp4", "002-clip-8.0s.mp4"]
    assert (here / "page.html").read_text().count("data:image/jpeg") == 2
    (here / "videos/clip.mp4").write_text("no video")
    found = Out(capsys, *args, "--clip", "more")
    assert found.code == 1 and sum("not a video" in line for line in found.lines) == 2


def test_words_alone_load_little(dogs: Path, here: Path) -> None:
    found = Apart("find", "dog", "--index", "dogs.sqlite", "--no-update", cwd=here)
    assert found.code == 0 and len(found.out.splitlines()) == 2
    heavy = {"torch", "torchvision", "cv2", "av", "numpy", "jinja2", "rich", "huggingface_hub"}
    assert not heavy & found.loaded


@pytest.fixture
def meant(here: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Options for an index of a tiny model with the head joint."""
    model = write_tiny(here / "model", heads="caption+joint")
    place = ["--index", "m.sqlite"]
    assert Out(capsys, *INDEX, "videos", *place, "--model", str(model), "--window", "1").code == 0
    return [*place, "--no-update"]


def test_a_query_is_compared_by_meaning(
    meant: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Out(capsys, "find", "word1", *meant, "--json", "--limit", "99")
    rows = json.loads(found.out)
    texts = {word for row in rows for word in row["text"].split()}
    unsaid = next(f"word{i}" for i in range(1, 20) if f"word{i}" not in texts)
    for word in ("word1", unsaid, rows[0]["text"].split()[0]):
        asked = Out(capsys, "find", word, *meant, "--json")
        said = word in json.loads(asked.out)[0]["text"].split()
        assert (
            asked.lines == []
            if said
            else asked.lines
            == [
                f"vidcaption: the best match has none of the words of {word!r}; it looks most like "
                "them, and may show something else"
            ]
        )
    with Index(here / "m.sqlite") as index:
        assert len(rows) == index.count() > 1  # also those whose captions lack the word
    assert [row["score"] for row in rows] == sorted((r["score"] for r in rows), reverse=True)
    quoted = Out(capsys, "find", '"word1 word2"', *meant)
    assert quoted.err == "vidcaption: nothing found for '\"word1 word2\"'\n"
    unknown = Out(capsys, "find", "zebra", *meant)
    assert unknown.lines == [
        "vidcaption: only words are compared: the model knows none of the words",
        "vidcaption: nothing found for 'zebra'",
    ]
    apart = Apart("find", "word1", *meant, cwd=here)
    assert apart.code == 0 and len(apart.out.splitlines()) == min(10, len(rows))
    assert "numpy" in apart.loaded and not {"torch", "cv2", "av"} & apart.loaded


def test_what_looks_alike_is_found(
    meant: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole video by itself, and a picture in a folder without it."""
    found = Out(capsys, "find", "--like", "videos/clip.mp4", *meant, "--json")
    rows = json.loads(found.out)
    assert (found.code, found.err) == (0, "") and rows[0]["score"] > 0.5
    write_image(here / "still.png")
    (here / "empty").mkdir()
    like = ["find", "--like", "still.png"]
    assert Out(capsys, *like, "videos", *meant).out == Out(capsys, *like, *meant).out != ""
    assert "nothing found for 'still.png'" in Out(capsys, *like, "empty", *meant).err
    (here / "text.png").write_text("no picture")
    wrong = Out(capsys, "find", "--like", "text.png", *meant)
    assert wrong.code == 1 and "text.png" in wrong.err and "Traceback" not in wrong.err


def test_moments_are_looked_at_again(
    meant: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["find", "word1 word2", *meant, "--json"]
    first, again = (json.loads(Out(capsys, *args, *more).out) for more in ([], ["--rerank"]))
    assert {row["start"] for row in again} == {row["start"] for row in first}
    assert again[0]["score"] < first[0]["score"]  # by a log-probability
    assert [row["score"] for row in again] == sorted((r["score"] for r in again), reverse=True)
    few = json.loads(Out(capsys, *args, "--rerank", "--limit", "2").out)
    assert few == again[:2]
    (here / "videos/clip.mp4").write_text("no video")
    broken = Out(capsys, *args, "--rerank")
    assert broken.code == 0 and "a moment is not looked at again: " in broken.err
    assert json.loads(broken.out) == first


def test_a_model_without_a_joint_space(
    dogs: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_tiny(here / "model")
    assert Out(capsys, *INDEX, "videos", "--index", "p.sqlite", "--model", str(model)).code == 0
    args = ["--index", "p.sqlite", "--no-update"]
    found = Out(capsys, "find", "word1", *args)
    assert found.lines[0] == (
        f"vidcaption: only words are compared: the model {model} has no joint space"
    )
    like = Out(capsys, "find", "--like", "videos/clip.mp4", *args)
    assert (like.code, like.out) == (2, "")
    assert like.lines == [f"vidcaption: the model {model} has no joint space"]
    for head in ("joint", "alignment"):
        silent = str(write_tiny(here / head, heads=head))
        alone = Out(capsys, *INDEX, "videos", "--index", "j.sqlite", "--model", silent)
        assert alone.code != 0 and f"has the head {head} alone, which says nothing" in alone.err


@pytest.mark.parametrize(
    "args, message",
    [
        (["find", "dog"], "there is no index at .+ yet; name the folders to index, or run"),
        (["find", "dog", "videos", "--no-update"], "there is no index at .+ yet"),
        (["find", "* -dog", "videos"], "there is no word to search for in '. -dog'"),
        (["find", "dog", "gone"], "no such file or folder: gone"),
        (["find"], "there is nothing to search for; give words, or a picture with --like"),
        (
            ["find", "dog", "--like", "videos/clip.mp4"],
            "--like takes no words, and 'dog' is no file or",
        ),
        (["find", "--like", "videos/clip.mp4", "--rerank"], "--rerank needs words, and --like has"),
        (
            ["find", "dog", "--index", "videos/clip.mp4"],
            "clip.mp4, which is not an index",
        ),
        (["find", "dog", "--before", "now"], "--before is 'now'; give a date, such as"),
        (["find", "dog", "--limit", "0"], "--limit is 0; it must be at least 1"),
        (["index"], "there is no index at .+ yet; name the folders to index"),
        (["index", "gone"], "no such file or folder: gone"),
        (["run", "videos/clip.mp4", "--index", "videos/clip.mp4"], "which is not an index"),
    ],
)
def test_wrong_commands(
    capsys: pytest.CaptureFixture[str], here: Path, args: list[str], message: str
) -> None:
    wrong = Out(capsys, *args)
    assert wrong.code == 2 and wrong.out == ""
    assert len(wrong.lines) == 1 and re.search(message, wrong.lines[0])
    assert sorted(path.name for path in here.iterdir()) == ["videos"]


def test_open_without_a_player(
    dogs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("sys.platform", "linux")
    found = Out(capsys, "find", "dog", "--index", "dogs.sqlite", "--no-update", "--open")
    assert found.code == 3 and "--open needs mpv or VLC" in found.err
    assert len(found.out.splitlines()) == 2


def test_run_adds_to_an_index(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, "videos", "--jsonl", "-o", "-", "--index", "i.sqlite")
    assert run.code == 0
    texts = [json.loads(line)["text"] for line in run.out.splitlines()]
    with Index(here / "i.sqlite") as index:
        assert index.videos().keys() == {here / "videos/clip.mp4"}
        assert index.count() == len(texts)
    found = Out(capsys, "find", texts[0], "--index", "i.sqlite", "--no-update", "--json")
    assert texts[0] in [each["text"] for each in json.loads(found.out)]
    # the same options find it done
    index_args = ["index", *QUICK, "videos", "--index", "i.sqlite"]
    assert Out(capsys, *index_args).err == ""


def test_an_index_has_no_captions_below_the_confidence_asked_for(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["videos", "--jsonl", "-o", "-", "--index", "i.sqlite", "--min-confidence", "1"]
    run = Run(capsys, *asked, "--model", "default")
    rows = [json.loads(line) for line in run.out.splitlines()]
    assert run.code == 0 and rows and all(row["below_min_confidence"] for row in rows)
    with Index(here / "i.sqlite") as index:
        assert len(index.videos()) == 1 and index.count() == 0


def test_run_goes_on_where_the_index_fails(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidcaption.find.database.WAIT_S", 0.01)
    Index(here / "i.sqlite", create=True).__exit__(None, None, None)
    Out(capsys, *INDEX, "videos", "--index", "i.sqlite")
    with Index(here / "i.sqlite") as busy, busy._writing():
        run = Run(capsys, "videos", "--srt", "--index", "i.sqlite")
    assert run.code in (1, 3) and "has been locked by another process" in run.err


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_an_interrupt_says_how_to_go_on(here: Path) -> None:
    write_image(here / "videos/a.png")
    Index(here / "i.sqlite", create=True).__exit__(None, None, None)
    command = ["index", "videos", "--index", "i.sqlite", "--beam", "50", "--stride", "0.1"]
    process = forks.start(*command, cwd=here, stderr="said")
    captioned = False
    while not captioned and process.is_alive():  # the video takes long
        time.sleep(0.05)
        with Index(here / "i.sqlite") as index:
            captioned = bool(index.videos())
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    process.join()
    assert process.exitcode == 130
    said = "interrupted: 1 captioned, 1 left, in .*; the same command continues"
    assert re.search(said, (here / "said").read_text())
    with Index(here / "i.sqlite") as index:
        assert [path.name for path in index.videos()] == ["a.png"]
