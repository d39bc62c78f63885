"""Words and their ids."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from vidcaption.errors import ModelError

PAD, BOS, EOS, UNK = range(4)
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
MOST_WORDS = 200_000
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
    ``labels``: what the head ``classes`` tells apart, any texts.
    """

    def __init__(
        self,
        words: Sequence[str],
        concepts: Sequence[str] = (),
        classes: Sequence[int | None] = (),
        objects: Sequence[int] = (),
        labels: Sequence[str] = (),
    ) -> None:
        self.words = (*SPECIAL, *words)
        self.concepts, self.classes = tuple(concepts), tuple(classes)
        self.objects, self.labels = tuple(objects), tuple(labels)
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

    def to_json(self) -> str:
        words: Any = self.words[len(SPECIAL) :]
        if self.concepts or self.labels:
            words = {"words": words, "concepts": self.concepts, "classes": self.classes}
            words |= {"objects": self.objects} if self.objects else {}
            words |= {"labels": self.labels} if self.labels else {}
        return json.dumps(words, ensure_ascii=False, indent=0) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Vocabulary":
        """Parse ``vocab.json``: a list of words, or an object of ``words``, ``concepts``,
        ``classes``, ``objects`` and ``labels``. Raises ModelError."""
        try:
            parsed: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"vocab.json is not JSON ({error})") from error
        if not isinstance(parsed, dict):
            return cls(_words(parsed))
        words, parts = parsed.pop("words", None), {}
        for name in ("concepts", "classes", "objects", "labels"):
            parts[name] = parsed.pop(name, [])
            if not isinstance(parts[name], list):
                raise ModelError(f"vocab.json: {name} must be a list")
        if parsed:
            raise ModelError(
                f"vocab.json has unknown fields: {', '.join(map(repr, sorted(parsed)))}"
            )
        vocabulary = cls(_words(words), **parts)
        vocabulary._check_concepts()
        vocabulary._check_labels()
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

    def _check_labels(self) -> None:
        for label in self.labels:
            if not isinstance(label, str) or not label.strip() or not label.isprintable():
                raise ModelError(f"vocab.json has the label {label!r}; a label is a printable text")
        if len(set(self.labels)) != len(self.labels):
            raise ModelError("vocab.json holds a label twice; each label must stand once")


def _words(words: Any) -> list[str]:
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ModelError("vocab.json must contain a list of words")
    if len(words) > MOST_WORDS:
        raise ModelError(f"vocab.json has {len(words)} words; allowed are up to {MOST_WORDS}")
    odd = [word for word in words if not word or " " in word or not word.isprintable()]
    if odd:
        raise ModelError(f"vocab.json contains {odd[0]!r}; words are printable, without spaces")
    return words
