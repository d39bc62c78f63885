"""The README says what the command does."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from vidcaption.options import (
    BatchOptions,
    CaptionOptions,
    LogOptions,
    MachineOptions,
    Options,
    OutputOptions,
    choices_of,
    flag_of,
)

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TABLE_ROWS = [line.split("|")[1:-1] for line in README.splitlines() if line.startswith("|")]


@pytest.mark.parametrize(
    "kind", [OutputOptions, BatchOptions, CaptionOptions, MachineOptions, LogOptions]
)
def test_every_flag_has_a_row_with_its_default(kind: type[Options]) -> None:
    for f in fields(kind):
        row = next((row for row in TABLE_ROWS if f"`{flag_of(f)}`" in row[0]), None)
        assert row is not None, flag_of(f)
        if isinstance(f.default, int | float) and not isinstance(f.default, bool) and f.default:
            assert f"{f.default:g}" in re.findall(r"[\d.]+", row[1]), flag_of(f)
        for choice in choices_of(f):
            assert choice in "".join(row), flag_of(f)


def test_ci_runs_the_commands_of_the_readme() -> None:
    commands = re.findall(r'^readme "(.+)"$', (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert len(commands) == 2
    assert set(commands) <= set(README.splitlines())
