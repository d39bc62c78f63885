"""Plots of what a model says beside what people say, as PNG. They need matplotlib."""

import io
import textwrap
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vidcaption.evaluation.statistics import Array
from vidcaption.model.vocabulary import tokenize
from vidcaption.output.text import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMED = 10  # curves with a colour and a name in a plot


def to_png(figure: "Figure", dpi: int = 110) -> bytes:
    """A drawn figure; letters missing from the font become boxes."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(file, format="png", dpi=dpi)
    return file.getvalue()


def plot_captions(said: Sequence[str], wanted: Sequence[str]) -> bytes:
    """Lengths of captions and frequencies of their words: the model's, and the references'.

    The second plot shows frequency by rank (Zipf 1949): a model that uses few words falls off
    early.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, captions in (("references", wanted), ("the model", said)):
        words = [tokenize(caption) for caption in captions]
        lengths = Counter(map(len, words))
        span = range(min(lengths) - 1, max(lengths) + 2)
        share = [100 * lengths[n] / len(words) for n in span]
        left.step(span, share, where="mid", label=name)
        counts = sorted(Counter(w for each in words for w in each).values(), reverse=True)
        ranks = range(1, len(counts) + 1)
        percent = 100 * np.array(counts, float) / max(1, sum(counts))
        right.loglog(ranks, percent, label=f"{name}: {len(counts)}")
    left.set(xlabel="words in a caption", ylabel="% of captions", ylim=(0, None))
    right.set(xlabel="rank of a word", ylabel="% of all words")
    left.legend()
    right.legend(title="different words")
    return to_png(figure)


def plot_confusion(said: Sequence[str], wanted: Sequence[str]) -> bytes:
    """The share of each wanted label's samples that get each label: a row sums to 1."""
    from matplotlib.figure import Figure

    names = sorted({*said, *wanted})
    index = {name: i for i, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)))
    for row, column in zip(wanted, said, strict=True):
        counts[index[row], index[column]] += 1
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    side = min(20, 3 + 0.3 * len(names))
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(names))
    labels = [textwrap.shorten(one_line(name), 24, placeholder="...") for name in names]
    axes.set_xticks(ticks, labels, rotation=90, parse_math=False)
    axes.set_yticks(ticks, labels, parse_math=False)
    axes.set(xlabel="the model's label", ylabel="the true label")
    figure.colorbar(shown, label="share of the true label's samples")
    return to_png(figure)


def plot_scatter(said: Sequence[str], wanted: Sequence[str]) -> bytes:
    """Each sample's number by the model over its true one."""
    from matplotlib.figure import Figure

    x, y = ([float(text) for text in texts] for texts in (wanted, said))
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.axline((x[0], x[0]), slope=1, color="grey", linewidth=0.8)
    axes.scatter(x, y, s=12, alpha=0.6)
    axes.set(xlabel="the true score", ylabel="the model's score")
    return to_png(figure)


def plot_roc(curves: Mapping[str, tuple[Array, Array, float]]) -> bytes:
    """ROC curves (Fawcett 2006): of each label, the false and the true positive rates of all
    thresholds, and the area below. The labels with the smallest areas are named."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot((0, 1), (0, 1), color="grey", linewidth=0.8)
    order = sorted(curves.items(), key=lambda item: item[1][2])
    for i, (name, (false, true, area)) in enumerate(order):
        short = textwrap.shorten(one_line(name), 24, placeholder="...").replace("$", r"\$")
        if i < NAMED:
            axes.plot(false, true, label=f"{short}: {area:.3f}")
        else:
            axes.plot(false, true, color="lightgrey", zorder=0)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    figure.legend(loc="outside right upper", title="area under the curve")
    return to_png(figure)
