"""The page of ``vidcaption evaluate --html``."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidcaption.datasets.samples import TARGETS, Sample
from vidcaption.evaluation.evaluate import Evaluation
from vidcaption.model import folder as model_folder
from vidcaption.model.device import Machine
from vidcaption.output.text import counted
from vidcaption.report.cases import choose, look
from vidcaption.report.figures import comparison_rows, figure_rows, label_table, meanings
from vidcaption.report.page import card, render
from vidcaption.report.pictures import data_uri
from vidcaption.report.plots import plot_confusion, plot_roc, plot_scatter

EACH = 5  # samples of each kind

_KINDS = {
    "caption": ("The best by CIDEr", "The worst by CIDEr"),
    "classes": ("The most probable right labels", "The most probable wrong labels"),
    "score": ("The smallest errors", "The largest errors"),
    "joint": ("The best ranks", "The worst ranks"),
    "alignment": ("The best ranks", "The worst ranks"),
    "regions": ("The best phrases", "The worst phrases"),
}
_TABLES = ("scores", "intervals", "against", "differences", "labels", "confusion")


def evaluation_page(
    report: Mapping[str, Any],
    evaluation: Evaluation,
    samples: Sequence[Sample],
    folder: Path,
    machine: Machine,
) -> str:
    """HTML: every figure, plots of labels or scores, and the samples that did best and worst.

    ``report``: what ``evaluate --json`` prints; ``evaluation``: of the model in ``folder`` on the
    same samples. Raises InputError, ModelError.
    """
    rows = figure_rows(report)
    shown = {*_TABLES, *(name for name, *_ in rows)}
    against = None
    if "differences" in report:
        other = report["against"]
        against = {**other, "rows": comparison_rows(report), "sha256": other["model_sha256"]}
    model = model_folder.load(folder, machine.device)
    merits, head = evaluation.merits, report["head"]
    what, titles = TARGETS[head][1], (*_KINDS[head], "Others, drawn at random")
    count = counted(report["samples"], what)

    def show(i: int) -> dict[str, Any]:
        sample, cider = samples[i], float(merits[i]) if head == "caption" else None
        said = evaluation.said[sample.id]
        return card(look(model, sample, said, cider, report["frames"], machine))

    chosen = choose(merits, EACH)
    said, wanted = zip(
        *((evaluation.said[s.id].text, s.references(head)[0]) for s in samples), strict=True
    )
    plots = {}
    if head == "classes":
        plots["how often each label is given for each"] = plot_confusion(said, wanted)
        plots["ROC curves"] = plot_roc(evaluation.curves)
    elif head == "score":
        plots["the model's and the true scores"] = plot_scatter(said, wanted)
    return render(
        "evaluation.html",
        title=f"{report['model']} on {report['dataset']}, {report['split']}: {count}",
        model=report["model"],
        meanings=meanings(report),
        level=f"{report['bootstrap']['level']:.0%} interval",
        figures=rows,
        head=head,
        what=what,
        labels=label_table(report),
        plots=[(alt, data_uri("image/png", png)) for alt, png in plots.items()],
        against=against,
        settings=[(name, _plain(value)) for name, value in report.items() if name not in shown],
        groups=[
            (title, list(map(show, some)))
            for title, some in zip(titles, chosen.values(), strict=True)
            if some
        ],
    )


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(each)}" for name, each in value.items())
    return value if isinstance(value, str) else json.dumps(value)
