"""Words and their ids."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from vidcaption.errors import ModelError
from vidcaption.reasons import unparsed

PAD, BOS, EOS, UNK = range(4)
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
MOST_WORDS = 200_000
# the lists of any texts, and what one of each is called
_TEXTS = {"labels": "label", "things": "thing", "predicates": "predicate"}
_WORD = re.compile(r"\w+(?:['\u2019-]\w+)*")


def tokenize(text: str) -> list[str]:
    """Lower-case words; punctuation is dropped, inner apostrophes and hyphens are kept.

    >>> tokenize("A man's T-shirt, wet.")
    ['a', "man's", 't-shirt', 'wet']
    """
    return _WORD.findall(text.lower())


class Vocabulary:
    """The words a model can say; ids 0-3 are ``<pad> <bos> <eos> <unk>``.

    ``concepts``: names that its content classifier tells apart, each of one or more of the words.
    ``classes``: for each class of the CNN's original classifier the index of its concept, or None.
    ``objects``: the concepts that an object detector tells apart, by index.
    ``labels``: what the head ``classes`` tells apart, any texts; ``things`` and ``predicates``: the
    kinds of objects, and of what is between two of them, that the head ``regions`` tells apart.
    """

    def __init__(
        self,
        words: Sequence[str],
        concepts: Sequence[str] = (),
        classes: Sequence[int | None] = (),
        objects: Sequence[int] = (),
        labels: Sequence[str] = (),
        things: Sequence[str] = (),
        predicates: Sequence[str] = (),
    ) -> None:
        self.words = (*SPECIAL, *words)
        self.concepts, self.classes = tuple(concepts), tuple(classes)
        self.objects, self.labels = tuple(objects), tuple(labels)
        self.things, self.predicates = tuple(things), tuple(predicates)
        self._ids = {word: i for i, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            raise ModelError("vocab.json contains a word twice; words must be unique")

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def build(cls, captions: Iterable[str], min_count: int | None = None) -> "Vocabulary":
        """Words seen at least ``min_count`` times, most frequent first.

        By default 5 times, and less often in fewer than 8,000 captions, down to once below 2,000.
        """
        texts = list(captions)
        min_count = min_count or min(5, 1 + len(texts) // 2000)
        counts = Counter(word for text in texts for word in tokenize(text))
        kept = [(-n, word) for word, n in counts.items() if n >= min_count and word not in SPECIAL]
        return cls([word for _, word in sorted(kept)])

    def encode(self, text: str) -> list[int]:
        """Ids of the words of ``text``, without ``<bos>`` and ``<eos>``."""
        return [self.id_of(word) for word in tokenize(text)]

    def id_of(self, word: str) -> int:
        return self._ids.get(word, UNK)

    def unknown(self, captions: Iterable[str]) -> set[str]:
        """The words of ``captions`` that are not in the vocabulary."""
        return {w for caption in captions for w in tokenize(caption)}.difference(self.words)

    def decode(self, ids: Iterable[int]) -> list[str]:
        return [self.words[i] for i in ids]

    def with_concepts(self, concepts: Sequence[str], classes: Sequence[int | None]) -> "Vocabulary":
        """The same with other concepts, and none that a detector tells apart."""
        words = self.words[len(SPECIAL) :]
        return Vocabulary(
            *(words, concepts, classes, (), self.labels), self.things, self.predicates
        )

    def to_json(self) -> str:
        words: Any = self.words[len(SPECIAL) :]
        more = {name: getattr(self, name) for name in ("objects", *_TEXTS) if getattr(self, name)}
        if self.concepts or more:
            words = {"words": words, "concepts": self.concepts, "classes": self.classes, **more}
        return json.dumps(words, ensure_ascii=False, indent=0) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Vocabulary":
        """Parse ``vocab.json``: a list of words, or an object of ``words``, ``concepts``,
        ``classes``, ``objects``, ``labels``, ``things`` and ``predicates``. Raises ModelError."""
        try:
            parsed: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(unparsed("vocab.json", "JSON", error)) from error
        if not isinstance(parsed, dict):
            return cls(_words(parsed))
        words, parts = parsed.pop("words", None), {}
        for name in ("concepts", "classes", "objects", *_TEXTS):
            parts[name] = parsed.pop(name, [])
            if not isinstance(parts[name], list):
                raise ModelError(f"vocab.json: {name} must be a list")
        if parsed:
            raise ModelError(
                f"vocab.json has unknown fields: {', '.join(map(repr, sorted(parsed)))}"
            )
        vocabulary = cls(_words(words), **parts)
        vocabulary._check_concepts()
        for name, one in _TEXTS.items():
            _check_texts(one, parts[name])
        return vocabulary

    def _check_concepts(self) -> None:
        for name in self.concepts:
            if not isinstance(name, str) or not (ids := self.encode(name)) or UNK in ids:
                raise ModelError(
                    f"vocab.json has the concept {name!r}; concepts must consist of its words"
                )
        if len(set(self.concepts)) != len(self.concepts):
            raise ModelError("vocab.json contains a concept twice; concepts must be unique")
        known = range(len(self.concepts))
        for index in self.classes:
            if index is not None and (type(index) is not int or index not in known):
                raise ModelError(
                    f"vocab.json maps a class to {index!r}; it must be null or from 0 to "
                    f"{len(known) - 1}"
                )
        if not all(type(index) is int and index in known for index in self.objects):
            raise ModelError(f"vocab.json: each of objects must be from 0 to {len(known) - 1}")
        if len(set(self.objects)) != len(self.objects):
            raise ModelError("vocab.json holds an object twice; each object must stand once")


def _check_texts(one: str, texts: list[Any]) -> None:
    """Raises ModelError."""
    for text in texts:
        if not isinstance(text, str) or not text.strip() or not text.isprintable():
            raise ModelError(f"vocab.json has the {one} {text!r}; a {one} is a printable text")
    if len(set(texts)) != len(texts):
        raise ModelError(f"vocab.json holds a {one} twice; each {one} must stand once")


def _words(words: Any) -> list[str]:
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ModelError("vocab.json must contain a list of words")
    if len(words) > MOST_WORDS:
        raise ModelError(f"vocab.json has {len(words)} words; allowed are up to {MOST_WORDS}")
    odd = [word for word in words if not word or " " in word or not word.isprintable()]
    if odd:
        raise ModelError(f"vocab.json contains {odd[0]!r}; words are printable, without spaces")
    return words
