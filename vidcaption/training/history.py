"""What each epoch gave, as a table and as a plot."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from importlib.util import find_spec
from pathlib import Path

from vidcaption.errors import OutputError, SetupError
from vidcaption.output.write import write_atomic


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


def check_plotting() -> None:
    """Raises SetupError where matplotlib is missing."""
    if find_spec("matplotlib") is None:
        raise SetupError("training plots need matplotlib; install vidcaption[train]")


def write_history(folder: Path, epochs: Sequence[Epoch]) -> None:
    """``history.csv`` and ``loss.png``. Raises OutputError. See ``check_plotting``."""
    text = io.StringIO()
    rows = csv.DictWriter(text, [f.name for f in fields(Epoch)], lineterminator="\n")
    rows.writeheader()
    rows.writerows(asdict(epoch) for epoch in epochs)
    write_atomic(folder / "history.csv", text.getvalue())
    try:
        plot_history(folder / "loss.png", epochs)
    except OSError as error:
        raise OutputError(f"cannot write {folder / 'loss.png'}: {error.strerror}") from error


def plot_history(path: Path, epochs: Sequence[Epoch]) -> None:
    """Losses on the left axis, dev CIDEr on the right; a line where the CNN starts to train."""
    from matplotlib.figure import Figure

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
