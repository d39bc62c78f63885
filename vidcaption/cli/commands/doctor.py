"""``vidcaption doctor``."""

from typing import TYPE_CHECKING

import typer

from vidcaption.cli.flags import Json
from vidcaption.cli.help import helped

if TYPE_CHECKING:
    from vidcaption.doctor import Finding


@helped("""
    vidcaption doctor
    vidcaption doctor --json
""")
def doctor(context: typer.Context, as_json: Json = False) -> int:
    """Check that this installation works, and say what to do if not.

    Exit codes: 0 it works, perhaps with warnings; 3 something failed that is needed to run.
    """
    from dataclasses import asdict
    from itertools import chain

    from vidcaption.cli.console import put, put_json
    from vidcaption.doctor import examine
    from vidcaption.output.text import printable

    findings = []
    for finding in chain((_settings(context),), examine()):
        findings.append(finding)
        if not as_json:
            put(f"{finding.state:7}  {finding.name}: {printable(finding.found)}\n")
            if finding.advice:
                put(f"         {printable(finding.advice)}\n")
    works = all(finding.state != "failed" for finding in findings)
    if as_json:
        rows = [asdict(finding) for finding in findings]
        put_json({"works": works, "findings": rows})
    return 0 if works else 3


def _settings(context: typer.Context) -> "Finding":
    """Whether the options set by files and the environment are valid."""
    from vidcaption.cli.app import explained
    from vidcaption.cli.flags import resolved
    from vidcaption.cli.settings import DEFAULT, configured
    from vidcaption.doctor import Finding
    from vidcaption.errors import VidcaptionError

    sources: set[str] = set()
    for command in configured(context):
        try:
            sources |= {each.source for each in resolved(command, context.find_root())}
        except (VidcaptionError, typer.TyperException) as error:
            told = str(error) if isinstance(error, VidcaptionError) else explained(error, ())
            notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
            return Finding(
                "options",
                "failed" if command == "run" else "warning",
                " ".join(f"{command} cannot use them: {told}{notes}".split()),
                "correct the file or the variable; vidcaption config show lists those in use",
            )
    found = ", ".join(sorted(sources - {DEFAULT}))
    return Finding("options", "ok", f"set by {found}" if found else "none set by files")
