"""Write the tables of the READMEs and of the model card from the JSON in benchmarks/results.

python benchmarks/tables.py           # rewrites what stands between the markers
python benchmarks/tables.py --check   # exit code 1 if that would change a file
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vidcaption.model.folder import write_manifest

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
MODEL = ROOT / "weights" / "default"
PAGES = (ROOT / "README.md", ROOT / "benchmarks" / "README.md", MODEL / "README.md")


def read(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def scores() -> str:
    """One row for each split that was scored; what the figures depend on, below."""
    reports = [read(name) for name in ("flickr8k-test", "flickr8k-dev", "msrvtt-dev")]
    names = list(reports[0]["scores"])
    lines = [row("dataset, split", "samples", *names), row(*["---"] * (len(names) + 2))]
    for report in reports:
        figures = [f"{report['scores'][name]:.1f}" for name in names]
        lines.append(row(f"{report['dataset']}, {report['split']}", report["samples"], *figures))
    first = reports[0]
    return "\n".join(
        [
            *lines,
            "",
            f"All x 100, {first['metrics']}; beam {first['search']['beam']}, length penalty "
            f"{first['search']['length_penalty']:g}, {first['precision']}, up to {first['frames']} "
            "frames per sample.",
        ]
    )


def ablation() -> str:
    """What each stage and each beam gave, on the same samples."""
    rows = {
        "7 epochs frozen, 3 end to end": "ablation/first",
        "then 4 end to end, with the mean of weights": "ablation/imitation",
        "then by rewards: the embedded model": "flickr8k-dev",
        "the same, beam 1": "ablation/beam-1",
        "the same, beam 5": "ablation/beam-5",
    }
    names = ("BLEU-4", "METEOR", "CIDEr")
    lines = [row(f"Flickr8k {read('flickr8k-dev')['split']}", *names, "CIDEr, 95%")]
    lines.append(row(*["---"] * (len(names) + 2)))
    for label, name in rows.items():
        report = read(name)
        low, high = report["intervals"]["CIDEr"]
        figures = [f"{report['scores'][each]:.1f}" for each in names]
        lines.append(row(label, *figures, f"{low:.1f} to {high:.1f}"))
    return "\n".join(lines)


def speed() -> str:
    """Where the time of captioning one video goes, and what decoding alone takes."""
    report = read("speed-cpu")
    video, machine = report["video"], report["machine"]
    seconds = report["seconds"]
    memory = report["peak_memory_mib"]["main"]
    cells = [f"{seconds[name]:.2f} s" for name in ("decode", "encode", "search", "write", "all")]
    cells += [f"{report['decode_alone_seconds']:.2f} s", f"{report['times_decode_alone']:.1f}"]
    heads = ["wait for frames", "CNN", "words", "writing", "all", "decoding alone", "ratio"]
    facts = (
        f"{video['duration_s']:.0f} s of {video['codec']} at {video['size']}, {video['frames']} "
        f"frames: {report['times_real_time']:.0f} times real time, "
        f"{report['frames_per_second']:.0f} frames a second, at most {memory:.0f} MiB of memory. "
        f"Medians of {report['runs']} runs on {machine['cores']} cores of {machine['processor']}, "
        f"PyTorch {machine['versions']['torch']}, {report['precision']}."
    )
    return "\n".join([row(*heads), row(*["---"] * len(heads)), row(*cells), "", facts])


def soak() -> str:
    """What became of a batch that was killed again and again, and how much memory it had."""
    report = read("soak")
    heads = ["inputs", "broken", "kills", "lost", "torn", "done twice"]
    cells = [report[head.replace(" ", "_")] for head in heads]
    memory = report["memory_mib"]
    first, last = memory["quarters"][0], memory["quarters"][-1]
    facts = (
        f"Memory over {memory['of_outputs']} videos of one run: {first:.0f} MiB in the first "
        f"quarter, {last:.0f} MiB in the last, at most {memory['peak']:.0f} MiB. All runs: "
        f"{report['seconds']:.0f} s on {report['machine']['cores']} cores, which did other work."
    )
    return "\n".join([row(*heads), row(*["---"] * len(heads)), row(*cells), "", facts])


TABLES: dict[str, Callable[[], str]] = {
    "scores": scores,
    "ablation": ablation,
    "speed": speed,
    "soak": soak,
}
BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    stale = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        fresh = BLOCK.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n\n{found[3]}", text)
        if fresh != text:
            stale.append(page)
            if "--check" not in sys.argv:
                page.write_text(fresh, encoding="utf-8")
                write_manifest(MODEL)  # which knows the card's sha256
    if stale:
        print("stale:" if "--check" in sys.argv else "rewritten:", *stale)
        sys.exit("--check" in sys.argv)


if __name__ == "__main__":
    main()
