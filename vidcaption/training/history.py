"""What each epoch gave, as a table and as a plot."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from vidcaption.errors import SetupError


@dataclass(frozen=True)
class Epoch:
    """``loss`` and ``dev_loss``: nats per word; the first with label smoothing, the second without.

    ``dev_cider``: x 100, None if not asked for; ``lr``: the rate at the end of the epoch.
    """

    epoch: int
    stage: str
    loss: float
    dev_loss: float
    dev_cider: float | None
    lr: float
    seconds: float

    def __str__(self) -> str:
        cider = "" if self.dev_cider is None else f", dev CIDEr {self.dev_cider:.1f}"
        return (
            f"epoch {self.epoch} ({self.stage}): loss {self.loss:.3f}, "
            f"dev loss {self.dev_loss:.3f}{cider}, {self.seconds:.0f} s"
        )


def write_history(folder: Path, epochs: Sequence[Epoch]) -> None:
    """``history.csv`` and ``loss.png``. Raises SetupError without matplotlib, OSError."""
    with (folder / "history.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, [f.name for f in fields(Epoch)], lineterminator="\n")
        rows.writeheader()
        rows.writerows(asdict(epoch) for epoch in epochs)
    plot_history(folder / "loss.png", epochs)


def plot_history(path: Path, epochs: Sequence[Epoch]) -> None:
    """Losses on the left axis, dev CIDEr on the right; a line where the CNN starts to train."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SetupError("training plots need matplotlib; install vidcaption[train]") from error
    figure = Figure(figsize=(7, 4), layout="constrained")
    left = figure.subplots()
    x = [e.epoch for e in epochs]
    left.plot(x, [e.loss for e in epochs], "o-", label="train loss")
    left.plot(x, [e.dev_loss for e in epochs], "o-", label="dev loss")
    left.set(xlabel="epoch", ylabel="nats per word")
    scored = [(e.epoch, e.dev_cider) for e in epochs if e.dev_cider is not None]
    if scored:
        right = left.twinx()
        right.plot(*zip(*scored, strict=True), "s--", color="tab:green", label="dev CIDEr")
        right.set_ylabel("CIDEr x 100")
    starts = [e.epoch for e in epochs if e.stage == "finetune"]
    if starts and starts[0] > 1:
        left.axvline(starts[0] - 0.5, color="grey", linewidth=0.8)
    figure.legend(loc="outside upper center", ncols=3)
    figure.savefig(path, dpi=110)
