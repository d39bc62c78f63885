"""The report of a training: ``training.html`` and its pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vidcaption.datasets.samples import TARGETS, Sample
from vidcaption.evaluation.captioning import Said, caption_samples, head_of_samples
from vidcaption.evaluation.retrieval import closest_captions, compare
from vidcaption.model import folder as model_folder
from vidcaption.model.device import Machine
from vidcaption.model.manifest import CARD, read_text
from vidcaption.model.parts import MATCHING
from vidcaption.options.captioning import SearchOptions
from vidcaption.output.write import write_atomic
from vidcaption.report.cases import SEED, look
from vidcaption.report.page import card, render
from vidcaption.report.pictures import data_uri
from vidcaption.report.plots import plot_captions, plot_confusion, plot_scatter
from vidcaption.report.sheet import plot_sheet
from vidcaption.training.history import (
    LOSS,
    Epoch,
    best_of,
    figure,
    label,
    metrics_of,
    plot_history,
    read_history,
)

PAGE, CAPTIONS, SHEET = "training.html", "captions.png", "sheet.png"
# for each head the name of its plot, and what draws it from what is said and wanted
PLOTS = {
    "caption": (CAPTIONS, plot_captions),
    "classes": ("confusion.png", plot_confusion),
    "score": ("scatter.png", plot_scatter),
    "joint": (CAPTIONS, plot_captions),
    "alignment": (CAPTIONS, plot_captions),
    "regions": (CAPTIONS, plot_captions),
}
MOST_SAMPLES = 1000  # captioned for the histograms
SHOWN = 12


def write_training_page(
    folder: Path,
    samples: Sequence[Sample],
    machine: Machine,
    *,
    shown: Sequence[Sample] = (),
) -> None:
    """Write ``training.html``, ``loss.png``, ``sheet.png`` and the plot of PLOTS into ``folder``.

    ``folder``: of a model and its ``history.csv``; ``samples``: of ``dev``, of which at most
    ``MOST_SAMPLES`` are used, drawn at random with a fixed seed; ``shown``: samples whose pictures
    are shown instead, if those of ``samples`` may not be shared. None of these files is in the
    manifest: a model runs without them, and they may show pictures of a dataset.

    Raises UsageError if the history cannot be read, ModelError, InputError, OutputError.
    """
    epochs = read_history(folder)
    model = model_folder.load(folder, machine.device)
    drawn = np.random.default_rng(SEED).permutation(len(samples))[:MOST_SAMPLES]
    part = [samples[i] for i in drawn]

    head, frames = model.network.config.says, model.network.config.frames

    def caption(some: Sequence[Sample]) -> Mapping[str, Said]:
        network, vocabulary = model.network, model.vocabulary
        if head in MATCHING:  # the captions of people that it finds
            windows = head_of_samples(network, some, frames, machine)
            similar, _ = compare(network, head, windows, part, vocabulary)
            return closest_captions(some, similar, [x for s in part for x in s.captions])
        return caption_samples(network, vocabulary, some, frames, SearchOptions(), machine)

    said = caption(part)
    own = caption(shown) if shown else said
    cases = [look(model, s, own[s.id], None, frames, machine) for s in shown or part[:SHOWN]]
    plotted, plot = PLOTS[head]
    texts = [each.text for each in said.values()]
    pictures = {
        LOSS: plot_history(epochs),
        plotted: plot(texts, [text for s in part for text in s.references(head)]),
        SHEET: plot_sheet(cases),
    }
    for name, png in pictures.items():
        write_atomic(folder / name, png)
    best, metrics = best_of(epochs), metrics_of(epochs)
    html = render(
        "training.html",
        title=f"Training of {folder.resolve().name}",
        loss=data_uri("image/png", pictures[LOSS]),
        captions=data_uri("image/png", pictures[plotted]),
        columns=["epoch", "stage", "loss", *map(label, metrics), "learning rate", "seconds"],
        epochs=[_row(epoch, metrics) for epoch in epochs],
        best=best.epoch,
        marked=epochs.index(best),
        counts=f"{TARGETS[head][1].capitalize()}s of {len(part)} of {len(samples)} dev samples, by "
        "the best epoch's model.",
        cases=map(card, cases),
        model_card=read_text(folder / CARD),
    )
    write_atomic(folder / PAGE, html)


def _row(epoch: Epoch, metrics: Sequence[str]) -> tuple[str, ...]:
    return (
        str(epoch.epoch),
        epoch.stage,
        "" if epoch.loss is None else f"{epoch.loss:.3f}",
        *(figure(m, epoch.metrics[m]) if m in epoch.metrics else "" for m in metrics),
        f"{epoch.lr:.2e}",
        f"{epoch.seconds:.0f}",
    )
