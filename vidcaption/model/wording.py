"""How English words go together: filters of the search, made from a vocabulary."""

import re

import torch
from torch import Tensor, nn

from vidcaption.model.vocabulary import SPECIAL, Vocabulary

NEVER = float("-inf")
REPEATED = 4.0  # nats that a word costs more when it is said again
# Words that a caption may well have twice.
_FUNCTION_WORDS = """
    a an the this that these those some any each every both all no another other others
    of in on at to by for from with without into onto over under through around across along
    behind beside near next between against above below up down out off away inside outside
    toward towards about as and or but while so than then there not very
    he she it they him her them his its their who whose which what i you we us my your our
    is are was were be being been has have had having do does can will s t
    one ones two three four five six seven eight nine ten several many few side
"""
_LIKE_YOU = re.compile(  # begin with a vowel letter, and not with the sound of one
    r"eu|ewe|one|once|u(?:-|$)|ub[ei]|uf|uk|uni(?![dmn])|ur(?:an|in)|us(?!h)|ut(?![mt])"
)
_LIKE_HOUR = re.compile(r"hour|honest|hono|heir")  # begin the other way round
# Read letter by letter or as numbers, so that either article may fit.
_READ_OTHERWISE = re.compile(r"[^a-z]|x-|[^aeiouy]+$|suv|nba|mma|led$|herb")


def wording(vocabulary: Vocabulary) -> list[nn.Module]:
    """The filters for a vocabulary. In one that is not English, only concepts cost more again."""
    english = {"a", "an", "the"}.issubset(vocabulary.words)
    filters: list[nn.Module] = [Repeated(*(_content if english else _concepts)(vocabulary))]
    return [*filters, Articles(vocabulary)] if english else filters


class Repeated(nn.Module):
    """Takes ``penalty``, (V,), off words that the caption already has, in any of their forms.

    ``forms``: (V, F), the words that are each word in another form, such as its plural, and itself.
    """

    def __init__(self, penalty: Tensor, forms: Tensor) -> None:
        super().__init__()
        self.register_buffer("penalty", penalty, persistent=False)
        self.register_buffer("forms", forms, persistent=False)

    def forward(self, log_probs: Tensor, words: Tensor) -> None:
        said = self.forms[words].flatten(-2)
        again = log_probs.gather(-1, said) - self.penalty[said]
        log_probs.scatter_(-1, said, again.to(log_probs))

    penalty: Tensor
    forms: Tensor


class Articles(nn.Module):
    """Rules out what does not fit to the article before it: "a airplane", "an cat"."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        a, an = vocabulary.encode("a an")
        kind = torch.zeros(len(vocabulary), dtype=torch.long, device="cpu")
        kind[a], kind[an] = 1, 2
        unfit = torch.zeros(3, len(vocabulary), dtype=torch.bool, device="cpu")
        for id, word in enumerate(vocabulary.words):
            if word not in SPECIAL and not _READ_OTHERWISE.match(word):
                unfit[1 if begins_with_vowel(word) else 2, id] = True
        unfit[1:, [a, an]] = True
        self.register_buffer("_kind", kind, persistent=False)  # (V,): of article
        self.register_buffer("_unfit", unfit, persistent=False)  # (kinds, V)

    def forward(self, log_probs: Tensor, words: Tensor) -> None:
        if words.shape[-1]:
            log_probs.masked_fill_(self._unfit[self._kind[words[..., -1]]], NEVER)

    _kind: Tensor
    _unfit: Tensor


def begins_with_vowel(word: str) -> bool:
    """Whether a word begins with the sound of a vowel, as far as its letters tell.

    >>> [word for word in ("apple", "uniform", "umbrella", "hour") if begins_with_vowel(word)]
    ['apple', 'umbrella', 'hour']
    """
    other_way = _LIKE_YOU if word[0] in "aeiou" else _LIKE_HOUR
    return (word[0] in "aeiou") is not bool(other_way.match(word))


def _content(vocabulary: Vocabulary) -> tuple[Tensor, Tensor]:
    """Penalty and forms where all words cost more again but those that hold others together."""
    penalty = torch.zeros(len(vocabulary), device="cpu")
    forms = torch.arange(len(vocabulary), device="cpu").unsqueeze(-1).repeat(1, 2)
    ids = {word: id for id, word in enumerate(vocabulary.words)}
    passed = {*SPECIAL, *_FUNCTION_WORDS.split()}
    content = {word: id for word, id in ids.items() if word not in passed}
    for word, id in content.items():
        penalty[id] = REPEATED
        plurals = (f"{word}s", f"{word}es", f"{word[:-1]}ies" if word.endswith("y") else "")
        plural = next((content[each] for each in plurals if each in content), None)
        if plural is not None and forms[id, 1] == id and forms[plural, 1] == plural:
            forms[id, 1], forms[plural, 1] = plural, id
    return penalty, forms


def _concepts(vocabulary: Vocabulary) -> tuple[Tensor, Tensor]:
    """The same where only the words of concepts do, in the form that they have."""
    penalty = torch.zeros(len(vocabulary), device="cpu")
    for name in vocabulary.concepts:
        penalty[vocabulary.encode(name)] = REPEATED
    return penalty, torch.arange(len(vocabulary), device="cpu").unsqueeze(-1)
