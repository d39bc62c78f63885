from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from indexes import RECIPE, entries, put

from vidcaption.errors import UsageError
from vidcaption.find.index import Entry, Index, State
from vidcaption.find.query import MOST_TERMS, Query

WORDS = ("dog", "beach", "snow", "car", "red")
# what FTS5 has a meaning for, and what SQLite cannot take
SYNTAX = st.text(
    st.sampled_from(
        [*'"()*^:-+{}', "\0", "\ud800", "\x1b", " ", "\n", "ä", "犬", "\U0001e900", "a"]
    )
)


@pytest.fixture(scope="module")
def dogs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with Index(tmp_path_factory.mktemp("dogs") / "index.sqlite", create=True) as index:
        put(index, Path("/dogs.mp4"), "A dog on a beach", "Two men are riding horses")
        yield index


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with Index(tmp_path_factory.mktemp("store") / "index.sqlite", create=True) as index:
        yield index


@pytest.mark.parametrize(
    "text, terms, excluded",
    [
        ("a dog on the beach", ("dog", "beach"), ()),
        ("Dog DOG dog", ("dog",), ()),
        ("in the", ("in", "the"), ()),
        ('"man in the  sea" dog', ("man in the sea", "dog"), ()),
        ("dog -leash -'cat'", ("dog",), ("leash", "'cat'")),
        ('snow -"a man"', ("snow",), ("a man",)),
        ('"never closed', ("never closed",), ()),
        ("t-shirt", ("t-shirt",), ()),
        ("NEAR( dog * ^", ("near(", "dog"), ()),
    ],
)
def test_terms(text: str, terms: tuple[str, ...], excluded: tuple[str, ...]) -> None:
    query = Query.parse(text)
    assert (query.terms, query.excluded) == (terms, excluded)


def test_what_is_compared_by_meaning() -> None:
    query = Query.parse("A dog on the Beach -leash")
    assert query.sentence == "a dog on the beach" and not query.literal
    assert Query.parse('"dog"').literal is False
    assert Query.parse('a "red shirt"').literal


@pytest.mark.parametrize("text", ["", "  ", '""', "* ( ) -", "\0", "-dog"])
def test_nothing_to_look_for(text: str) -> None:
    with pytest.raises(UsageError, match=r"^there is no word to search for in "):
        Query.parse(text)


def test_too_many_words() -> None:
    text = " ".join(f"word{i}" for i in range(MOST_TERMS))
    assert len(Query.parse(text).terms) == MOST_TERMS
    with pytest.raises(UsageError, match="the query has 33 words, and at most 32 are allowed"):
        Query.parse(f"{text} -more")


@settings(deadline=None)
@given(st.text() | SYNTAX)
def test_whatever_is_typed_is_no_syntax(dogs: Index, text: str) -> None:
    """A query is refused in a sentence, or SQLite takes it."""
    try:
        query = Query.parse(text)
    except UsageError as error:
        assert "no word to search for" in str(error) or "are allowed" in str(error)
        return
    list(dogs.match_all(query, None, None))
    list(dogs.match_any(query, None, None))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6), min_size=1, max_size=8),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3, unique=True),
    st.sampled_from([*WORDS, None]),
)
def test_finds_what_has_the_words(
    store: Index,
    texts: list[list[str]],
    wanted: list[str],
    unwanted: str | None,
) -> None:
    query = Query.parse(" ".join(wanted) + (f" -{unwanted}" if unwanted else ""))
    allowed = [text for text in texts if unwanted not in text]
    put(store, Path("/a.mp4"), *map(" ".join, texts))
    hits = [entry.text.split() for entry in entries(store, store.match_all(query, None, None))]
    assert sorted(hits) == sorted(text for text in allowed if {*wanted} <= {*text})
    hits = [entry.text.split() for entry in entries(store, store.match_any(query, None, None))]
    assert sorted(hits) == sorted(text for text in allowed if {*wanted} & {*text})


@pytest.mark.parametrize(
    "text, found",
    [
        ("dogs", True),
        ("beaches", True),
        ("man ride horse", True),
        ("MEN rides", True),
        ('"riding horse"', True),
        ('"horses riding"', False),
        ("cat", False),
    ],
)
def test_other_forms_of_a_word_match(dogs: Index, text: str, found: bool) -> None:
    assert bool(list(dogs.match_all(Query.parse(text), None, None))) is found


def test_concepts_are_searched_and_accents_do_not_matter(index: Index) -> None:
    entry = Entry(0, 4, "Café at night", -1.0, 0.5, ("street", "fire hydrant"))
    index.put(Path("/a.mp4"), State(1, 1, "x"), index.recipe_id(RECIPE), [entry])
    for text in ("cafe", "streets", '"fire hydrant"', "café hydrants"):
        (hit,) = index.match_all(Query.parse(text), None, None)
        assert index.entry(hit.number) == entry
