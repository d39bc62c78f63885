"""The results of each epoch, as a table and as a plot."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

from vidcaption.errors import SetupError, UsageError
from vidcaption.output.write import write_atomic
from vidcaption.report.plots import to_png

HISTORY, LOSS = "history.csv", "loss.png"
_DEV = "dev_"  # begins the column of a metric


@dataclass(frozen=True)
class Epoch:
    """``loss``: the mean of the training terms, in nats; None if some are no loss, such as rewards.
    ``metrics``: on the dev split; epochs are compared by the last, the lowest if its name ends in
    "loss", else the highest. ``lr``: the rate at the end of the epoch.
    """

    epoch: int
    stage: str
    loss: float | None
    metrics: Mapping[str, float]
    lr: float
    seconds: float

    def in_words(self, most: int) -> str:
        """``most``: the epochs of the training, if no further stage ends early."""
        loss = "" if self.loss is None else f"loss {self.loss:.3f}, "
        which = f"epoch {self.epoch} of {most} ({self.stage})"
        return f"{which}: {loss}{self.score}, {self.seconds:.0f} s"

    @property
    def score(self) -> str:
        """What it reached on samples not learnt, in words."""
        return ", ".join(f"{label(name)} {figure(name, x)}" for name, x in self.metrics.items())

    @property
    def chosen_by(self) -> str:
        """The metric that it is compared by with other epochs."""
        return list(self.metrics)[-1]

    @property
    def rank(self) -> float:
        """The higher the better, among epochs chosen by the same metric."""
        value = self.metrics[self.chosen_by]
        return -value if is_loss(self.chosen_by) else value


def is_loss(metric: str) -> bool:
    """Whether less is better."""
    return metric.endswith("loss")


def label(metric: str) -> str:
    """What a metric is called in tables and plots."""
    return f"dev {'CIDEr' if metric == 'cider' else metric.replace('_', ' ')}"


def figure(metric: str, value: float) -> str:
    """The value of a metric, with as many digits as tell something."""
    return f"{value:.3f}" if is_loss(metric) else f"{value:.1f}"


def metrics_of(epochs: Sequence[Epoch]) -> list[str]:
    """All metrics of some epochs, in the order of their first appearance."""
    return list(dict.fromkeys(name for epoch in epochs for name in epoch.metrics))


def best_of(epochs: Sequence[Epoch]) -> Epoch:
    """The epoch whose model is kept: the first of the best, among those that are chosen by the same
    metric as the last."""
    chosen_by = epochs[-1].chosen_by
    return max((e for e in epochs if e.chosen_by == chosen_by), key=lambda e: e.rank)


def check_plotting() -> None:
    """Raises SetupError if matplotlib is missing."""
    if find_spec("matplotlib") is None:
        raise SetupError("training plots need matplotlib; install vidcaption[train]")


def write_history(folder: Path, epochs: Sequence[Epoch]) -> None:
    """``history.csv``. Raises OutputError."""
    text = io.StringIO()
    columns = [f"{_DEV}{name}" for name in metrics_of(epochs)]
    rows = csv.DictWriter(
        text, ["epoch", "stage", "loss", *columns, "lr", "seconds"], lineterminator="\n"
    )
    rows.writeheader()
    for epoch in epochs:
        values = asdict(epoch)
        rows.writerow(values | {f"{_DEV}{k}": v for k, v in values.pop("metrics").items()})
    write_atomic(folder / HISTORY, text.getvalue())


def write_plot(folder: Path, epochs: Sequence[Epoch]) -> None:
    """``loss.png``. Raises OutputError. See ``check_plotting``."""
    write_atomic(folder / LOSS, plot_history(epochs))


def read_history(folder: Path) -> list[Epoch]:
    """The epochs of ``history.csv``, at least one. Raises UsageError."""
    path = folder / HISTORY
    try:
        with path.open(encoding="utf-8", newline="") as file:
            epochs = [_epoch(row) for row in csv.DictReader(file)]
    # a column may be missing, and a short row has None in its place, a long one as a name
    except (OSError, csv.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path} is not the history of a training; give a folder that 'vidcaption train' wrote"
        ) from error
    if not epochs:
        raise UsageError(f"{path} has no epochs; train at least one")
    return epochs


def _epoch(row: Mapping[str, str]) -> Epoch:
    """Raises KeyError, TypeError, ValueError."""
    metrics = {
        name.removeprefix(_DEV): float(value)
        for name, value in row.items()
        if name.startswith(_DEV) and value
    }
    if not metrics:
        raise ValueError
    return Epoch(
        epoch=int(row["epoch"]),
        stage=row["stage"],
        loss=float(row["loss"]) if row["loss"] else None,
        metrics=metrics,
        lr=float(row["lr"]),
        seconds=float(row["seconds"]),
    )


def plot_history(epochs: Sequence[Epoch]) -> bytes:
    """PNG: losses and metrics, and the learning rate below; a line marks each stage.

    A dotted line marks the epoch whose model is saved.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5.2), layout="constrained")
    left, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    x = [e.epoch for e in epochs]
    losses = [math.nan if e.loss is None else e.loss for e in epochs]
    left.plot(x, losses, "o-", label="train loss")
    left.set_ylabel("nats")
    others = [name for name in metrics_of(epochs) if not is_loss(name)]
    right = left.twinx() if others else left
    right.set_ylabel(", ".join(map(label, others)) or left.get_ylabel())
    for name in metrics_of(epochs):
        values = [e.metrics.get(name, math.nan) for e in epochs]
        axes, style = (left, "o-") if is_loss(name) else (right, "s--")
        axes.plot(x, values, style, label=label(name))
    below.plot(x, [e.lr for e in epochs], "o-", color="tab:purple")
    below.set(xlabel="epoch", ylabel="learning rate", ylim=(0, None))
    below.xaxis.get_major_locator().set_params(integer=True)
    for stage, group in groupby(epochs, key=lambda e: e.stage):
        begin = next(group).epoch - 0.5
        for axes in (left, below):
            axes.axvline(begin, color="grey", linewidth=0.8)
        where = ("data", "axes fraction")
        left.annotate(f" {stage}", (begin, 1), xycoords=where, va="top", color="grey")
    left.axvline(best_of(epochs).epoch, color="black", linestyle=":", label="the model")
    figure.legend(loc="outside upper center", ncols=4)
    return to_png(figure)
