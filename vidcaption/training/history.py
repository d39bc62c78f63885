"""The results of each epoch, as a table and as a plot."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

from vidcaption.errors import SetupError, UsageError
from vidcaption.output.write import write_atomic
from vidcaption.report.plots import to_png

HISTORY, LOSS = "history.csv", "loss.png"


@dataclass(frozen=True)
class Epoch:
    """``loss`` and ``dev_loss``: nats per word; the first with label smoothing, the second without.

    ``dev_cider``: x 100, None if not computed; ``lr``: the rate at the end of the epoch.
    """

    epoch: int
    stage: str
    loss: float
    dev_loss: float
    dev_cider: float | None
    lr: float
    seconds: float

    def __str__(self) -> str:
        return (
            f"epoch {self.epoch} ({self.stage}): loss {self.loss:.3f}, {self.score}, "
            f"{self.seconds:.0f} s"
        )

    @property
    def score(self) -> str:
        """Its dev score as text."""
        cider = "" if self.dev_cider is None else f", dev CIDEr {self.dev_cider:.1f}"
        return f"dev loss {self.dev_loss:.3f}{cider}"


def best_of(epochs: Sequence[Epoch]) -> Epoch:
    """The epoch whose model is saved: the first with the best dev score.

    Epochs of the content classifier, which come first, count only if there are no others.
    """
    captioning = [e for e in epochs if e.stage != "concepts"] or epochs
    return max(captioning, key=lambda e: -e.dev_loss if e.dev_cider is None else e.dev_cider)


def check_plotting() -> None:
    """Raises SetupError if matplotlib is missing."""
    if find_spec("matplotlib") is None:
        raise SetupError("training plots need matplotlib; install vidcaption[train]")


def write_history(folder: Path, epochs: Sequence[Epoch]) -> None:
    """``history.csv`` and ``loss.png``. Raises OutputError. See ``check_plotting``."""
    text = io.StringIO()
    rows = csv.DictWriter(text, [f.name for f in fields(Epoch)], lineterminator="\n")
    rows.writeheader()
    rows.writerows(asdict(epoch) for epoch in epochs)
    write_atomic(folder / HISTORY, text.getvalue())
    write_atomic(folder / LOSS, plot_history(epochs))


def read_history(folder: Path) -> list[Epoch]:
    """The epochs of ``history.csv``, at least one. Raises UsageError."""
    path = folder / HISTORY
    try:
        with path.open(encoding="utf-8", newline="") as file:
            epochs = [_epoch(row) for row in csv.DictReader(file)]
    # a column may be missing, and a short row has None in its place
    except (OSError, csv.Error, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path} is not the history of a training; give a folder that 'vidcaption train' wrote"
        ) from error
    if not epochs:
        raise UsageError(f"{path} has no epochs; train at least one")
    return epochs


def _epoch(row: Mapping[str, str]) -> Epoch:
    return Epoch(
        epoch=int(row["epoch"]),
        stage=row["stage"],
        loss=float(row["loss"]),
        dev_loss=float(row["dev_loss"]),
        dev_cider=float(row["dev_cider"]) if row["dev_cider"] else None,
        lr=float(row["lr"]),
        seconds=float(row["seconds"]),
    )


def plot_history(epochs: Sequence[Epoch]) -> bytes:
    """PNG: losses and dev CIDEr, and the learning rate below; a line marks each stage.

    A dotted line marks the epoch whose model is saved.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5.2), layout="constrained")
    left, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    x = [e.epoch for e in epochs]
    # the loss of rewarded captions is not in nats
    losses = [math.nan if e.stage == "scst" else e.loss for e in epochs]
    left.plot(x, losses, "o-", label="train loss")
    left.plot(x, [e.dev_loss for e in epochs], "o-", label="dev loss")
    left.set_ylabel("nats per word")
    scored = [(e.epoch, e.dev_cider) for e in epochs if e.dev_cider is not None]
    if scored:
        right = left.twinx()
        right.plot(*zip(*scored, strict=True), "s--", color="tab:green", label="dev CIDEr")
        right.set_ylabel("CIDEr x 100")
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
