"""Scores as a table for a person."""

from collections.abc import Mapping
from typing import Any

from vidcaption.cli.console import aligned
from vidcaption.output.text import counted, printable
from vidcaption.report.figures import comparison_rows, figure_rows


def score_table(report: Mapping[str, Any]) -> str:
    """What ``evaluate --json`` prints, as lines: each figure with its interval."""
    bootstrap, search = report["bootstrap"], report["search"]
    settings = ", ".join(f"{name} {value}" for name, value in search.items())
    lines = [
        f"{report['dataset']}, {report['split']}: {counted(report['samples'], 'sample')}",
        "",
        *aligned([("", "", f"{bootstrap['level']:.0%} interval"), *figure_rows(report)], ">"),
        "",
        f"{report['metrics']}; {bootstrap['resamples']} bootstrap resamples",
        f"{settings}; {counted(report['frames'], 'frame')}, {report['precision']}",
        f"model {report['model']}, sha256 {report['model_sha256']}",
    ]
    return "".join(printable(line) + "\n" for line in lines)


def comparison_table(report: Mapping[str, Any], model: str, against: str) -> str:
    """What ``evaluate --against --json`` prints, as lines: both models' figures side by side."""
    level = f"{report['bootstrap']['level']:.0%}"
    head = ("", model, against, "difference", f"{level} interval")
    lines = [
        *aligned([head, *comparison_rows(report)], ">"),
        "",
        f"{against} has sha256 {report['against']['model_sha256']}; where the interval has no 0, "
        f"the models differ on such samples with {level} confidence",
    ]
    return "".join(printable(line) + "\n" for line in lines)
