"""The index: what is kept, what is found, and that several processes may use it."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from indexes import RECIPE, entries, put

from vidcaption.errors import OutputError, UsageError
from vidcaption.find import index as module
from vidcaption.find.index import Entry, Index, Recipe, State
from vidcaption.find.query import Query
from vidcaption.options.captioning import CaptionOptions

NAMES = st.sampled_from(["/a.mp4", "/b/a.mp4", "/b/\udcff.mkv"]).map(Path)
TEXTS = st.lists(st.sampled_from(["a dog", "a cat", "dogs and cats", ""]), max_size=4)


def found(index: Index, text: str, videos: Sequence[int] | None = None) -> list[str]:
    hits = index.match_all(Query.parse(text), videos, None)
    return [entry.text for entry in entries(index, hits)]


class Against(RuleBasedStateMachine):
    """Whatever is done to it, the index holds what a dictionary would."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.index = Index(Path(self.folder.name, "index.sqlite"), create=True)
        self.model: dict[Path, list[str]] = {}

    @rule(path=NAMES, texts=TEXTS)
    def put(self, path: Path, texts: list[str]) -> None:
        put(self.index, path, *texts)
        self.model[path] = texts

    @rule(path=NAMES, other=NAMES)
    def move(self, path: Path, other: Path) -> None:
        if video := self.index.video(path):
            self.index.move(video, other, State(7, 8, "moved"))
            self.model[other] = self.model.pop(path)

    @rule(path=NAMES, other=NAMES)
    def copy(self, path: Path, other: Path) -> None:
        if path != other and (video := self.index.video(path)):
            self.index.copy(video, other, State(7, 8, "copied"))
            self.model[other] = list(self.model[path])

    @rule(path=NAMES)
    def remove(self, path: Path) -> None:
        self.index.remove(filter(None, [self.index.video(path)]))
        self.model.pop(path, None)

    @rule()
    def reopen(self) -> None:
        path = self.index.path
        self.index.__exit__(None, None, None)
        self.index = Index(path)

    @invariant()
    def same(self) -> None:
        videos = self.index.videos()
        assert videos.keys() == self.model.keys()
        for word in ("dog", "cat"):
            for path, texts in self.model.items():
                wanted = sorted(text for text in texts if word in text)
                assert sorted(found(self.index, word, [videos[path].id])) == wanted
            everywhere = [text for texts in self.model.values() for text in texts if word in text]
            assert sorted(found(self.index, word)) == sorted(everywhere)
        # raises where the words are not those of the windows
        self.index._db.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")

    def teardown(self) -> None:
        self.index.__exit__(None, None, None)
        self.folder.cleanup()


TestAgainst = Against.TestCase
TestAgainst.settings = settings(max_examples=10, stateful_step_count=15, deadline=None)


def test_text_that_is_no_unicode_is_escaped(index: Index) -> None:
    entry = Entry(0, 4, "a dog \ud800\x1b[2J", -1.0, None, ("\udcff",))
    number = index.recipe_id(Recipe("/models/\udcff", "1" * 64, CaptionOptions()))
    index.put(Path("/a"), State(1, 1, "x"), number, [entry], error="/\udcff is no video")
    (kept,) = entries(index, index.match_all(Query.parse("dog"), None, None))
    assert (kept.text, kept.concepts) == (r"a dog \ud800\u001b[2J", (r"\udcff",))
    assert index.videos()[Path("/a")].error == r"/\udcff is no video"
    assert index.latest_recipe() == ("/models/\udcff", CaptionOptions())


def test_what_is_put_in_comes_out(index: Index) -> None:
    made = [Entry(0, 4.001, "Ein Hund läuft", -0.5, 0.25, ("dog",)), Entry(4, 8, "犬", -1.5)]
    state = State(5, 6, "digest")
    number = index.recipe_id(RECIPE)
    index.put(Path("/a.mp4"), state, number, made, duration_s=8.5)
    video = index.videos()[Path("/a.mp4")]
    assert (video.state, video.duration_s, video.recipe, video.error) == (state, 8.5, number, None)
    (hit,) = index.match_all(Query.parse("hund"), None, None)
    assert (hit.video, index.entry(hit.number)) == (video.id, made[0]) and hit.rank > 0
    assert index.count() == 2


def test_vectors_follow_their_video(index: Index) -> None:
    entries = [Entry(4.0 * i, 4.0 * i + 4, "a dog", -1.0, vector=bytes([i] * 3)) for i in (1, 2)]
    state, number = State(1, 1, "x"), index.recipe_id(RECIPE)
    index.put(Path("/a.mp4"), state, number, entries)
    put(index, Path("/none.mp4"), "a cat")
    (first,) = index.vectors(None)
    video = index.videos()[Path("/a.mp4")]
    assert first == (video.id, b"\1\1\1\2\2\2")
    index.move(video, Path("/b.mp4"), state)
    index.copy(video, Path("/c.mp4"), state)
    copied = index.videos()[Path("/c.mp4")].id
    assert list(index.vectors(None)) == [first, (copied, first[1])]
    assert list(index.vectors([copied])) == [(copied, first[1])]
    index.put(Path("/c.mp4"), state, number, entries[:1])
    index.remove([index.videos()[Path("/b.mp4")]])
    assert [rows for _, rows in index.vectors(None)] == [b"\1\1\1"]
    assert index.recipes(RECIPE.sha256) == {number} and index.recipes("1" * 64) == set()


def test_an_index_of_the_version_before_gets_vectors_when_written(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    with Index(path, create=True) as index:
        put(index, Path("/a.mp4"), "a dog")
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE vectors")
        database.execute("PRAGMA user_version = 1")
    database.close()
    with Index(path) as index:  # to search in
        assert found(index, "dog") == ["a dog"] and not list(index.vectors(None))
    for _ in range(2):
        with Index(path, create=True) as index:
            vector = Entry(0, 4, "a cat", -1.0, vector=b"\1")
            index.put(Path("/b.mp4"), State(1, 1, "x"), index.recipe_id(RECIPE), [vector])
            assert found(index, "dog") == ["a dog"] and len(list(index.vectors(None))) == 1


def test_rarer_words_count_for_more(index: Index) -> None:
    common = [f"a man number{i}" for i in range(20)]
    put(index, Path("/a.mp4"), *common, "a man and a zebra", "an old zebra in a zoo")
    hits = list(index.match_any(Query.parse("man zebra"), None, None))
    first = [entry.text for entry in entries(index, hits[:2])]
    assert first == ["a man and a zebra", "an old zebra in a zoo"]
    assert len(hits) == 22 and [hit.rank for hit in hits] == sorted(
        (hit.rank for hit in hits), reverse=True
    )


def test_of_equal_ones_the_surest_come_first(index: Index) -> None:
    made = [Entry(i, i + 1, "a dog", score) for i, score in enumerate((-2.0, -0.5, -1.0))]
    index.put(Path("/a.mp4"), State(1, 1, "x"), index.recipe_id(RECIPE), made)
    hits = index.match_all(Query.parse("dog"), None, None)
    assert [entry.score for entry in entries(index, hits)] == [-0.5, -1.0, -2.0]


def test_confidence_is_a_filter(index: Index) -> None:
    made = [Entry(i, i + 1, "a dog", -1.0, sure) for i, sure in enumerate((None, 0.5, 0.9))]
    index.put(Path("/a.mp4"), State(1, 1, "x"), index.recipe_id(RECIPE), made)
    hits = index.match_all(Query.parse("dog"), None, 0.5)
    assert [entry.confidence for entry in entries(index, hits)] == [0.5, 0.9]


def test_of_very_many_the_latest_are_ranked(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where more match than can be ranked in time, rare words still find all that they are in."""
    monkeypatch.setattr(module, "POOL", 5)
    put(index, Path("/old.mp4"), "a man", "a zebra", *["a man"] * 5)
    put(index, Path("/new.mp4"), *["a man"] * 5)
    videos = {video.id: path for path, video in index.videos().items()}
    hits = list(index.match_all(Query.parse("man"), None, None))
    assert [videos[hit.video] for hit in hits] == [Path("/new.mp4")] * 5
    (old,) = (id for id, path in videos.items() if path == Path("/old.mp4"))
    assert len(list(index.match_all(Query.parse("man"), [old], None))) == 5
    hits = list(index.match_any(Query.parse("man zebra"), None, None))
    assert [entry.text for entry in entries(index, hits)] == ["a zebra"]


def test_recipes(index: Index) -> None:
    assert index.latest_recipe() is None
    other = Recipe("runs/mine", "1" * 64, CaptionOptions(window_s=2, beam=5))
    first, second = index.recipe_id(RECIPE), index.recipe_id(other)
    assert first != second and index.recipe_id(RECIPE) == first
    assert index.latest_recipe() == (None, RECIPE.options)
    assert index.recipe_id(other) == second
    assert index.latest_recipe() == ("runs/mine", other.options)


def test_options_of_another_version_are_told_of(index: Index) -> None:
    put(index, Path("/a.mp4"))
    with sqlite3.connect(index.path) as database:
        database.execute("""UPDATE recipes SET options = '{"odd": 1}'""")
    database.close()
    with pytest.raises(UsageError, match="options that this version does not have"):
        index.latest_recipe()


def test_folders(index: Index) -> None:
    for name in ("/b", "/a\udcff", "/b"):
        index.add_folder(Path(name))
    assert index.folders() == [Path("/a\udcff"), Path("/b")]


@pytest.mark.parametrize(
    "content", [b"", b"SQLite format 3\0" + bytes(200), b"no database at all" * 50]
)
def test_what_is_no_index_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd"
    path.write_bytes(content)
    with pytest.raises((UsageError, OutputError), match=r"is not an index|is damaged"):
        Index(path)
    assert path.read_bytes() == content


def test_the_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE mine (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(UsageError, match="which is not an index; name another file"):
        Index(path, create=True)
    assert path.read_bytes() == before


def test_the_index_of_a_newer_version_is_refused(index: Index) -> None:
    with sqlite3.connect(index.path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(UsageError, match="made by a newer vidcaption; update this one"):
        Index(index.path)


def test_a_damaged_index_is_told_of(index: Index) -> None:
    put(index, Path("/a.mp4"), *["a dog"] * 500)
    index.__exit__(None, None, None)
    data = bytearray(index.path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    index.path.write_bytes(data)
    message = "is damaged; delete it, and index the videos again"
    with pytest.raises(OutputError, match=message), Index(index.path) as broken:
        broken.videos()


def test_places_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be opened or written"):
        Index(tmp_path, create=True)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written: "):
        Index(tmp_path / "file/index.sqlite", create=True)
    with pytest.raises(OutputError, match="cannot be opened or written"):
        Index(tmp_path / "gone.sqlite")


def test_a_busy_index_is_waited_for_and_told_of(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidcaption.find.database.WAIT_S", 0.01)
    message = "has been locked by another process for over 0.01 s; try again"
    with (
        Index(index.path) as other,
        index._writing(),
        pytest.raises(OutputError, match=message),
    ):
        put(other, Path("/a.mp4"), "a dog")
    assert not index.videos()


def test_an_error_undoes_a_transaction(index: Index) -> None:
    put(index, Path("/a.mp4"), "a dog")

    def half() -> object:
        yield Entry(0, 4, "a cat", -1.0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.put(Path("/a.mp4"), State(2, 2, "y"), 1, half())  # type: ignore[arg-type]
    assert found(index, "dog") == ["a dog"] and not found(index, "cat")
    put(index, Path("/b.mp4"), "a cat")
    assert found(index, "cat") == ["a cat"]


WRITE = """
import sys
from pathlib import Path
from indexes import put
from vidcaption.find.index import Index
with Index(Path(sys.argv[1]), create=True) as index:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(int(sys.argv[3])):
        put(index, Path(f"/{sys.argv[2]}/{number}.mp4"), *["a dog"] * 20)
        if number == 3:
            print("on", flush=True)
"""


def writer(path: Path, name: str, number: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", WRITE, str(path), name, str(number)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip


def test_two_writers_and_a_reader(tmp_path: Path) -> None:
    """Both make the file, and both write to it, while a third reads."""
    path = tmp_path / "new/index.sqlite"
    with writer(path, "one", 15) as one, writer(path, "two", 15) as two:
        for each in (one, two):
            assert each.stdout and each.stdout.readline() == "ready\n"
        for each in (one, two):
            assert each.stdin
            each.stdin.write("\n")
            each.stdin.flush()
        with Index(path) as index:
            while one.poll() is None or two.poll() is None:
                assert len(found(index, "dog")) % 20 == 0  # a video is there whole or not at all
    assert (one.returncode, two.returncode) == (0, 0)
    with Index(path) as index:
        assert len(index.videos()) == 30 and len(found(index, "dog")) == 600
    assert [each.name for each in path.parent.iterdir()] == ["index.sqlite"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_writer_leaves_whole_videos(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    with writer(path, "one", 10_000) as killed:
        assert killed.stdin and killed.stdout
        killed.stdin.write("\n")
        killed.stdin.flush()
        assert [killed.stdout.readline() for _ in range(2)] == ["ready\n", "on\n"]
        killed.send_signal(signal.SIGKILL)
    with Index(path) as index:
        assert len(index.videos()) >= 4
        assert len(found(index, "dog")) == 20 * len(index.videos())
        put(index, Path("/b.mp4"), "a cat")
        assert found(index, "cat") == ["a cat"]


def test_vectors_are_read_in_large_pages(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    with Index(path, create=True), closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA page_size").fetchone() == (16384,)


def test_options_of_later_versions_are_not_in_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    with Index(path, create=True) as index, closing(sqlite3.connect(path)) as file:
        index.recipe_id(RECIPE)
        [(options,)] = file.execute("SELECT options FROM recipes").fetchall()
    assert json.loads(options) == RECIPE.options.recipe
