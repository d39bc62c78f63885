"""Plots of a model's captions, as PNG. They need matplotlib."""

import io
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vidcaption.model.vocabulary import tokenize

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
