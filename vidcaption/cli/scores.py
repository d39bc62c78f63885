"""Scores as a table for a person."""

from collections.abc import Mapping, Sequence
from typing import Any

from vidcaption.output.text import printable

_COUNTS = ("distinct_captions", "vocabulary_used")  # they grow with the samples: no interval


def score_table(report: Mapping[str, Any]) -> str:
    """What ``evaluate --json`` prints, as lines: each figure with its interval."""
    values = report["scores"] | {name: report[name] for name in report if name in _COUNTS}
    values |= {name: report[name] for name in report["intervals"] if name not in values}
    rows = [
        (name, _number(value), _range(report["intervals"].get(name)))
        for name, value in values.items()
    ]
    bootstrap, search = report["bootstrap"], report["search"]
    settings = ", ".join(f"{name} {value}" for name, value in search.items())
    lines = [
        f"{report['dataset']}, {report['split']}: {report['samples']} samples",
        "",
        *aligned([("", "", f"{bootstrap['level']:.0%} interval"), *rows]),
        "",
        f"{report['metrics']}; {bootstrap['resamples']} bootstrap resamples",
        f"{settings}; {report['frames']} frames, {report['precision']}",
        f"model {report['model_sha256']}",
    ]
    return "".join(printable(line) + "\n" for line in lines)


def comparison_table(report: Mapping[str, Any], model: str, against: str) -> str:
    """What ``evaluate --against --json`` prints, as lines: both models' figures side by side."""
    first, second = ({**part, **part["scores"]} for part in (report, report["against"]))
    rows = [
        (
            name,
            _number(first[name]),
            _number(second[name]),
            _number(row["difference"]),
            _range(row["interval"]),
        )
        for name, row in report["differences"].items()
    ]
    level = f"{report['bootstrap']['level']:.0%}"
    head = ("", model, against, "difference", f"{level} interval")
    lines = [
        *aligned([tuple(map(printable, row)) for row in (head, *rows)]),
        "",
        f"{against} is model {report['against']['model_sha256']}; where the interval has no 0, the "
        f"models differ on such samples with {level} confidence",
    ]
    return "".join(printable(line) + "\n" for line in lines)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns: the first flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)),
            ]
        ).rstrip()
        for row in rows
    ]


def _number(value: float | None) -> str:
    if value is None:
        return "none"
    return str(value) if isinstance(value, int) else f"{value:.{2 if abs(value) >= 2 else 3}f}"


def _range(interval: Sequence[float] | None) -> str:
    return f"{_number(interval[0])} to {_number(interval[1])}" if interval else ""
