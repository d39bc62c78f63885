"""The page of ``vidcaption evaluate --html``."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidcaption.datasets.samples import Sample
from vidcaption.evaluation.evaluate import Evaluation
from vidcaption.model import folder as model_folder
from vidcaption.model.device import Machine
from vidcaption.report import page
from vidcaption.report.cases import choose, look
from vidcaption.report.figures import comparison_rows, figure_rows

EACH = 5  # samples of each kind

_KINDS = {
    "best": "The best by CIDEr",
    "worst": "The worst by CIDEr",
    "random": "Some of the others, by chance",
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
    level = f"{report['bootstrap']['level']:.0%} interval"
    rows = figure_rows(report)
    parts = [page.section("Figures", page.table(("", "", level), rows))]
    if "differences" in report:
        head = ("", "this model", "the other", "difference", level)
        compared = page.table(head, comparison_rows(report))
        other = f"The other is model {report['against']['model_sha256']}."
        parts.append(page.section("Against another model", compared, page.paragraph(other)))
    shown = {*_TABLES, *(name for name, *_ in rows)}
    settings = [(name, _plain(value)) for name, value in report.items() if name not in shown]
    parts.append(page.section("How it was measured", page.facts(settings)))

    parts.append(page.section("Captions", page.paragraph(page.HOW_TO_READ)))
    model = model_folder.load(folder, machine.device)
    merits = evaluation.figures["CIDEr"].rows[:, 0]
    for kind, chosen in choose(merits, EACH).items():
        cards = []
        for i in chosen:
            sample, cider = samples[i], float(merits[i])
            said = evaluation.said[sample.id]
            case = look(model, sample, said, cider, report["frames"], machine)
            cards.append(page.case_card(case))
        if cards:
            parts.append(page.section(_KINDS[kind], *cards))
    title = f"{report['dataset']}, {report['split']}: {report['samples']} captions"
    return page.page(title, parts)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(each)}" for name, each in value.items())
    return value if isinstance(value, str) else json.dumps(value)
