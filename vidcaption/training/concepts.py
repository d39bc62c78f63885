"""The concepts of a training, their targets, and the concepts given with sentences.

Concepts are the frequent nouns, verbs and adjectives of the captions, each with its inflected
forms, and the classes of other networks whose scores are targets (Fang et al. 2015, section 3, use
the 1000 most frequent words).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vidcaption.datasets.objects import ObjectNames
from vidcaption.datasets.samples import Sample
from vidcaption.datasets.scores import Scores
from vidcaption.model.concepts import LEAST, Concepts
from vidcaption.model.vocabulary import Vocabulary, tokenize

MENTIONS = 40  # minimum samples with a concept in their captions; fewer in small datasets
SURE = 0.4  # share of a sample's captions above which a concept is certain
IGNORED = "person"  # detectors find one nearly everywhere, and captions use specific words

Array = NDArray[np.float32]


def name_concepts(
    captions: Sequence[Sequence[str]],
    vocabulary: Vocabulary,
    taught: Iterable[str],
    objects: ObjectNames,
) -> ObjectNames:
    """The concepts of a dataset, the most frequent first.

    ``captions``: of each training sample. ``taught``: names in score files; those made of words of
    the vocabulary become concepts as well. ``objects``: names that belong together.
    """
    samples: Counter[str] = Counter()  # in which a word occurs
    for several in captions:
        samples.update({word for text in several for word in tokenize(text)})
    known = set(vocabulary.words)
    meant = {name: each for name, each in objects.meanings.items() if each != IGNORED}
    forms: dict[str, list[str]] = defaultdict(list)  # by stem, the most frequent form first
    for word in sorted(known, key=lambda word: (-samples[word], word)):
        if word not in function_words() and word not in meant:
            forms[stem(word)].append(word)
    meanings: dict[str, str | None] = {
        name: each for name, each in meant.items() if each is None or known.issuperset(each.split())
    }
    frequent = Counter({words[0]: sum(samples[x] for x in words) for words in forms.values()})
    least = max(2, min(MENTIONS, len(captions) // 250))
    chosen = {name for name, count in frequent.items() if count >= least}
    chosen |= {each for each in meanings.values() if each}
    for name in taught:
        words = tokenize(name)
        folded = forms.get(stem(words[-1]), [name])[0] if len(words) == 1 else name
        if name != IGNORED and name not in meanings and known.issuperset(words):
            chosen.add(folded)
            meanings.setdefault(name, folded)
    for words in forms.values():
        if words[0] in chosen:
            meanings |= {word: words[0] for word in words}
    for name in chosen:
        meanings.setdefault(name, name)
    order = sorted(chosen, key=lambda name: (-frequent[name], name))
    return ObjectNames(tuple(order), meanings)


@lru_cache
def function_words() -> frozenset[str]:
    """Words that do not name anything visible."""
    text = files("vidcaption.training").joinpath("function_words.txt").read_text("utf-8")
    return frozenset(text.split())


_IRREGULAR = {
    form: base
    for base, text in {
        "man": "men",
        "woman": "women",
        "child": "children",
        "mouse": "mice",
        "goose": "geese",
        "leaf": "leaves",
        "knife": "knives",
        "foot": "feet",
        "run": "ran",
        "ride": "rode ridden",
        "sit": "sat",
        "stand": "stood",
        "drive": "drove driven",
        "eat": "ate eaten",
        "fly": "flew flown",
        "throw": "threw thrown",
        "hold": "held",
        "swim": "swam",
        "sing": "sang sung",
        "lie": "lying lies",
        "lay": "laid",
    }.items()
    for form in text.split()
}


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """The stem shared by the inflected forms of a word (Porter's English stemmer)."""
    return str(_stemmer().stemWord(_IRREGULAR.get(word, word)))


@lru_cache
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")


def concept_targets(
    samples: Sequence[Sample], names: ObjectNames, scores: Sequence[Scores]
) -> tuple[Array, NDArray[np.bool_]]:
    """The probability that each of S samples shows each of N concepts, and where it is known.

    Both (S, N). Captions give all concepts, each score file those that occur in it; of two values
    the higher counts.
    """
    index = {name: i for i, name in enumerate(names.classes)}
    targets = np.zeros((len(samples), len(index)), np.float32)
    known = np.zeros(targets.shape, np.bool_)
    for row, sample in enumerate(samples):
        if sample.captions:
            known[row] = True
            counts = Counter(name for text in sample.captions for name in names.named(text))
            for name, count in counts.items():
                targets[row, index[name]] = min(1.0, count / (SURE * len(sample.captions)))
    for table in scores:
        taught = {
            name: index[meaning]
            for name in {name for each in table.values() for name in each}
            if (meaning := names.meanings.get(name)) and name != IGNORED
        }
        columns = sorted(set(taught.values()))
        for row, sample in enumerate(samples):
            frames = [table[path] for still in sample.stills if (path := still.resolve()) in table]
            if not frames:
                continue
            known[row, columns] = True
            means: dict[int, float] = defaultdict(float)
            for each in frames:
                for name, score in each.items():
                    if name in taught:
                        means[taught[name]] += score / len(frames)
            for column, mean in means.items():
                targets[row, column] = max(targets[row, column], min(1.0, mean))
    return targets, known


class SentenceConcepts:
    """Concepts for sentences without pictures, with the classifier's confidence and errors.

    A concept named in a sentence gets a probability that the classifier gave it on a picture that
    shows it; false ones are added, that the classifier found on some picture without them.
    """

    def __init__(self, probabilities: Array, shown: NDArray[np.bool_], slots: int) -> None:
        """``probabilities``, ``shown``: (S, N), of pictures held out from the classifier."""
        self._slots = slots
        every = probabilities[shown]
        self._true = [
            mine if len(mine := probabilities[shown[:, n], n]) >= 5 else every
            for n in range(probabilities.shape[1])
        ]
        false = np.where(shown, 0.0, probabilities)
        order = np.argsort(-false, 1)[:, :slots]
        self._false = [
            [(int(n), float(false[row, n])) for n in best if false[row, n] >= LEAST]
            for row, best in enumerate(order)
        ]

    def draw(
        self,
        named: Sequence[Sequence[int]],
        rng: np.random.Generator,
        confused: Mapping[int, tuple[int, int]] | None = None,
    ) -> Concepts:
        """Slots (B, K) for sentences with these concepts. ``confused``: by sentence, one of its
        concepts and a false one, of which the classifier is less sure."""
        ids = np.zeros((len(named), self._slots), np.int64)
        confidence = np.zeros((len(named), self._slots), np.float32)
        for row, concepts in enumerate(named):
            seen = {n: float(rng.choice(self._true[n])) for n in concepts}
            false = self._false[rng.integers(len(self._false))]
            every = {n: p for n, p in false if n not in seen} | seen
            if confused and row in confused:
                true, other = confused[row]
                every.setdefault(other, float(rng.random()) * seen[true])
            best = sorted(every.items(), key=lambda item: -item[1])[: self._slots]
            for slot, (n, p) in enumerate(best):
                if p >= LEAST:
                    ids[row, slot], confidence[row, slot] = n, p
        return Concepts(torch.from_numpy(ids), torch.from_numpy(confidence))
