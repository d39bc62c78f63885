import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from indexes import RECIPE, put

from vidcaption.errors import UsageError
from vidcaption.find.index import Entry, Index, State
from vidcaption.find.query import Query
from vidcaption.find.search import search
from vidcaption.options.batch import FindOptions

OLD_S, NEW_S = datetime(2025, 1, 1).timestamp(), datetime(2026, 5, 31, 12).timestamp()


@pytest.fixture
def footage(tmp_path: Path, index: Index) -> Path:
    """Three files that are there, with dogs in them, and one that is not."""
    recipe = index.recipe_id(RECIPE)
    for name, duration_s, changed_s, sure in (
        ("trip/beach.mp4", 60.0, OLD_S, 0.9),
        ("trip/Snow.mkv", 600.0, NEW_S, 0.4),
        ("home/dog.jpg", None, NEW_S, None),
        ("away/dog.mp4", 60.0, NEW_S, 1.0),
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if "away" not in name:
            path.touch()
        entries = [Entry(4, 8, f"a dog in {path.stem.lower()}", -1.0, sure)]
        state = State(1, int(changed_s * 1e9), name)
        index.put(path, state, recipe, entries, duration_s=duration_s)
    return tmp_path


def names(index: Index, query: str, *folders: Path, **options: Any) -> set[str]:
    found = search(index, Query.parse(query), FindOptions(**options), folders)
    return {moment.path.name for moment in found.moments}


@pytest.mark.parametrize(
    "options, found",
    [
        ({}, {"beach.mp4", "Snow.mkv", "dog.jpg"}),
        ({"path": "snow"}, {"Snow.mkv"}),
        ({"path": "trip/*.mp4"}, {"beach.mp4"}),
        ({"path": "trip/?????.mp4"}, {"beach.mp4"}),
        ({"longer_s": 60}, {"beach.mp4", "Snow.mkv"}),
        ({"shorter_s": 60}, {"beach.mp4", "dog.jpg"}),
        ({"after": "2026-05-31"}, {"Snow.mkv", "dog.jpg"}),
        ({"after": "2026-05-31T12:00:01"}, set()),
        ({"before": "2026-05-31"}, {"beach.mp4"}),
        ({"min_confidence": 0.4}, {"beach.mp4", "Snow.mkv"}),
        ({"min_confidence": 0.5, "after": "2026-01-01"}, set()),
    ],
)
def test_filters(footage: Path, index: Index, options: dict[str, Any], found: set[str]) -> None:
    assert names(index, "dogs", **options) == found


def test_folders(footage: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(footage)
    assert names(index, "dog", Path("trip")) == {"beach.mp4", "Snow.mkv"}
    assert names(index, "dog", Path("home"), footage / "trip/../home") == {"dog.jpg"}
    (footage / "link").symlink_to("home")
    assert names(index, "dog", Path("link")) == {"dog.jpg"}


def test_files_that_are_away_are_passed_over_and_counted(footage: Path, index: Index) -> None:
    query = Query.parse("dog")
    found = search(index, query, FindOptions())
    assert (len(found.moments), found.away) == (3, 1)
    (footage / "away/dog.mp4").touch()
    found = search(index, query, FindOptions())
    assert (len(found.moments), found.away) == (4, 0)


def test_those_with_all_words_come_before_those_with_some(index: Index, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.touch()
    put(index, path, "a zebra", "a long caption of a dog and then of a zebra", "a dog", "a cat")
    found = search(index, Query.parse("zebra dog"), FindOptions(limit=3)).moments
    assert [moment.start_s for moment in found] == [4, 0, 8] or [
        moment.start_s for moment in found
    ] == [4, 8, 0]
    assert len({moment.start_s for moment in found}) == 3  # each is found once
    found = search(index, Query.parse("zebra dog"), FindOptions(limit=1)).moments
    assert [moment.start_s for moment in found] == [4]
    assert (found[0].path, found[0].end_s, found[0].text[:6]) == (path, 8, "a long")


def test_many_that_are_away_do_not_hide_one_that_is_there(index: Index, tmp_path: Path) -> None:
    for number in range(8):
        put(index, tmp_path / f"gone/{number}.mp4", "a dog")
    path = tmp_path / "here.mp4"
    path.touch()
    put(index, path, "a very long caption of a dog")
    found = search(index, Query.parse("dog"), FindOptions(limit=1))
    assert [moment.path for moment in found.moments] == [path] and found.away == 8


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "31.05.2026", "0001-01-01"])
def test_odd_dates(day: str) -> None:
    with pytest.raises(UsageError, match=r"^--after is '.+'; give a date, such as 2026-05-31"):
        FindOptions(after=day)


def test_a_name_that_is_no_text(index: Index, tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4"))
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    put(index, path, "a dog")
    assert names(index, "dog", path="\udcff") == {path.name}
