"""Encoder, content classifier, temporal layer and decoder in one module."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from vidcaption.errors import ModelError
from vidcaption.model.attention import Memory
from vidcaption.model.concepts import (
    Concepts,
    ConceptSlots,
    ConceptWords,
    ContentClassifier,
    surest,
)
from vidcaption.model.confidence import Confidence
from vidcaption.model.config import ModelConfig
from vidcaption.model.decoder import Decoder
from vidcaption.model.detector import ObjectDetector
from vidcaption.model.encoder import Encoder
from vidcaption.model.joint import pack
from vidcaption.model.parts import HEADS, TEMPORAL
from vidcaption.model.people import kinds_of
from vidcaption.model.roles import Roles
from vidcaption.model.search import Caption, Voice, group, search
from vidcaption.model.tracks import pooled as pooled_tracks
from vidcaption.model.vocabulary import PAD, SPECIAL, UNK, Vocabulary
from vidcaption.model.wording import wording
from vidcaption.options.captioning import SearchOptions

HINT = 1.5  # nats by which a word is likelier that names a concept of probability 1
RARE = 3.0  # nats more per unit of the rarity of such a word


class CaptionNetwork(nn.Module):
    """From the frames of a window to the memory that its heads read.

    ``decoder``: the head that writes captions, if there is one; ``heads``: the others, by name.
    """

    decoder: Decoder

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        """Raises ModelError where ``vocabulary`` has no words, concepts or labels for what is in
        ``config``."""
        super().__init__()
        if config.reads and len(vocabulary) == len(SPECIAL):
            raise ModelError(f"config.json has the head {config.heads}, but vocab.json has 0 words")
        if config.concept_slots and not vocabulary.concepts:
            raise ModelError(
                f"config.json has {config.concept_slots} concept slots, but vocab.json no concepts"
            )
        self.config = config
        self.encoder = Encoder(config.input)
        if config.roles == "none":
            self.project = nn.Linear(self.encoder.channels, config.size)
            self.norm = nn.LayerNorm(config.size)
        self.dropout = nn.Dropout(config.dropout)
        self.temporal = TEMPORAL[config.temporal](config)
        if config.writes:
            self.decoder = self.temporal.decoders[config.layers](config, len(vocabulary))
            self.decoder.wording.extend(wording(vocabulary))
        self.heads = nn.ModuleDict(
            {
                name: HEADS[name](config, vocabulary)
                for name in config.heads.split("+")
                if name != "caption"
            }
        )
        self.classifier = self.confidence = self.detector = None
        self.slots: ConceptWords | None = None
        if config.concept_slots:
            self.confidence = Confidence(vocabulary)
            self.classifier = ContentClassifier(self.encoder.channels, vocabulary, config.dropout)
            if config.roles != "none":
                self.slots = Roles(config, vocabulary)
            elif "concepts" in config.fed:
                self.slots = ConceptWords(vocabulary)  # only the search prefers them
            else:
                self.slots = ConceptSlots(config.embedding, config.size, vocabulary)
            if vocabulary.objects:
                self.detector = ObjectDetector(len(vocabulary.objects))
                objects = torch.tensor(vocabulary.objects, device="cpu")
                self.register_buffer("_objects", objects, persistent=False)
        self._kinds = kinds_of(vocabulary)
        # of the window, what the decoder sees beside its frames
        self.concepts = len(vocabulary.concepts)
        units = {"tracks": self.encoder.words, "concepts": self.concepts}
        self.vectors = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.Linear(units[name], config.size), nn.LayerNorm(config.size), nn.ReLU()
                )
                for name in sorted(config.fed - {"frames"})
            }
        )

    _objects: Tensor

    def encode(self, frames: Tensor) -> Tensor:
        """``frames``: (B, T, 3, S, S) uint8 RGB, or more channels with optical flow -> features (B,
        T, R, C), C being the channels of the CNN and the words of tracks."""
        pictures = frames[:, :, self.config.input.channels].flatten(0, 1)
        features: Tensor = self.encoder(pictures).unflatten(0, frames.shape[:2])
        return features

    def detect(self, frames: Tensor) -> Tensor | None:
        """What the detector finds in the frame in the middle: logits (B, O).

        ``frames``: as above. None for a network without a detector.
        """
        if self.detector is None:
            return None
        found: Tensor = self.detector(frames[:, frames.shape[1] // 2, self.config.input.picture])
        return found

    def recognise(self, features: Tensor, found: Tensor | None = None) -> Concepts | None:
        """The concepts for the slots, by their mean probability over frames, with the lowest.

        ``features``: (B, T, R, C); ``found``: what ``detect`` gives, (B, O). None for a network
        without concept slots.
        """
        if self.classifier is None:
            return None
        with torch.no_grad():  # the choice of the surest has no gradient
            frames = self.classifier(features).sigmoid()  # (B, T, N)
            both = torch.stack([frames.mean(1), frames.amin(1)])
            if self.detector is not None and found is not None:
                objects = self.detector.combine(both[..., self._objects], found)
                both = both.index_copy(-1, self._objects, objects)
            return surest(both[0], self.config.concept_slots, both[1])

    def remember(self, features: Tensor, concepts: Concepts | None = None) -> Memory:
        """``features``: (B, T, R, C) -> Memory over the T * R region vectors and the K concepts, or
        over four words, as frames of one region.

        ``concepts``: those that ``recognise`` finds unless given.
        """
        if concepts is None:
            concepts = self.recognise(features)
        if isinstance(self.slots, Roles):
            seen = self.slots(concepts, self.decoder.embedding).unsqueeze(2)  # (B, 4, 1, D)
        else:
            seen = features[..., : self.encoder.channels]
            seen = torch.relu(self.norm(self.project(seen)))  # (B, T, R, D)
        regions = self.temporal.over(self.dropout(seen))
        slots = regions.flatten(1, 2)
        pooled = regions[:, self.temporal.whole].flatten(1, 2).mean(1)
        if isinstance(self.slots, ConceptSlots) and concepts is not None:
            named = self.dropout(self.slots(concepts, self.decoder.embedding))  # (B, K, D)
            slots = torch.cat([slots, named.to(slots.dtype)], 1)
            pooled = pooled + named.mean(1)
        if not self.config.writes:
            return Memory(slots, slots, pooled, regions)
        memory: Memory = self.decoder.attention.project(slots, pooled, regions)
        if not self.vectors:
            return memory
        fed = {"frames": pooled}
        if "tracks" in self.vectors:
            found = pooled_tracks(features[..., self.encoder.channels :])
            fed["tracks"] = self.dropout(self.vectors["tracks"](found))
        if "concepts" in self.vectors and concepts is not None:
            known = concepts.of(self.concepts)
            fed["concepts"] = self.dropout(self.vectors["concepts"](known))
        start = [fed[name] for name in self.config.starts]
        every = [fed[name] for name in self.config.lasts if name != "frames"]
        return memory._replace(start=_sum(start), every=_sum(every))

    def read_sentences(self, sentences: Sequence[Sequence[int]], name: str = "joint") -> Tensor:
        """What one of the heads that compare reads in N sentences, (N, ...); by the head joint
        vectors of length 1, (N, D).

        ``sentences``: ids of words, of which unknown ones do not count.
        """
        head: Any = self.heads[name]
        known = [[word for word in ids if word != UNK] or [UNK] for ids in sentences]
        longest = max(map(len, known))
        words = torch.tensor(
            [[*ids, *[PAD] * (longest - len(ids))] for ids in known],
            device=head.window.weight.device,
        )
        vectors: Tensor = head.read(words, head.embedding or self.decoder.embedding)
        return vectors

    def voice(self, features: Tensor, found: Tensor | None, weight: float) -> Voice:
        """What speaks with another network; see ``recognise`` for the arguments."""
        memory = self.remember(features, self.recognise(features, found))
        return Voice(self.head, memory, weight)

    @property
    def head(self) -> Any:
        """The head that ``run`` asks."""
        return self.decoder if self.config.writes else self.heads[self.config.says]

    def caption(
        self,
        features: Tensor,
        options: SearchOptions,
        concepts: Concepts | None = None,
        others: Sequence[Voice] = (),
        *,
        with_regions: bool = False,
    ) -> list[Caption]:
        """Captions of B windows, with concepts and confidence, or what its first head says.

        ``features``: (B, T, R, C). ``concepts``: those that ``recognise`` finds unless given.
        ``others``: of networks that speak with this one, see ``search``. ``with_regions``: also ask
        the head regions.
        """
        if concepts is None:
            concepts = self.recognise(features)
        memory = self.remember(features, concepts)
        if not self.config.writes:
            return list(self.head.describe(memory, others))
        captions = self._search(memory, options, self.hints(concepts), others)
        if with_regions:
            graphs = self.heads["regions"](memory)
            captions = [_with(c, graph=g) for c, g in zip(captions, graphs, strict=True)]
        if self.confidence is None or concepts is None:
            return captions
        seen = zip(captions, concepts.ids.tolist(), concepts.confidence.tolist(), strict=True)
        captions = [
            _with(c, concepts=tuple((n, round(p, 3)) for n, p in zip(ids, sure, strict=True) if p))
            for c, ids, sure in seen
        ]
        every = [one for caption in captions for one in (caption, *caption.others)]
        sure = self.confidence(every)
        return group(
            (replace(c, confidence=round(p, 4)) for c, p in zip(every, sure, strict=True)),
            (1 + len(caption.others) for caption in captions),
        )

    def hints(self, concepts: Concepts | None) -> Tensor | None:
        """What the search adds to the log-probabilities of words, (B, V), to prefer those of sure
        concepts.

        Rare words need more: a decoder that has seldom seen "lemur" says "bear" instead. They get
        it for probabilities above 1/2.
        """
        if self.slots is None or concepts is None:
            return None
        sure = self.slots.sure_words(concepts, len(self.decoder.bias))
        return HINT * sure + RARE * self.slots.rarity * (2 * sure - 1).clamp(min=0)

    def _search(
        self,
        memory: Memory,
        options: SearchOptions,
        hints: Tensor | None,
        others: Sequence[Voice],
    ) -> list[Caption]:
        """Captions, in a joint space those that fit their window well, with the window's vector."""
        if "joint" not in self.heads:
            return search(self.decoder, memory, options, hints, others, kinds=self._kinds)
        joint: Any = self.heads["joint"]
        windows = joint(memory)
        fit = partial(joint.fit, windows, embedding=self.decoder.embedding)
        captions = search(self.decoder, memory, options, hints, others, fit, self._kinds)
        return [_with(c, vector=v) for c, v in zip(captions, pack(windows), strict=True)]


def _with(caption: Caption, **known: Any) -> Caption:
    """With what is known of its window, and its others, too."""
    others = tuple(replace(each, **known) for each in caption.others)
    return replace(caption, **known, others=others)


def _sum(vectors: list[Tensor]) -> Tensor | None:
    return torch.stack(vectors).sum(0) if vectors else None
