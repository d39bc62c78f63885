"""Looks for bytes that a reader does not stand, with atheris: ``python tests/fuzz TARGET FOLDER``.

FOLDER keeps what is found on the way, and the input that brought about a crash; flags of libFuzzer
may follow, such as -max_total_time=20. An input that did belongs in ``corpus/TARGET``, where the
tests try it from then on.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["vidcaption"]):
    from targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"

if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in TARGETS:
        sys.exit(f"{__doc__}\nTARGET is one of {', '.join(TARGETS)}.")
    name, folder, *flags = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    bounds = ["-timeout=20", "-rss_limit_mb=4096", "-max_len=20000", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], *bounds, *flags, folder, str(CORPUS / name)], TARGETS[name])
    atheris.Fuzz()
