"""What an evaluation found, as rows of text: for the terminal and for the page."""

from collections.abc import Mapping, Sequence
from typing import Any

_COUNTS = ("distinct_captions", "vocabulary_used")  # they grow with the samples: no interval

Report = Mapping[str, Any]


def figure_rows(report: Report) -> list[tuple[str, str, str]]:
    """Name, value and interval of each figure in what ``evaluate --json`` prints."""
    values = report["scores"] | {name: report[name] for name in report if name in _COUNTS}
    values |= {name: report[name] for name in report["intervals"] if name not in values}
    return [
        (name, _number(value), _range(report["intervals"].get(name)))
        for name, value in values.items()
    ]


def comparison_rows(report: Report) -> list[tuple[str, str, str, str, str]]:
    """Name, both models' values, their difference and its interval, of ``--against --json``."""
    first, second = ({**part, **part["scores"]} for part in (report, report["against"]))
    return [
        (
            name,
            _number(first[name]),
            _number(second[name]),
            _number(row["difference"]),
            _range(row["interval"]),
        )
        for name, row in report["differences"].items()
    ]


def _number(value: float | None) -> str:
    if value is None:
        return "none"
    return str(value) if isinstance(value, int) else f"{value:.{2 if abs(value) >= 2 else 3}f}"


def _range(interval: Sequence[float] | None) -> str:
    return f"{_number(interval[0])} to {_number(interval[1])}" if interval else ""
