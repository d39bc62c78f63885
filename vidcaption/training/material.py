"""Training data: samples with their targets, sentences without pictures, and concepts."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidcaption.datasets.objects import ObjectNames, coco_names, plural
from vidcaption.datasets.samples import TARGETS, Sample
from vidcaption.datasets.scores import Scores
from vidcaption.errors import UsageError
from vidcaption.model.concepts import Concepts
from vidcaption.model.parts import MATCHING
from vidcaption.model.vocabulary import SPECIAL, UNK, Vocabulary
from vidcaption.training.clips import pad, target
from vidcaption.training.concepts import SentenceConcepts, concept_targets, name_concepts
from vidcaption.training.roles import role_tables
from vidcaption.training.swaps import Swaps

HELD_OUT = 0.1  # share of the captioned samples held out from the content classifier
MOST_HELD_OUT = 1000
SWAPPED = 0.3  # share of the sentences without pictures in which a name is swapped
MOST_THINGS, MOST_PREDICATES = 150, 50  # as usual with Visual Genome (Xu et al. 2017)


class Material:
    """The samples and sentences of a training, and their concepts.

    ``train``, ``dev``: samples with a target for each head; ``pictures``: others, which only teach
    concepts. A row is an index of ``samples``.
    ``held_out``: indices of ``train`` on which the classifier's probabilities are measured.
    ``targets``: (S, N) in [0, 1] and ``known``: (S, N), of ``train`` and ``pictures`` together,
    with the concepts of the vocabulary.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        texts: Sequence[str] = (),
        *,
        min_count: int | None,
        seed: int,
        scores: Sequence[Scores] = (),
        classes: Sequence[str | None] = (),
        with_concepts: bool = False,
        vocabulary: Vocabulary | None = None,
        heads: Sequence[str] = ("caption",),
    ) -> None:
        """``texts``: sentences without pictures. ``scores``: by which other networks teach
        concepts. ``classes``: what each class of the CNN's original classifier is called.
        ``vocabulary``: to keep, instead of one of the words that occur ``min_count`` times, and of
        the labels. ``heads``: what the network has.

        Raises UsageError if a split is empty, or all labels are the same.
        """
        self.train, self.dev = (
            [s for s in samples if s.split == split and all(map(s.has, heads))]
            for split in ("train", "dev")
        )
        for split, part in (("train", self.train), ("dev", self.dev)):
            if not part:
                what = " and ".join(TARGETS[head][1] for head in heads)
                hint = "; --label-field names the field of the label" if "classes" in heads else ""
                raise UsageError(
                    f"no sample with a {what} is in the split {split!r}; training needs train and "
                    f"dev{hint}"
                )
        reads = not {"caption", *MATCHING}.isdisjoint(heads)
        captions = [sample.captions for sample in self.train if reads]
        if "regions" in heads:
            texts = [*texts, *phrases_of(self.train)]
        self.vocabulary = vocabulary or _vocabulary(captions, texts, min_count, self.train, heads)
        self._sentences = [*(text for several in captions for text in several), *texts]
        self._texts = [target(self.vocabulary, text) for text in texts]
        self._named: list[list[int]] = [[] for _ in texts]
        self.pictures: list[Sample] = []
        self.held_out: list[int] = []
        if not with_concepts:
            return
        taught = {name for table in scores for each in table.values() for name in each}
        taught |= {name for name in classes if name}
        names = name_concepts(captions, self.vocabulary, sorted(taught), coco_names())
        if vocabulary is None:
            index = {name: i for i, name in enumerate(names.classes)}
            meant = [index.get(names.meanings.get(name or "") or "") for name in classes]
            self.vocabulary = self.vocabulary.with_concepts(names.classes, meant)
        names = ObjectNames(
            self.vocabulary.concepts,
            {n: c for n, c in names.meanings.items() if c in {None, *self.vocabulary.concepts}},
        )
        self.pictures = [
            s for s in samples if not s.captions and s.split in (None, "train") and scores
        ]
        targets, known = concept_targets([*self.train, *self.pictures], names, scores)
        order = np.random.default_rng(seed).permutation(len(self.train))
        self.held_out = order[: min(MOST_HELD_OUT, int(HELD_OUT * len(order)))].tolist()
        self._shown = targets[self.held_out] >= 0.5
        known[self.held_out] = False
        self.targets, self.known = torch.from_numpy(targets), torch.from_numpy(known)
        self._names = names
        self._index = {name: i for i, name in enumerate(names.classes)}
        self._true = [set(np.flatnonzero(row >= 0.5).tolist()) for row in targets]
        self._named = [self._name(text) for text in texts]
        things = {each for name in taught if (each := names.meanings.get(name))}
        forms = {x for each in things for x in (each, plural(each)) if len(self._name(x)) == 1}
        swappable = {self.vocabulary.id_of(form) for form in forms} - {UNK}
        self._swaps = Swaps(self._texts, swappable, self.vocabulary)

    def _name(self, text: str) -> list[int]:
        return [self._index[name] for name in self._names.named(text)]

    def role_tables(self) -> tuple[Tensor, Tensor]:
        """How often concepts have which role in captions and texts; see ``Roles.take``."""
        return role_tables(self._sentences, self._names)

    def agree(self, sample: int, words: Sequence[int]) -> float:
        """The F1 score of the concepts in a caption, against those of a training sample.
        ``words``: ids."""
        named = set(self._name(" ".join(self.vocabulary.decode(words))))
        shown = self._true[sample]
        return 2 * len(named & shown) / max(1, len(named) + len(shown))

    def measure(self, probabilities: Tensor, slots: int) -> None:
        """Take (H, N) probabilities of the held-out samples to model the classifier's errors."""
        self._concepts = SentenceConcepts(probabilities.numpy(), self._shown, slots)

    def draw(self, count: int) -> tuple[Tensor, Concepts | None]:
        """Random sentences without pictures: (count, 1, L) ids from ``<bos>`` on, padded, and the
        concepts for them. Uses PyTorch's generator."""
        picks = torch.randint(len(self._texts), (count,)).tolist()
        if not self.held_out:
            return pad([[self._texts[i]] for i in picks]), None
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        sentences = [self._texts[i] for i in picks]
        named = [self._named[i] for i in picks]
        confused = {}
        for row in np.flatnonzero(rng.random(count) < SWAPPED).tolist():
            if swap := self._swaps.swap(sentences[row], rng):
                sentences[row] = swap.sentence
                named[row] = self._name(" ".join(self.vocabulary.decode(swap.sentence)))
                [old], [new] = (self._name(self.vocabulary.words[x]) for x in swap[1:])
                if new in named[row]:
                    confused[row] = new, old
        return pad([[each] for each in sentences]), self._concepts.draw(named, rng, confused)

    def describe(self) -> list[Any]:
        """The data that must be the same when a training is resumed."""
        every = (*self.train, *self.dev, *self.pictures)
        samples = [(s.id, s.split, s.captions, s.label, s.score, s.graph) for s in every]
        concepts = (self.vocabulary.concepts, self.vocabulary.classes)
        taught = [self.targets.sum().item(), self.known.sum().item()] if self.held_out else []
        return [
            self.vocabulary.words,
            self.vocabulary.labels,
            (self.vocabulary.things, self.vocabulary.predicates),
            concepts,
            samples,
            self._texts,
            taught,
        ]

    @property
    def samples(self) -> list[Sample]:
        """``train``, ``pictures`` and ``dev``."""
        return [*self.train, *self.pictures, *self.dev]

    @property
    def first_dev(self) -> int:
        """The row of the first dev sample."""
        return len(self.train) + len(self.pictures)

    @property
    def has_texts(self) -> bool:
        return bool(self._texts)


def _vocabulary(
    captions: Iterable[Sequence[str]],
    texts: Iterable[str],
    min_count: int | None,
    train: Sequence[Sample],
    heads: Sequence[str],
) -> Vocabulary:
    """The words of captions and texts, and the labels in alphabetical order, as far as the heads
    need them."""
    words = Vocabulary.build([*(x for several in captions for x in several), *texts], min_count)
    labels = labels_of(train) if "classes" in heads else ()
    things, predicates = names_of(train) if "regions" in heads else ((), ())
    return Vocabulary(
        words.words[len(SPECIAL) :], labels=labels, things=things, predicates=predicates
    )


def phrases_of(samples: Iterable[Sample]) -> list[str]:
    """What is said of the regions of samples."""
    return [region.text for s in samples if s.graph for region in s.graph.regions if region.text]


def names_of(samples: Iterable[Sample]) -> tuple[list[str], list[str]]:
    """The most frequent labels of regions and predicates of relations."""
    graphs = [sample.graph for sample in samples if sample.graph]
    labels = Counter(x.label for graph in graphs for x in graph.regions if x.label)
    predicates = Counter(x.predicate for graph in graphs for x in graph.relations)
    return _most(labels, MOST_THINGS), _most(predicates, MOST_PREDICATES)


def _most(counts: Counter[str], most: int) -> list[str]:
    return sorted(counts, key=lambda name: (-counts[name], name))[:most]


def labels_of(samples: Iterable[Sample]) -> list[str]:
    """The labels in alphabetical order. Raises UsageError if there are fewer than two."""
    labels = sorted({sample.label for sample in samples if sample.label is not None})
    if len(labels) < 2:
        found = f"only the label {labels[0]!r}" if labels else "no label"
        raise UsageError(f"the training samples have {found}; classes need at least two")
    return labels
