"""Queries, as expressions of SQLite's full-text search (FTS5)."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from vidcaption.errors import UsageError

MOST_TERMS = 32
# Function words are in most captions and do not distinguish them.
FUNCTION_WORDS = frozenset({
    "a", "an", "and", "are", "at", "be", "by", "for", "from", "has", "have", "her", "his", "in",
    "is", "it", "its", "of", "on", "or", "that", "the", "their", "there", "they", "this", "to",
    "was", "were", "while", "with",
})  # fmt: skip
# Plurals that the stemmer, which removes endings, does not handle.
_FORMS = (
    ("man", "men"), ("woman", "women"), ("child", "children"), ("person", "people"),
    ("foot", "feet"), ("tooth", "teeth"), ("goose", "geese"), ("mouse", "mice"),
    ("knife", "knives"), ("leaf", "leaves"), ("loaf", "loaves"), ("wolf", "wolves"),
    ("calf", "calves"), ("shelf", "shelves"), ("scarf", "scarves"), ("snowman", "snowmen"),
    ("fireman", "firemen"), ("policeman", "policemen"), ("fisherman", "fishermen"),
)  # fmt: skip
_OTHER_FORM = {one: other for pair in _FORMS for one, other in (pair, pair[::-1])}
_TERM = re.compile(r'(-?)(?:"([^"]*)"?|(\S+))')


@dataclass(frozen=True, slots=True)
class Query:
    """``terms``: words and phrases to search for; ``excluded``: those that must not occur.

    ``sentence``: what is searched for, with its function words.
    """

    terms: tuple[str, ...]
    excluded: tuple[str, ...] = ()
    sentence: str = ""

    @property
    def literal(self) -> bool:
        """Whether it has phrases, which are to be found as they are."""
        return any(" " in term for term in self.terms)

    @classmethod
    def parse(cls, text: str) -> "Query":
        """Words, ``"phrases in quotes"`` and ``-words`` or ``-"phrases"`` to exclude.

        Function words count only inside phrases, or if there is nothing else. Raises UsageError
        if there is nothing to search for, or too much.
        """
        terms: list[str] = []
        excluded: list[str] = []
        for minus, phrase, word in _TERM.findall(_clean(text)):
            term = " ".join((phrase or word.replace('"', " ")).casefold().split())
            if any(map(str.isalnum, term)):
                (excluded if minus else terms).append(term)
        sentence = " ".join(terms)
        terms = [term for term in terms if term not in FUNCTION_WORDS] or terms
        query = cls(tuple(dict.fromkeys(terms)), tuple(dict.fromkeys(excluded)), sentence)
        if not query.terms:
            raise UsageError(
                f"there is no word to search for in {text!r}; give some, such as "
                "'a dog on a beach -leash'"
            )
        if (number := len(query.terms) + len(query.excluded)) > MOST_TERMS:
            raise UsageError(
                f"the query has {number} words, and at most {MOST_TERMS} are allowed; remove some"
            )
        return query

    def all_of(self) -> str:
        """The expression for captions with every term."""
        return self._without_excluded(" AND ".join(map(expression, self.terms)))

    def any_of(self, terms: Iterable[str]) -> str:
        """The expression for captions with at least one of these terms."""
        return self._without_excluded(" OR ".join(map(expression, terms)))

    def none_of(self) -> str:
        """The expression for captions with an excluded term; empty if there is none."""
        return " OR ".join(map(expression, self.excluded))

    def _without_excluded(self, wanted: str) -> str:
        return f"({wanted}) NOT ({self.none_of()})" if self.excluded else wanted


def expression(term: str) -> str:
    """A term in FTS5's syntax: quoted strings, in which no character is special."""
    forms = (term, _OTHER_FORM[term]) if term in _OTHER_FORM else (term,)
    strings = " OR ".join('"' + form.replace('"', '""') + '"' for form in forms)
    return f"({strings})"


def _clean(text: str) -> str:
    """Without characters that SQLite cannot handle: controls, such as NUL, and lone surrogates."""
    return "".join(" " if unicodedata.category(c) in ("Cc", "Cs") else c for c in text)
