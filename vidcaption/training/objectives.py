"""What a stage makes small: one class for each objective, by name in OBJECTIVES.

A new objective is a class here, or in a module beside this one, and a line in OBJECTIVES.
"""

import math
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from vidcaption.datasets.samples import Sample
from vidcaption.evaluation.captioning import in_batches
from vidcaption.model.concepts import Concepts
from vidcaption.model.device import Machine
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.search import FIT, Voice, finish
from vidcaption.model.search import sample as draw_captions
from vidcaption.model.vocabulary import BOS, EOS, PAD
from vidcaption.options.captioning import SearchOptions
from vidcaption.options.training import TrainOptions
from vidcaption.training.clips import MOST_WORDS, Batch, Look, target
from vidcaption.training.consensus import Consensus
from vidcaption.training.discriminator import Discriminator
from vidcaption.training.distributed import World
from vidcaption.training.judge import (
    ask_head,
    judge_concepts,
    judge_labels,
    judge_matches,
    judge_scores,
)
from vidcaption.training.losses import (
    Term,
    classification,
    cross_entropy,
    match,
    rank,
    reinforce,
    self_critical,
)
from vidcaption.training.material import Material
from vidcaption.training.objective import Objective, Seen
from vidcaption.training.regions import Regions

SCST_CAPTIONS = 5
FIT_TEMPERATURE = 0.3  # of the ranks of captions to choose from
DISCRIMINATOR_EMBEDDING, DISCRIMINATOR_LR = 128, 1e-4


class CaptionObjective(Objective):
    """Of samples with captions, for networks that write some."""

    @staticmethod
    def applies(network: CaptionNetwork, material: Material, options: TrainOptions) -> bool:
        return network.config.writes

    def takes(self, sample: Sample) -> bool:
        return bool(sample.captions)


class Captions(CaptionObjective):
    """The captions of the samples, by cross entropy."""

    def forward(self, seen: Seen) -> Term:
        options = seen.options
        return cross_entropy(
            seen.network.decoder,
            seen.memory,
            seen.batch.words.to(seen.features.device, non_blocking=True),
            smoothing=options.label_smoothing,
            own_words=options.own_words * seen.done,
            evenly=options.even_attention,
        )


class Texts(Objective):
    """Sentences without pictures, with the concepts that they name, by cross entropy."""

    @staticmethod
    def applies(network: CaptionNetwork, material: Material, options: TrainOptions) -> bool:
        return network.config.writes and material.has_texts and options.text_batch > 0

    @torch.inference_mode()
    def begin(self, network: CaptionNetwork, look: Look) -> None:
        """See how sure the classifier is of samples that it never learnt."""
        material, classifier = self._material, network.classifier
        if classifier is None:
            return
        network.eval()
        held_out = material.held_out
        rows = torch.empty(len(held_out), len(material.vocabulary.concepts))
        batches = in_batches(lambda i: look(held_out[i]), range(len(held_out)), 32, self._machine)
        for indices, clips in batches:
            with self._machine.autocast():
                features = network.encode(clips) if clips.dtype == torch.uint8 else clips
                rows[indices] = classifier(features.float()).sigmoid().mean(1).float().cpu()
        material.measure(rows, network.config.concept_slots)

    def forward(self, seen: Seen) -> Term:
        words, concepts = self._material.draw(seen.options.text_batch)
        device, channels = seen.features.device, seen.features.shape[-1]
        blank = torch.zeros(len(words), 1, 1, channels, device=device)
        named = concepts and Concepts(concepts.ids.to(device), concepts.confidence.to(device))
        return cross_entropy(
            seen.network.decoder,
            seen.network.remember(blank, named),
            words.to(device),
            smoothing=seen.options.label_smoothing,
        )


class ConceptLabels(Objective):
    """The concepts that samples show, by binary cross entropy of the content classifier."""

    @staticmethod
    def applies(network: CaptionNetwork, material: Material, options: TrainOptions) -> bool:
        return network.classifier is not None

    def rows(self) -> Sequence[int]:
        held_out = set(self._material.held_out)
        return [i for i in range(len(self._material.known)) if i not in held_out]

    def forward(self, seen: Seen) -> Term:
        rows, device = seen.batch.samples, seen.features.device
        targets, known = self._material.targets[rows], self._material.known[rows]
        return classification(seen.network, seen.features, targets.to(device), known.to(device))

    def judge(self, network: CaptionNetwork, look: Look, options: TrainOptions) -> dict[str, float]:
        return judge_concepts(network, self._material, look, self._machine)


class Rewards(CaptionObjective):
    """What sampled captions are worth: CIDEr-D, and whether they name what is there."""

    dropout = False  # captions are drawn from the network that is then judged
    in_nats = False

    @cached_property
    def _cider(self) -> Mapping[int, Callable[[Sequence[int]], float]]:
        """CIDEr-D by the sample. N-grams are as rare as they are in its dataset, as when that is
        evaluated by itself."""
        vocabulary, train = self._material.vocabulary, self._material.train
        datasets: dict[str, list[int]] = defaultdict(list)
        for row, sample in enumerate(train):
            datasets[sample.dataset].append(row)
        scorers: dict[int, Callable[[Sequence[int]], float]] = {}
        for rows in datasets.values():
            captions = [[target(vocabulary, text) for text in train[row].captions] for row in rows]
            consensus = Consensus(captions)
            scorers |= {row: partial(consensus.score, place) for place, row in enumerate(rows)}
        return scorers

    def forward(self, seen: Seen) -> Term:
        options = seen.options
        reward = partial(self._reward, seen)
        return self_critical(
            *(seen.network.decoder, seen.memory, reward),
            *(SCST_CAPTIONS, MOST_WORDS, options.scst_temperature),
        )

    def _reward(self, seen: Seen, row: int, words: Sequence[int]) -> float:
        sample, weight = seen.batch.samples[row], seen.options.scst_concepts
        worth = self._cider[sample](words)
        if weight and seen.network.classifier:
            worth += weight * 10 * self._material.agree(sample, words)
        return worth


class Fit(Rewards):
    """What captions are worth that are chosen by how well they fit in the joint space.

    The likeliest captions of the search are each chosen with some probability, and the term is the
    negative expected reward (minimum risk, Shen et al. 2016, of a reranker, as in Och 2003).
    """

    dropout = True  # the captions come from the network without it

    @staticmethod
    def applies(network: CaptionNetwork, material: Material, options: TrainOptions) -> bool:
        return network.config.writes and "joint" in network.heads

    def forward(self, seen: Seen) -> Term:
        network, joint = seen.network, cast(Any, seen.network.heads["joint"])
        ranks, words = self._finished(seen)
        rewards = torch.tensor(
            [
                [self._reward(seen, row, [*(i for i in ids if i != PAD), EOS]) for ids in several]
                for row, several in enumerate(words.tolist())
            ]
        )
        cosines = joint.fit(joint(seen.memory), words, network.decoder.embedding)
        chances = ((ranks + FIT * cosines) / FIT_TEMPERATURE).softmax(-1)
        return Term(-(chances * rewards.to(chances)).sum(), len(chances))

    @staticmethod
    @torch.no_grad()
    def _finished(seen: Seen) -> tuple[Tensor, Tensor]:
        """Ranks (B, K) and words (B, K, L) of what the network would choose from."""
        network = seen.network
        if dropout := network.training:
            network.eval()
        concepts = network.recognise(seen.features)
        memory = network.remember(seen.features, concepts)
        voices = [Voice(network.decoder, memory)]
        ranker = finish(voices, SearchOptions(), network.hints(concepts))
        if dropout:
            network.train()
        return ranker.ranks, ranker.words


class Consistency(CaptionObjective):
    """How far captions are from their videos in one space (aLSTMs, Gao et al. 2017).

    Both are mapped to it linearly: a caption is the mean of its word vectors, which know nothing of
    the video. They are centred over the batch, or all could be mapped to one point.
    """

    in_nats = False

    def __init__(
        self, network: CaptionNetwork, material: Material, machine: Machine, world: World
    ) -> None:
        super().__init__(network, material, machine, world)
        size, embedding = network.config.size, network.config.embedding
        self.video = nn.Linear(size, embedding)
        self.sentence = nn.Linear(embedding, embedding)

    def forward(self, seen: Seen) -> Term:
        words = seen.batch.words[..., 1:].to(seen.features.device, non_blocking=True)
        real = (words != PAD).unsqueeze(-1)
        vectors = seen.network.decoder.embedding(words) * real  # (B, K, L, E)
        said = self.sentence(vectors.sum(2) / real.sum(2))
        shown = self.video(seen.memory.pooled.float()).unsqueeze(1)
        said, shown = (
            F.normalize(x.float() - x.float().mean((0, 1)), dim=-1) for x in (said, shown)
        )
        return Term((said - shown).square().sum(), said.shape[0] * said.shape[1])


class Adversarial(CaptionObjective):
    """Captions that a discriminator takes for those of people (LSTM-GAN, Yang et al. 2018).

    The network learns by REINFORCE: sampled captions are worth the log-probability that people
    wrote them. The discriminator learns after each of its steps, from these and the true captions.
    """

    dropout = False  # captions are drawn from the network that is then judged
    in_nats = False
    apart = True

    def __init__(
        self, network: CaptionNetwork, material: Material, machine: Machine, world: World
    ) -> None:
        super().__init__(network, material, machine, world)
        self.discriminator = Discriminator(
            *(len(material.vocabulary), DISCRIMINATOR_EMBEDDING, network.encoder.channels)
        )
        self._optimizer = Adam(self.discriminator.parameters(), lr=DISCRIMINATOR_LR)
        self._said: Tensor | None = None  # (B, K, L), in the step that is not over yet

    def forward(self, seen: Seen) -> Term:
        decoder, temperature = seen.network.decoder, seen.options.scst_temperature
        words = draw_captions(decoder, seen.memory, SCST_CAPTIONS, MOST_WORDS, temperature)
        self._said = words[..., 1:]
        with torch.no_grad():
            rewards = F.logsigmoid(self.discriminator(self._said, self._shown(seen)).float())
        return reinforce(decoder, seen.memory, words, rewards, temperature)

    def update(self, seen: Seen) -> None:
        assert self._said is not None
        true = seen.batch.words[..., 1:].to(seen.features.device)
        odds = [self.discriminator(words, self._shown(seen)) for words in (true, self._said)]
        loss = F.softplus(-odds[0]).mean() + F.softplus(odds[1]).mean()
        self._optimizer.zero_grad()
        loss.backward()
        self._world.average_gradients(self.discriminator.parameters())
        self._optimizer.step()
        self._said = None

    @staticmethod
    def _shown(seen: Seen) -> Tensor:
        pooled = seen.features.detach().float().mean((1, 2))
        return pooled[..., : seen.network.encoder.channels]

    def get_extra_state(self) -> dict[str, Any]:
        return self._optimizer.state_dict()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self._optimizer.load_state_dict(state)


class HeadTarget(Objective):
    """What samples have for a head beside captions, by the loss of that head."""

    head: str

    def __init__(
        self, network: CaptionNetwork, material: Material, machine: Machine, world: World
    ) -> None:
        super().__init__(network, material, machine, world)
        self._targets = self._read(material)

    @abstractmethod
    def _read(self, material: Material) -> Tensor:
        """The target of each row."""

    @abstractmethod
    def _score(self, said: Tensor, targets: Tensor) -> dict[str, float]:
        """``loss``, and the metric by which epochs are chosen. ``said``: what the head gives."""

    def forward(self, seen: Seen) -> Term:
        targets = self._targets[seen.batch.samples].to(seen.features.device)
        head: Any = seen.network.heads[self.head]
        return Term(head.loss(seen.memory, targets), len(targets))

    def judge(self, network: CaptionNetwork, look: Look, options: TrainOptions) -> dict[str, float]:
        dev = range(self._material.first_dev, len(self._targets))
        said = ask_head(self.head, network, dev, look, self._machine, self._world)
        metrics = self._score(said, self._targets[dev.start :])
        return metrics if options.select == "cider" else dict(reversed(metrics.items()))


class Labels(HeadTarget):
    """The labels of the samples, by cross entropy; judged by the accuracy."""

    head = "classes"

    @staticmethod
    def applies(network: CaptionNetwork, material: Material, options: TrainOptions) -> bool:
        return "classes" in network.heads

    def takes(self, sample: Sample) -> bool:
        return sample.label in self._material.vocabulary.labels

    def _read(self, material: Material) -> Tensor:
        index = {label: i for i, label in enumerate(material.vocabulary.labels)}
        return torch.tensor([index.get(s.label or "", -1) for s in material.samples])

    def _score(self, said: Tensor, targets: Tensor) -> dict[str, float]:
        return judge_labels(said, targets)


class Scores(HeadTarget):
    """The scores of the samples, by squared error; judged by Spearman's correlation."""

    head = "score"
    in_nats = False

    def __init__(
        self, network: CaptionNetwork, material: Material, machine: Machine, world: World
    ) -> None:
        super().__init__(network, material, machine, world)
        if "score" in network.heads:
            head: Any = network.heads["score"]
            head.standardize(self._targets[: len(material.train)])

    @staticmethod
    def applies(network: CaptionNetwork, material: Material, options: TrainOptions) -> bool:
        return "score" in network.heads

    def takes(self, sample: Sample) -> bool:
        return sample.score is not None

    def _read(self, material: Material) -> Tensor:
        scores = (math.nan if s.score is None else s.score for s in material.samples)
        return torch.tensor(list(scores), dtype=torch.float32)

    def _score(self, said: Tensor, targets: Tensor) -> dict[str, float]:
        return judge_scores(said, targets)


class Joint(Objective):
    """Captions and samples that belong together, by how well the head joint tells them from others;
    judged by the mean recall."""

    head = "joint"
    loss = staticmethod(match)

    @staticmethod
    def applies(network: CaptionNetwork, material: Material, options: TrainOptions) -> bool:
        return "joint" in network.heads

    def takes(self, sample: Sample) -> bool:
        return bool(sample.captions)

    def forward(self, seen: Seen) -> Term:
        network, words = seen.network, seen.batch.words
        head: Any = network.heads[self.head]
        windows = head(seen.memory)
        captions = [
            [[i for i in ids if i not in (PAD, BOS, EOS)] for ids in several]
            for several in words.tolist()
        ]
        losses = [
            self.loss(head.similar(windows, network.read_sentences(several, self.head)))
            for several in zip(*captions, strict=True)
        ]
        return Term(torch.stack(losses).sum(), len(losses) * len(windows))

    def judge(self, network: CaptionNetwork, look: Look, options: TrainOptions) -> dict[str, float]:
        material = self._material
        dev = range(material.first_dev, len(material.samples))
        windows = ask_head(self.head, network, dev, look, self._machine, self._world)
        metrics = judge_matches(
            *(network, self.head, windows, material.dev, material.vocabulary, self.loss)
        )
        return metrics if options.select == "cider" else dict(reversed(metrics.items()))


class Alignment(Joint):
    """The same by the head alignment, and the margin between their scores and those of others."""

    in_nats = False
    head = "alignment"
    loss = staticmethod(rank)

    @staticmethod
    def applies(network: CaptionNetwork, material: Material, options: TrainOptions) -> bool:
        return "alignment" in network.heads


OBJECTIVES: dict[str, type[Objective]] = {
    "captions": Captions,
    "texts": Texts,
    "concepts": ConceptLabels,
    "rewards": Rewards,
    "fit": Fit,
    "consistency": Consistency,
    "adversarial": Adversarial,
    "labels": Labels,
    "scores": Scores,
    "joint": Joint,
    "alignment": Alignment,
    "regions": Regions,
}


class Loss(nn.Module):
    """Network and objectives as one module, from a batch to the terms of its loss."""

    def __init__(
        self, network: CaptionNetwork, objectives: Mapping[Objective, float], options: TrainOptions
    ) -> None:
        """``objectives``: with their weights."""
        super().__init__()
        self.network = network
        self.together = nn.ModuleList(each for each in objectives if not each.apart)
        self._weights, self._options = dict(objectives), options
        self._seen: Seen | None = None

    def forward(self, clips: Tensor, batch: Batch, done: float) -> list[Term]:
        """``clips``: (B, T, 3, S, S) uint8 pixels or (B, T, R, C) features."""
        self.network.train(all(each.dropout for each in self._weights))
        for module in self.network.modules():
            if isinstance(module, nn.RNNBase):
                module.train()  # it has no dropout, and cuDNN has no gradient of it in eval mode
        features = self.network.encode(clips) if clips.dtype == torch.uint8 else clips
        self._seen = Seen(self.network, features, batch, self._options, done)
        return [each(self._seen)._replace(weight=weight) for each, weight in self._weights.items()]

    def update(self) -> None:
        """Let objectives that train apart learn from the last batch."""
        assert self._seen is not None
        for each in self._weights:
            each.update(self._seen)
        self._seen = None
