"""The page of ``vidcaption evaluate --html``."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidcaption.datasets.samples import Sample
from vidcaption.evaluation.evaluate import Evaluation
from vidcaption.model import folder as model_folder
from vidcaption.model.device import Machine
from vidcaption.output.text import counted
from vidcaption.report.cases import choose, look
from vidcaption.report.figures import comparison_rows, figure_rows, meanings
from vidcaption.report.page import card, render

EACH = 5  # samples of each kind

_KINDS = {
    "best": "The best by CIDEr",
    "worst": "The worst by CIDEr",
    "random": "Others, drawn at random",
}
_TABLES = ("scores", "intervals", "against", "differences")


def evaluation_page(
    report: Mapping[str, Any],
    evaluation: Evaluation,
    samples: Sequence[Sample],
    folder: Path,
    machine: Machine,
) -> str:
    """HTML: every figure, and the samples that did best and worst by their own CIDEr.

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
    merits = evaluation.figures["CIDEr"].rows[:, 0]

    def show(i: int) -> dict[str, Any]:
        sample, cider = samples[i], float(merits[i])
        said = evaluation.said[sample.id]
        return card(look(model, sample, said, cider, report["frames"], machine))

    chosen = choose(merits, EACH)
    captions = counted(report["samples"], "caption")
    return render(
        "evaluation.html",
        title=f"{report['model']} on {report['dataset']}, {report['split']}: {captions}",
        model=report["model"],
        meanings=meanings(report),
        level=f"{report['bootstrap']['level']:.0%} interval",
        figures=rows,
        against=against,
        settings=[(name, _plain(value)) for name, value in report.items() if name not in shown],
        groups=[(_KINDS[kind], list(map(show, some))) for kind, some in chosen.items() if some],
    )


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(each)}" for name, each in value.items())
    return value if isinstance(value, str) else json.dumps(value)
