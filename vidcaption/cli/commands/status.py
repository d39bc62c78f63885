"""``vidcaption status``."""

from collections import Counter
from pathlib import Path
from typing import Annotated, get_args

import typer

from vidcaption.cli.flags import Json
from vidcaption.cli.help import helped


@helped("""
    vidcaption run videos --srt --manifest run.jsonl
    vidcaption status run.jsonl
    vidcaption run --retry-failed run.jsonl --srt
""")
def status(
    manifests: Annotated[
        list[Path], typer.Argument(metavar="MANIFEST", help="Files written by run --manifest.")
    ],
    as_json: Json = False,
) -> int:
    """Summarize the manifests of runs, and list the inputs that failed.

    For an input with several rows in one file, the last one counts.
    """
    from vidcaption.batch import read_manifest
    from vidcaption.batch.runner import Status
    from vidcaption.cli.console import put, put_json
    from vidcaption.output.text import counted, printable

    rows = [row for manifest in manifests for row in read_manifest(manifest)]
    numbers = Counter(row.status for row in rows)
    counts = {name: numbers[name] for name in get_args(Status)}
    seconds = sum(row.seconds for row in rows)
    failed = [row for row in rows if row.status == "failed"]
    if as_json:
        failures = [
            {"path": str(row.path), "class": row.error_class, "text": row.error} for row in failed
        ]
        summary = {
            "inputs": len(rows),
            **counts,
            "seconds": round(seconds, 3),
            "failures": failures,
        }
        put_json(summary)
        return 0
    parts = ", ".join(f"{number} {name}" for name, number in counts.items())
    put(f"{counted(len(rows), 'input')}: {parts}; {seconds:.1f} s of work\n")
    for row in failed:
        put(printable(f"failed: {row.error or row.path}") + "\n")
    return 0
