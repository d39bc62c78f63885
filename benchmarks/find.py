"""How large an index is, and how long a search takes: prints JSON.

    python benchmarks/find.py --windows 1000000 > result.json

The windows are made of sentences that the embedded model wrote for the Flickr8k test set, if a file
of them is given (``--captions``, as ``evaluate --captions`` writes it), or else of its vocabulary's
words drawn by Zipf's law; words of each are replaced at random, so that hardly any two are the
same. ``queries`` are times of searches in an index that is open, in milliseconds, the median and
the longest over ``--runs``: first, and for that alone, each is run once. ``start`` is the wall time
of a process that searches, ``vidcaption find --no-update``, less that of its search.
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

from vidcaption.find.index import Entry, Index, Recipe, State
from vidcaption.find.query import Query
from vidcaption.find.search import search
from vidcaption.options import CaptionOptions, FindOptions
from vidcaption.store import resolve

PER_VIDEO = 250  # windows
QUERIES = (
    "motorcycle", "dog", "man", "a dog on a beach", "two men riding horses",
    "woman in a red dress -dog", '"red shirt"', "man woman child standing", "zebra umbrella piano",
)  # fmt: skip


def words() -> list[str]:
    """Of the embedded model, the most frequent first."""
    entries: list[str] = json.loads((resolve() / "vocab.json").read_text(encoding="utf-8"))
    return [word for word in entries if word.isalpha()]


def entries(number: int, captions: list[list[str]]) -> Iterator[Entry]:
    """Windows with a caption of about ten words and four concepts each."""
    known, chance = words(), random.Random(1)
    weights = list(accumulate(1 / (rank + 10) for rank in range(len(known))))

    def drawn(count: int) -> list[str]:
        return chance.choices(known, cum_weights=weights, k=count)

    for window in range(number):
        caption = list(chance.choice(captions)) if captions else drawn(10)
        for word in drawn(2):
            caption[chance.randrange(len(caption))] = word
        start_s = 4.0 * (window % PER_VIDEO)
        score = -chance.random()
        text = " ".join(caption).capitalize()
        yield Entry(start_s, start_s + 4, text, score, chance.random(), tuple(drawn(4)))


def fill(index: Index, folder: Path, number: int, captions: list[list[str]]) -> float:
    """Put in so many windows, and return the seconds that it took."""
    recipe = index.recipe_id(Recipe(None, "0" * 64, CaptionOptions()))
    began, made = time.perf_counter(), list(entries(number, captions))
    for start in range(0, number, PER_VIDEO):
        path = folder / f"camera {start % 7}" / f"{start:08}.mp4"
        path.parent.mkdir(exist_ok=True)
        path.touch()  # what is found must be there
        state = State(start, start, f"{start:064}")
        index.put(path, state, recipe, made[start : start + PER_VIDEO], duration_s=1000.0)
    return time.perf_counter() - began


def searched(index: Index, query: str, options: FindOptions) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    search(index, Query.parse(query), options)
    return 1000 * (time.perf_counter() - began)


def started(path: Path) -> float:
    """Seconds of a process that searches for a rare word."""
    command = [sys.executable, "-m", "vidcaption", "find", "zebra", "--no-update", "-q"]
    began = time.perf_counter()
    subprocess.run([*command, "--index", str(path)], capture_output=True, check=True)
    return time.perf_counter() - began


def summed(times: list[float], digits: int) -> dict[str, float]:
    return {"median": round(statistics.median(times), digits), "max": round(max(times), digits)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--windows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--captions", type=Path)
    asked = parser.parse_args()
    captions = []
    if asked.captions:
        lines = asked.captions.read_text(encoding="utf-8").splitlines()
        captions = [json.loads(line)["caption"].split() for line in lines]

    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "index.sqlite")
        with Index(path, create=True) as index:
            fill_s = fill(index, Path(name), asked.windows, captions)
        queries: dict[str, Any] = {}
        with Index(path) as index:
            for query in QUERIES:
                first, *times = (
                    searched(index, query, FindOptions()) for _ in range(asked.runs + 1)
                )
                queries[query] = {"first": round(first, 1), **summed(times, 1)}
            filtered = FindOptions(path="camera 3", confidence=0.9)
            times = [searched(index, "man", filtered) for _ in range(asked.runs)]
        rare_s = queries["zebra umbrella piano"]["median"] / 1000
        wall = [started(path) for _ in range(asked.runs)]
        report = {
            "windows": asked.windows,
            "videos": -(-asked.windows // PER_VIDEO),
            "bytes_per_window": round(path.stat().st_size / asked.windows, 1),
            "fill_s": round(fill_s, 1),
            "queries_ms": queries,
            "filtered_ms": summed(times, 1),
            "command_s": summed(wall, 3),
            "rare_query_s": round(rare_s, 3),
            "load": os.getloadavg(),
            "machine": {
                "processor": platform.processor() or platform.machine(),
                "cores": os.cpu_count(),
                "system": platform.platform(),
                "python": platform.python_version(),
            },
        }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
