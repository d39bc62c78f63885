"""Classes of objects, and which of them a sentence names.

A file of classes is TOML: a table ``classes`` with a list of names for each class, and optionally
a list ``ignore`` of phrases that contain a name but mean something else:

    ignore = ["corn dog"]

    [classes]
    dog = ["puppy"]
    "hot dog" = []
    knife = ["knives"]

A class's own name and the regular plurals of all names count as well, unless the file gives them
another meaning. Where names overlap, the longest counts: a hot dog is not a dog.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vidcaption.datasets.items import read_text
from vidcaption.errors import UsageError
from vidcaption.reasons import unparsed

COCO = Path(__file__).parent / "coco.toml"
# Splits at apostrophes and hyphens ("the dog's", "teddy-bear"). Other punctuation is a separate
# word, so that no name spans it: "an apple, computers".
_WORD = re.compile(r"\w+|[^\w\s'\u2019-]")


@dataclass(frozen=True)
class ObjectNames:
    """``classes``, in the file's order; ``meanings``: the class of each name, or None.

    A name is lower-case words separated by one space.
    """

    classes: tuple[str, ...]
    meanings: Mapping[str, str | None]

    def without(self, dropped: str) -> "ObjectNames":
        """Without one class: its names name nothing."""
        return ObjectNames(
            tuple(each for each in self.classes if each != dropped),
            {n: None if each == dropped else each for n, each in self.meanings.items()},
        )

    def named(self, sentence: str) -> list[str]:
        """The classes that a sentence names, each once, in the order of their first mention.

        >>> coco_names().named("A teddy bear eats two hot-dogs on the dog's sofa.")
        ['teddy bear', 'hot dog', 'dog', 'couch']
        """
        return list(dict.fromkeys(each for _, each in self.read(sentence) if each))

    def read(self, sentence: str) -> Iterator[tuple[str, str | None]]:
        """The names of a sentence and its other words, in order, and the class of each."""
        words, start = _words(sentence), 0
        while start < len(words):
            for length in range(self._longest.get(words[start], 1), 0, -1):
                name = " ".join(words[start : start + length])
                if name in self.meanings:
                    break
            yield name, self.meanings.get(name)
            start += length

    @cached_property
    def _longest(self) -> dict[str, int]:
        """The maximum number of words of the names, by their first word."""
        longest: dict[str, int] = {}
        for name in self.meanings:
            first, *rest = name.split()
            longest[first] = max(longest.get(first, 0), 1 + len(rest))
        return longest


def coco_names() -> ObjectNames:
    """The 80 object classes of COCO (Lin et al. 2014), including ``person``."""
    return read_names(COCO)


def read_names(path: Path) -> ObjectNames:
    """Reads a file of classes. Raises UsageError that explains what is wrong with it."""
    try:
        content = tomllib.loads(read_text(path))
    except (ValueError, RecursionError) as error:  # not TOML, or a number of too many digits
        raise UsageError(f"{unparsed(path, 'TOML', error)}; correct it") from error
    classes, ignore = content.pop("classes", None), content.pop("ignore", [])
    if content:
        raise UsageError(
            f"{path} has {next(iter(content))!r} at the top; allowed are only [classes] and ignore"
        )
    if not isinstance(classes, dict) or not classes:
        raise UsageError(f"{path} needs a table [classes] with a list of names for each class")
    try:
        return ObjectNames(tuple(classes), _meanings(classes, ignore))
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error


def _meanings(classes: Mapping[str, Any], ignore: Any) -> dict[str, str | None]:
    """Listed names take precedence over class names, and those over plurals. Raises ValueError."""
    meanings: dict[str, str | None] = {}
    for each, names in [*classes.items(), (None, ignore)]:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"{each or 'ignore'} must be a list of names; got {names!r:.60}")
        for name in map(_normal, names):
            if meanings.setdefault(name, each) != each:
                places = f"{meanings[name]} and {each or 'ignore'}"
                raise ValueError(f"{name!r} is listed under {places}; keep it in one place")
    for each in classes:
        if meanings.setdefault(_normal(each), each) not in (each, None):
            raise ValueError(f"the class {each!r} is also a name of {meanings[_normal(each)]!r}")
    return {plural(name): each for name, each in meanings.items()} | meanings


def _normal(name: str) -> str:
    """A name as in a tokenized sentence. Raises ValueError."""
    if not any(map(str.isalnum, name)):
        raise ValueError(f"a name must have a letter or digit; got {name!r}")
    return " ".join(_words(name))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def plural(name: str) -> str:
    """The regular plural.

    >>> plural("park bench"), plural("puppy"), plural("toy")
    ('park benches', 'puppies', 'toys')
    """
    if re.search("[^aeiou]y$", name):
        return name[:-1] + "ies"
    return name + ("es" if re.search("(s|x|z|ch|sh)$", name) else "s")
