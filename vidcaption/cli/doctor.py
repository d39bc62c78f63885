"""``vidcaption doctor``."""

from vidcaption.cli.arguments import Json


def doctor(as_json: Json = False) -> int:
    """Tell whether this installation works, down to a caption, and what to do if not.

    Exit codes: 0 it works, perhaps with warnings; 3 something without which nothing can run fails.
    """
    from dataclasses import asdict

    from vidcaption.cli.voice import put, put_json
    from vidcaption.doctor import examine
    from vidcaption.output.text import printable

    findings = []
    for finding in examine():
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
