"""How the CPUs and GPUs of a cluster are shared between networks and readers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

MOST_CPUS = 4  # of one network and its readers: more of them use CPUs better than larger ones
FEWEST_READERS = 2  # so that one reads while the windows of the other are captioned


@dataclass(frozen=True, slots=True)
class Layout:
    """``networks``: processes that caption, each with ``cpus`` and ``gpus``, and with ``threads``
    for PyTorch. ``readers``: tasks at once that read for each of them, each with ``reader_cpus``.
    """

    networks: int
    cpus: float
    gpus: float
    threads: int
    readers: int
    reader_cpus: float


def lay_out(
    cpus: Sequence[float],
    gpus: float,
    networks: int | None = None,
    readers: int | None = None,
) -> Layout:
    """The layout for machines with these ``cpus``, and so many ``gpus`` together.

    On CPUs one half is for networks and one for readers. GPUs leave all CPUs to the readers.
    ``networks`` and ``readers`` are chosen if None. More networks than GPUs share them evenly; one
    that does not fit now starts when the cluster has grown.
    """
    total = max(1.0, sum(cpus))
    if gpus >= 1:
        number = networks or int(gpus)
        share = 1 / math.ceil(number / int(gpus))
        each = readers or max(FEWEST_READERS, int(total // number))
        return Layout(number, 0.0, _exact(share), 1, each, 1.0)
    team = min([MOST_CPUS, *(each for each in cpus if each >= 1)])
    number = networks or max(1, int(total // team))
    team = min(team, total / number)
    each = readers or max(FEWEST_READERS, int(team))
    half = team / 2
    return Layout(number, _exact(half), 0.0, max(1, int(team)), each, _exact(half / each))


def _exact(share: float) -> float:
    """Rounded down to Ray's precision, so that all of them fit."""
    return math.floor(share * 10_000) / 10_000
