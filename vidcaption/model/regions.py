"""What is where in a picture: boxes, a phrase and a kind for each, and what is between them.

After C2SGNet (Shin and Kim 2018, "Deep Image Understanding Using Multilayered Contexts"), whose
layers are objects, relations and phrases, each reading the one below: a relation is predicted from
the context of its subject and object (their relationship context network), a phrase from that of
the relations of its box (their caption context network).
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import box_convert, roi_align

from vidcaption.model.attention import Memory
from vidcaption.model.config import ModelConfig
from vidcaption.model.decoder import DECODERS
from vidcaption.model.search import Caption, Voice, search
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.options.captioning import SearchOptions
from vidcaption.types import Region, Relation, SceneGraph

SIZES, RATIOS = (1 / 8, 1 / 4, 1 / 2, 7 / 8), (0.5, 1.0, 2.0)  # of anchors, of the picture's side
CELL = 64  # units of a cell of the grid, in which boxes are computed; anchors have whole ones
POOLED = 3  # x 3 vectors for each box
MOST, LEAST = 20, 0.2  # regions of a picture, and relations; the probability of each
SAME = 0.3  # intersection over union of boxes that count as one, as in DenseCap
SAID = 3  # regions in the text of a model without captions
PHRASES = SearchOptions(max_words=12, min_words=1)


class Proposals(RegionProposalNetwork):  # type: ignore[misc]
    """Faster R-CNN's (Ren et al. 2015), with the score of each box behind its corners."""

    def filter_proposals(self, *arguments: Any) -> tuple[list[Tensor], list[Tensor]]:
        boxes, scores = super().filter_proposals(*arguments)
        scored = [torch.cat([b, s[:, None]], 1) for b, s in zip(boxes, scores, strict=True)]
        return scored, scores


class Read(NamedTuple):
    """What N boxes at most of each of B pictures show.

    ``known``: (B, N), false where a picture has fewer. ``things``: logits (B, N, 1 + K) of no known
    kind and of each; ``predicates``: (B, N, N, 1 + P) of none and of each, between the box of a row
    and that of a column; ``memory``: what the decoder needs to write of all known boxes.
    """

    known: Tensor
    things: Tensor
    predicates: Tensor
    memory: Memory


class RegionsHead(nn.Module):
    """The regions of the frame in the middle of each window.

    Boxes are corners (x, y, x, y), as shares of the picture's width and height.
    """

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self._vocabulary, size = vocabulary, config.size
        self._side = side = CELL * config.input.grid
        with torch.device("cpu"):  # they are no weights, and nothing would load them
            anchors = AnchorGenerator((tuple(int(side * x) for x in SIZES),), (RATIOS,))
        self.proposals = Proposals(
            anchors,
            RPNHead(size, *anchors.num_anchors_per_location()),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.3,
            batch_size_per_image=64,
            positive_fraction=0.5,
            pre_nms_top_n={"training": 1, "testing": 10 * MOST},
            post_nms_top_n={"training": 1, "testing": MOST},
            nms_thresh=SAME,
            score_thresh=LEAST,
        )
        self.box = nn.Linear(size * POOLED**2, size)
        self.place = nn.Linear(4, size)
        self.thing = nn.Linear(size, 1 + len(vocabulary.things))
        self.subject, self.object = nn.Linear(size, size), nn.Linear(size, size)
        self.between = nn.Linear(4, size)
        self.predicate = nn.Linear(size, 1 + len(vocabulary.predicates))
        self.relevance = nn.Linear(size, 1)
        self.merge = nn.Linear(3 * size, size)
        self.decoder = DECODERS[config.layers](config, len(vocabulary))

    def propose(self, memory: Memory, boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The losses by which boxes are found: of whether there is one, and of where it is.

        ``boxes``: (N, 4) of each picture.
        """
        self.proposals.train()
        _, losses = self._proposed(_map(memory), [{"boxes": self._side * each} for each in boxes])
        return losses["loss_objectness"], losses["loss_rpn_box_reg"]

    def find(self, memory: Memory) -> tuple[list[Tensor], list[Tensor]]:
        """The boxes, (N, 4), of each picture, the surest first, and their scores, (N,)."""
        self.proposals.eval()
        found, _ = self._proposed(_map(memory))
        return [x[:, :4] / self._side for x in found], [x[:, 4] for x in found]

    def _proposed(
        self, pictures: Tensor, targets: list[dict[str, Tensor]] | None = None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        batch, side = len(pictures), self._side
        shape = pictures.new_empty(1).expand(batch, 1, side, side)  # only its size is used
        result: tuple[list[Tensor], dict[str, Tensor]]
        with _full_precision(pictures):
            images = ImageList(shape, [(side, side)] * batch)
            result = self.proposals(images, {"grid": pictures}, targets)
        return result

    def read(self, memory: Memory, boxes: Sequence[Tensor]) -> Read:
        """What there is in boxes, (N, 4) of each picture; at least one of them has some."""
        pictures = _map(memory)
        counts = [len(each) for each in boxes]
        with _full_precision(pictures):
            cells = roi_align(
                *(pictures, [self._side * each for each in boxes], POOLED),
                *(1 / CELL, 2, True),
            )
            centred = box_convert(torch.cat(list(boxes)), "xyxy", "cxcywh")
            seen = torch.relu(self.box(cells.flatten(1)) + self.place(centred))
            seen, places = (pad_sequence(x.split(counts), True) for x in (seen, centred))
            known = pad_sequence([x.new_ones(len(x)) for x in boxes], True).bool()
            pairs = torch.relu(
                self.subject(seen).unsqueeze(2)
                + self.object(seen).unsqueeze(1)
                + self.between(_from_each(places))
            )
            # not minus infinity, of which a picture without boxes would have nothing else
            relevant = self.relevance(pairs).squeeze(-1).masked_fill(~known.unsqueeze(1), -1e4)
            context = (relevant.softmax(-1).unsqueeze(-1) * pairs).sum(2)
            whole = pictures.mean((2, 3)).unsqueeze(1).expand_as(seen)
            slots = torch.stack([seen, context, whole], 2)[known]
            pooled = torch.relu(self.merge(slots.flatten(1)))
            phrases = self.decoder.attention.project(slots, pooled, slots.unsqueeze(1))
            return Read(known, self.thing(seen), self.predicate(pairs), phrases)

    @torch.no_grad()
    def forward(self, memory: Memory) -> list[SceneGraph]:
        """The regions of B pictures, the surest first, and the likeliest relations."""
        boxes, scores = self.find(memory)
        if not any(map(len, boxes)):
            return [SceneGraph()] * len(boxes)
        with _full_precision(memory.pooled):
            read = self.read(memory, boxes)
            phrases = iter(search(self.decoder, read.memory, PHRASES))
        things = read.things.argmax(-1).tolist()
        names = ("", *self._vocabulary.things)
        graphs = []
        for row, (places, sure) in enumerate(zip(boxes, scores, strict=True)):
            corners = box_convert(places, "xyxy", "xywh").tolist()
            regions = tuple(
                Region(tuple(box), self._phrase(next(phrases)), names[thing], score)
                for box, thing, score in zip(corners, things[row], sure.tolist(), strict=False)
            )
            relations = self._relations(read.predicates[row, : len(sure), : len(sure)], sure)
            graphs.append(SceneGraph(regions, relations))
        return graphs

    def _phrase(self, caption: Caption) -> str:
        return " ".join(self._vocabulary.decode(caption.ids))

    def _relations(self, logits: Tensor, sure: Tensor) -> tuple[Relation, ...]:
        """``logits``: (N, N, 1 + P); ``sure``: the scores of the boxes, (N,)."""
        if not self._vocabulary.predicates:
            return ()
        likely, best = logits.float().softmax(-1)[..., 1:].max(-1)
        likely = (likely * sure * sure.unsqueeze(1)).fill_diagonal_(0)
        order = likely.flatten().argsort(descending=True, stable=True)[:MOST].tolist()
        every = (divmod(place, len(likely)) for place in order)
        return tuple(
            Relation(i, self._vocabulary.predicates[best[i, j]], j, likely[i, j].item())
            for i, j in every
            if likely[i, j] >= LEAST
        )

    def describe(self, memory: Memory, others: Sequence[Voice] = ()) -> list[Caption]:
        """The phrases of the surest regions, and all regions. ``others``: none, as each model finds
        boxes of its own."""
        captions = []
        for graph in self(memory):
            text = "; ".join(dict.fromkeys(x.text for x in graph.regions[:SAID]))
            sure = torch.tensor([math.log(graph.regions[0].score) if graph.regions else 0.0])
            captions.append(
                Caption([], sure, torch.empty(1, 0), sure.item(), text=text, graph=graph)
            )
        return captions


def _map(memory: Memory) -> Tensor:
    """The frame in the middle: (B, D, G, G)."""
    frame = memory.regions[:, memory.regions.shape[1] // 2].float()
    picture: Tensor = frame.transpose(1, 2).unflatten(2, (math.isqrt(frame.shape[1]), -1))
    return picture.contiguous()


def _from_each(places: Tensor) -> Tensor:
    """How far each box is from each, and how much larger: (B, N, 4) centres and sizes -> (B, N, N,
    4)."""
    centres, sizes = places.split(2, -1)
    logs = sizes.clamp(min=1e-3).log()
    return torch.cat([x.unsqueeze(1) - x.unsqueeze(2) for x in (centres, logs)], -1)


def _full_precision(like: Tensor) -> torch.autocast:
    """For what is computed of boxes, whose corners 16 bits would move."""
    return torch.autocast(like.device.type, enabled=False)
