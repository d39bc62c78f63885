from pathlib import Path

import numpy as np
import pytest
from indexes import RECIPE
from tiny import write_tiny

from vidcaption.errors import UsageError
from vidcaption.find import meaning
from vidcaption.find.index import PLACE_BITS, Entry, Index, Recipe, State
from vidcaption.find.meaning import Wanted, read_query, similarities
from vidcaption.find.query import Query
from vidcaption.find.search import Moment, search
from vidcaption.find.space import space_of
from vidcaption.model.manifest import WEIGHTS, read_rows
from vidcaption.model.sentences import SIZE, STEPS, read_sentence
from vidcaption.options.batch import FindOptions
from vidcaption.options.captioning import CaptionOptions

SHA = RECIPE.sha256


def towards(*numbers: float) -> bytes:
    """A packed vector whose first numbers are these."""
    row = np.zeros(SIZE, np.int8)
    row[: len(numbers)] = np.rint(np.array(numbers) * STEPS)
    return row.tobytes()


def wanted(*numbers: float) -> Wanted:
    vector = np.zeros(SIZE, np.float32)
    vector[: len(numbers)] = numbers
    return Wanted(vector, SHA)


def put(index: Index, path: Path, *windows: tuple[str, bytes], sha256: str = SHA) -> int:
    path.touch()
    recipe = index.recipe_id(Recipe(None, sha256, CaptionOptions()))
    entries = [
        Entry(4.0 * i, 4.0 * i + 4, text, -1.0, 0.1 * i, (), vector)
        for i, (text, vector) in enumerate(windows)
    ]
    index.put(path, State(len(windows), 0, str(path)), recipe, entries, duration_s=60.0)
    return index.videos()[path].id


def texts(moments: list[Moment]) -> list[str]:
    return [moment.text for moment in moments]


def test_similarities_are_cosines_of_windows_in_order(index: Index, tmp_path: Path) -> None:
    near, far = towards(0.2, 0.1), towards(-0.1)
    first = put(index, tmp_path / "a.mp4", ("a", near), ("b", far))
    put(index, tmp_path / "b.mp4", ("c", b""))
    third = put(index, tmp_path / "c.mp4", ("d", far))
    numbers, cosines = similarities(index, wanted(1.0).vector, None)
    assert numbers.tolist() == [first << PLACE_BITS, (first << PLACE_BITS) + 1, third << PLACE_BITS]
    assert cosines == pytest.approx([0.2, -0.1, -0.1], abs=1 / STEPS)
    numbers, _ = similarities(index, wanted(1.0).vector, [third])
    assert numbers.tolist() == [third << PLACE_BITS]


def test_many_videos_are_read_in_parts(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [
        put(index, tmp_path / f"{i}.mp4", *[("a", towards(0.01 * i))] * (1 + i % 3))
        for i in range(7)
    ]
    whole = similarities(index, wanted(1.0).vector, None)
    monkeypatch.setattr(meaning, "_AT_ONCE", 3 * SIZE)
    parts = similarities(index, wanted(1.0).vector, None)
    assert [each.tolist() for each in parts] == [each.tolist() for each in whole]
    assert sorted(set((whole[0] >> PLACE_BITS).tolist())) == ids


def test_a_window_is_found_without_its_words(index: Index, tmp_path: Path) -> None:
    put(
        *(index, tmp_path / "a.mp4"),
        *(("a cat sleeps", towards(0.0)), ("a dog runs", towards(0.2))),
        ("a man", towards(0.1)),
    )
    query = Query.parse("puppy")
    assert not search(index, query, FindOptions()).moments
    found = search(index, query, FindOptions(), (), wanted(1.0)).moments
    assert texts(found) == ["a dog runs", "a man", "a cat sleeps"]
    assert [moment.said for moment in found] == [False, False, False]
    one = search(index, Query.parse("man puppy"), FindOptions(), (), wanted(1.0)).moments
    assert {moment.text: moment.said for moment in one} == {
        "a dog runs": False, "a man": True, "a cat sleeps": False
    }  # fmt: skip
    assert found[0].score == pytest.approx(0.2, abs=0.01)
    assert texts(search(index, None, FindOptions(limit=1), (), wanted(1.0)).moments) == [
        "a dog runs"
    ]


def test_of_more_hits_by_words_than_are_merged_none_counts_as_unsaid(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meaning, "MERGED", 1)
    put(index, tmp_path / "a.mp4", ("a dog", towards(0.0)), ("a dog runs", towards(0.2)))
    found = search(index, Query.parse("dog"), FindOptions(), (), wanted(1.0)).moments
    assert [(moment.text, moment.said) for moment in found] == [
        ("a dog runs", True), ("a dog", True)
    ]  # fmt: skip


def test_words_and_meaning_add_up(index: Index, tmp_path: Path) -> None:
    others = [(f"number{i}", towards(0.0)) for i in range(20)]
    put(
        *(index, tmp_path / "a.mp4"),
        *(("a dog", towards(0.12)), ("a zebra", towards(0.1)), ("a zebra", towards(0.2)), *others),
    )
    query = Query.parse("zebra")
    by_words = search(index, query, FindOptions(limit=2)).moments
    found = search(index, query, FindOptions(limit=3), (), wanted(1.0)).moments
    assert [(moment.text, moment.start_s) for moment in found] == [
        ("a zebra", 8), ("a zebra", 4), ("a dog", 0)
    ]  # fmt: skip
    expected = 0.2 + meaning.BM25_WEIGHT * by_words[0].score
    assert found[0].score == pytest.approx(expected, abs=0.01)


def test_the_last_window_is_found_once(index: Index, tmp_path: Path) -> None:
    put(index, tmp_path / "a.mp4", ("a horse", towards(0.2)), ("a zebra", towards(0.1)))
    found = search(index, Query.parse("zebra"), FindOptions(), (), wanted(1.0)).moments
    assert sorted(texts(found)) == ["a horse", "a zebra"]


def test_what_is_excluded_or_filtered_is_not_found_by_meaning(index: Index, tmp_path: Path) -> None:
    put(index, tmp_path / "a.mp4", ("a dog on a leash", towards(0.2)), ("a dog", towards(0.1)))
    put(index, tmp_path / "b.mp4", ("a horse", towards(0.2)))
    like = wanted(1.0)
    query = Query.parse("puppy -leash")
    assert texts(search(index, query, FindOptions(), (), like).moments) == ["a horse", "a dog"]
    sure = FindOptions(min_confidence=0.05)
    assert texts(search(index, query, sure, (), like).moments) == ["a dog"]
    here = FindOptions(path="b.mp4")
    assert texts(search(index, query, here, (), like).moments) == ["a horse"]
    (tmp_path / "b.mp4").unlink()
    found = search(index, query, FindOptions(), (), like)
    assert (texts(found.moments), found.away) == (["a dog"], 1)


def test_other_models_vectors_are_not_compared(index: Index, tmp_path: Path) -> None:
    """Their windows are still found by words."""
    put(index, tmp_path / "a.mp4", ("a dog", towards(0.2)), sha256="1" * 64)
    query = Query.parse("dog")
    assert texts(search(index, query, FindOptions(), (), wanted(1.0)).moments) == ["a dog"]
    assert not search(index, Query.parse("puppy"), FindOptions(), (), wanted(1.0)).moments
    put(index, tmp_path / "b.mp4", ("a horse", towards(0.1)))
    found = search(index, query, FindOptions(), (), wanted(1.0)).moments
    assert sorted(texts(found)) == ["a dog", "a horse"]
    none = put(index, tmp_path / "c.mp4", ("a dog", b""))
    assert none and len(search(index, query, FindOptions(), (), wanted(1.0)).moments) == 3


def test_an_index_without_vectors_is_searched_by_words(index: Index, tmp_path: Path) -> None:
    put(index, tmp_path / "a.mp4", ("a dog", b""))
    assert texts(search(index, Query.parse("dog"), FindOptions(), (), wanted(1.0)).moments) == [
        "a dog"
    ]


def test_the_query_is_read_by_the_model_of_the_index(index: Index, tmp_path: Path) -> None:
    query = Query.parse("a word3 -word4")
    with pytest.raises(UsageError, match="nothing is indexed yet"):
        read_query(space_of(index), query)
    folder = write_tiny(tmp_path / "model", heads="caption+joint")
    index.recipe_id(Recipe(str(folder), SHA, CaptionOptions()))
    with pytest.raises(UsageError, match="has changed since the files were indexed; vidcaption in"):
        read_query(space_of(index), query)
    sha256 = read_rows(folder)[WEIGHTS]["sha256"]
    index.recipe_id(Recipe(str(folder), sha256, CaptionOptions()))
    assert space_of(index) == (folder, sha256)
    read = read_query(space_of(index), query)
    expected = read_sentence(folder, "a word3")
    assert expected is not None and read.vector.tolist() == expected.tolist()
    assert read.sha256 == sha256
    with pytest.raises(UsageError, match="the model knows none of the words"):
        read_query(space_of(index), Query.parse("zebra"))
    index.recipe_id(Recipe(str(write_tiny(tmp_path / "plain")), SHA, CaptionOptions()))
    with pytest.raises(UsageError, match="plain has no joint space"):
        read_query(space_of(index), query)
    index.recipe_id(Recipe(str(tmp_path / "gone"), SHA, CaptionOptions()))
    with pytest.raises(UsageError, match="there is no model"):
        read_query(space_of(index), query)
