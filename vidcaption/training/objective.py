"""What an objective of a stage is: a term of the loss."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor, nn

from vidcaption.datasets.samples import Sample
from vidcaption.model.attention import Memory
from vidcaption.model.device import Machine
from vidcaption.model.network import CaptionNetwork
from vidcaption.options.training import TrainOptions
from vidcaption.training.clips import Batch, Look
from vidcaption.training.distributed import World
from vidcaption.training.judge import judge_captions
from vidcaption.training.losses import Term
from vidcaption.training.material import Material


@dataclass(frozen=True)
class Seen:
    """One step, as its objectives see it.

    ``features``: (B, T, R, C) of the samples of ``batch``, whose indices are rows of the material;
    ``done``: the share of the stage that is behind; ``options``: of the stage.
    """

    network: CaptionNetwork
    features: Tensor
    batch: Batch
    options: TrainOptions
    done: float

    @cached_property
    def memory(self) -> Memory:
        """Of the features, computed once for all objectives."""
        return self.network.remember(self.features)


class Objective(nn.Module):
    """A term of the loss, the samples that it learns from, and how what is learnt is judged.

    Parameters of its own are trained with the network's, at the stage's first rate, and kept in the
    checkpoint. An objective that sets ``apart`` trains them itself, in ``update``, alike in all
    processes; what else it needs after an interrupt belongs into ``get_extra_state``.
    """

    dropout = True  # False: the network is in eval mode, whatever else the stage has
    in_nats = True  # whether the terms are a loss that can be read as one
    apart = False

    def __init__(
        self, network: CaptionNetwork, material: Material, machine: Machine, world: World
    ) -> None:
        super().__init__()
        self._material, self._machine, self._world = material, machine, world

    @staticmethod
    def applies(network: CaptionNetwork, material: Material, options: TrainOptions) -> bool:
        """Whether there is something to learn by it; if not, stages go without it."""
        return True

    def takes(self, sample: Sample) -> bool:
        """Whether it can be given this sample."""
        return True

    def rows(self) -> Sequence[int]:
        """Those of the material that a stage sees that has it first."""
        samples = self._material.samples[: self._material.first_dev]
        return [row for row, sample in enumerate(samples) if self.takes(sample)]

    def begin(self, network: CaptionNetwork, look: Look) -> None:
        """Get ready for a stage, in all processes. ``look``: of dev and held out samples."""

    @abstractmethod
    def forward(self, seen: Seen) -> Term:
        """The term; the stage sets its weight."""

    def update(self, seen: Seen) -> None:
        """Train parameters of its own, after each step of the network; with ``apart`` only."""

    def judge(self, network: CaptionNetwork, look: Look, options: TrainOptions) -> dict[str, float]:
        """The head's metrics on samples not learnt, in all processes; epochs are chosen by the
        last, see ``history.Epoch``."""
        vocabulary, dev = self._material.vocabulary, self._material.dev
        first = self._material.first_dev
        return judge_captions(
            *(network, vocabulary, dev, lambda i: look(first + i), self._machine, self._world),
            with_cider=options.select == "cider",
        )
