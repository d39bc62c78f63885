"""The regions of pictures as an objective: boxes, phrases, kinds of objects, and relations."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_convert

from vidcaption.datasets.samples import Sample
from vidcaption.evaluation.captioning import in_batches
from vidcaption.evaluation.regions import region_figures
from vidcaption.model.attention import Memory
from vidcaption.model.device import Machine
from vidcaption.model.network import CaptionNetwork
from vidcaption.options.training import TrainOptions
from vidcaption.training.clips import Look, pad, target
from vidcaption.training.distributed import World
from vidcaption.training.judge import BATCH
from vidcaption.training.losses import Term, cross_entropy
from vidcaption.training.material import Material
from vidcaption.training.objective import Objective, Seen
from vidcaption.types import SceneGraph

MOST_BOXES = 32  # of a picture in a step
UNKNOWN = -100  # a target that does not count
UNRELATED = 3.0  # what all pairs without a relation count, of what those with one do

Loss = tuple[Tensor, float]  # a sum, and of how many


class Regions(Objective):
    """The regions of samples; judged by the mean average precision of phrases.

    The losses are weighted by learned uncertainty (Kendall et al. 2018): ``doubt`` is the logarithm
    of each one's variance.
    """

    in_nats = False

    def __init__(
        self, network: CaptionNetwork, material: Material, machine: Machine, world: World
    ) -> None:
        super().__init__(network, material, machine, world)
        self.doubt = nn.Parameter(torch.zeros(5))
        words = material.vocabulary
        self._things = {name: i for i, name in enumerate(words.things, 1)}
        self._predicates = {name: i for i, name in enumerate(words.predicates, 1)}

    @staticmethod
    def applies(network: CaptionNetwork, material: Material, options: TrainOptions) -> bool:
        return "regions" in network.heads

    def takes(self, sample: Sample) -> bool:
        return sample.graph is not None

    def forward(self, seen: Seen) -> Term:
        graphs = [drawn(self._graph(row)) for row in seen.batch.samples]
        head: Any = seen.network.heads["regions"]
        found = [(loss, 1) for loss in head.propose(seen.memory, self._boxes(graphs))]
        losses = [*found, *self._losses(head, seen.memory, graphs, seen.options.label_smoothing)]
        # one of which there is nothing in this batch says nothing of its doubt either
        terms = [
            (torch.exp(-doubt) * total / count + doubt / 2) if count else total
            for (total, count), doubt in zip(losses, self.doubt, strict=True)
        ]
        return Term(torch.stack(terms).sum() * len(graphs), len(graphs))

    @torch.inference_mode()
    def judge(self, network: CaptionNetwork, look: Look, options: TrainOptions) -> dict[str, float]:
        """``loss``, of what is said of true boxes, and ``mAP``, see ``region_figures``."""
        network.eval()
        head: Any = network.heads["regions"]
        dev = range(self._material.first_dev, len(self._material.samples))
        said, sums = dict[int, SceneGraph](), torch.zeros(3, 2)
        part = dev[self._world.rank :: self._world.size]
        for rows, clips in in_batches(look, part, BATCH, self._machine):
            with self._machine.autocast():
                features = network.encode(clips) if clips.dtype == torch.uint8 else clips.float()
                memory = network.remember(features)
            graphs = [self._graph(row) for row in rows]
            for place, (total, count) in enumerate(self._losses(head, memory, graphs)):
                sums[place] += torch.tensor([total.item(), count])
            said.update(zip(rows, head(memory), strict=True))
        parts, every = zip(*self._world.gather((sums, said)), strict=True)
        totals, counts = torch.stack(parts).sum(0).unbind(1)
        graphs_of = {row: graph for each in every for row, graph in each.items()}
        figures, _ = region_figures([graphs_of[row] for row in dev], [self._graph(i) for i in dev])
        loss = (totals / counts.clamp(min=1)).sum().item()
        metrics = {"loss": loss, "mAP": float(figures["mAP"])}
        return metrics if options.select == "cider" else dict(reversed(metrics.items()))

    def _graph(self, row: int) -> SceneGraph:
        graph = self._material.samples[row].graph
        assert graph is not None
        return graph

    def _boxes(self, graphs: Sequence[SceneGraph]) -> list[Tensor]:
        """Their corners, (N, 4) each."""
        boxes = (torch.tensor([each.box for each in graph.regions]) for graph in graphs)
        return [box_convert(x, "xywh", "xyxy").to(self._machine.device) for x in boxes]

    def _losses(
        self, head: Any, memory: Memory, graphs: Sequence[SceneGraph], smoothing: float = 0.0
    ) -> list[Loss]:
        """Of phrases, things and predicates, in true boxes."""
        device, words = self._machine.device, self._material.vocabulary
        read = head.read(memory, self._boxes(graphs))
        said = [region.text for graph in graphs for region in graph.regions]
        spoken = [i for i, text in enumerate(said) if text]
        rows = torch.tensor(spoken or [0], device=device)  # without any, nothing of the first one
        phrases = cross_entropy(
            head.decoder,
            read.memory.of(rows),
            pad([[target(words, said[i])] for i in rows.tolist()]).to(device),
            smoothing=smoothing,
        )
        things = torch.full(read.known.shape, UNKNOWN)
        predicates = torch.full(read.predicates.shape[:3], UNKNOWN)
        for row, graph in enumerate(graphs):
            named = torch.tensor([bool(each.label) for each in graph.regions])
            ids = torch.tensor([self._things.get(each.label, 0) for each in graph.regions])
            count = len(named)
            things[row, :count] = ids.masked_fill(~named, UNKNOWN)
            # objects alone have relations, and none with themselves
            pairs = named[:, None] & named & ~torch.eye(count, dtype=torch.bool)
            predicates[row, :count, :count].masked_fill_(pairs, 0)
            for each in graph.relations:
                number = self._predicates.get(each.predicate, UNKNOWN)
                predicates[row, each.subject, each.object] = number
        return [
            (phrases.total, phrases.words) if spoken else (0 * phrases.total, 0),
            _classified(read.things, things),
            _classified(read.predicates, predicates, UNRELATED),
        ]


def _classified(logits: Tensor, targets: Tensor, none: float | None = None) -> Loss:
    """The cross entropy of ``logits``, (..., 1 + K), with ``targets``, (...), on the CPU.

    ``none``: what all targets of 0 count at most, of what the others count. Nothing counts where
    there is a single choice.
    """
    weights = (targets != UNKNOWN).float()
    zeros = targets == 0
    others = float(weights.sum() - zeros.sum())
    if none is not None:
        weights[zeros] = min(1.0, none * max(others, 1.0) / max(1, int(zeros.sum())))
    losses = F.cross_entropy(
        *(logits.flatten(0, -2), targets.flatten().to(logits.device)),
        ignore_index=UNKNOWN,
        reduction="none",
    )
    count = float(weights.sum()) if logits.shape[-1] > 1 else 0.0
    return losses @ weights.flatten().to(losses), count


def drawn(graph: SceneGraph) -> SceneGraph:
    """MOST_BOXES of its regions at most, drawn with PyTorch's generator, and what is between
    them."""
    count = len(graph.regions)
    if count <= MOST_BOXES:
        return graph
    picks = torch.randperm(count)[:MOST_BOXES].tolist()
    places = {old: new for new, old in enumerate(picks)}
    relations = tuple(
        type(x)(places[x.subject], x.predicate, places[x.object], x.score)
        for x in graph.relations
        if x.subject in places and x.object in places
    )
    return SceneGraph(tuple(graph.regions[i] for i in picks), relations)
