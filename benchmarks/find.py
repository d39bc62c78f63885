"""How large an index is, and how long a search takes: prints JSON.

    python benchmarks/find.py --windows 1000000 > result.json

The windows hold words of the built-in model's vocabulary, drawn by Zipf's law, or captions that a
model wrote (``--captions FILE``, as ``evaluate --captions`` writes it), with two words replaced in
each; either way hardly any two are the same. Their vectors are random. ``queries_ms`` are searches
by words in an index that is open, ``meaning_ms`` those by words and meaning, the default:
``first`` is the wall time of the first one, then come the medians over ``--runs`` of the wall time
and of the processor's. ``command_s`` are whole processes, ``vidcaption find --no-update``. Wall
times hold on a machine with nothing else to do; ``load`` tells.
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import numpy as np
from computer import computer

from vidcaption.find.index import Entry, Index, Recipe, State
from vidcaption.find.meaning import read_query
from vidcaption.find.query import Query
from vidcaption.find.search import search
from vidcaption.find.space import space_of
from vidcaption.model.manifest import WEIGHTS, read_rows
from vidcaption.model.sentences import SIZE, STEPS
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.options.batch import FindOptions
from vidcaption.options.captioning import CaptionOptions
from vidcaption.store import resolve

PER_VIDEO = 250  # windows
QUERIES = (
    "motorcycle", "dog", "man", "a dog on a beach", "two men riding horses",
    "woman in a red dress -dog", '"red shirt"', "man woman child standing", "zebra umbrella piano",
)  # fmt: skip


def words() -> list[str]:
    """Of the built-in model, the most frequent first."""
    vocabulary = Vocabulary.from_json((resolve() / "vocab.json").read_text(encoding="utf-8"))
    return [word for word in vocabulary.words if word.isalpha()]


def entries(number: int, captions: list[list[str]]) -> Iterator[Entry]:
    """Windows with a caption of about ten words, four concepts and a vector each."""
    known, chance, numbers = words(), random.Random(1), np.random.default_rng(1)
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
        vector = numbers.normal(scale=STEPS / SIZE**0.5, size=SIZE).clip(-127, 127).astype(np.int8)
        concepts = tuple(drawn(4))
        yield Entry(start_s, start_s + 4, text, score, chance.random(), concepts, vector.tobytes())


def fill(index: Index, folder: Path, number: int, captions: list[list[str]]) -> float:
    """Put in so many windows, and return the seconds that it took."""
    sha256 = read_rows(resolve())[WEIGHTS]["sha256"]
    recipe = index.recipe_id(Recipe(None, sha256, CaptionOptions()))
    took_s = 0.0
    for start, made in enumerate(batched(entries(number, captions))):
        path = folder / f"camera {start % 7}" / f"{start:08}.mp4"
        path.parent.mkdir(exist_ok=True)
        path.touch()  # what is found must be there
        began = time.perf_counter()
        index.put(path, State(start, start, f"{start:064}"), recipe, made, duration_s=1000.0)
        took_s += time.perf_counter() - began
    return took_s


def batched(made: Iterator[Entry]) -> Iterator[list[Entry]]:
    """The windows of one video after the other."""
    while video := list(islice(made, PER_VIDEO)):
        yield video


def searched(
    index: Index, query: str, options: FindOptions, by_meaning: bool = False
) -> tuple[float, float]:
    """Milliseconds on the clock and of the processor."""
    began, worked = time.perf_counter(), time.process_time()
    asked, wanted = Query.parse(query), None
    if by_meaning and not asked.literal:
        wanted = read_query(space_of(index), asked)
    search(index, asked, options, wanted=wanted)
    return 1000 * (time.perf_counter() - began), 1000 * (time.process_time() - worked)


def started(path: Path) -> tuple[float, float]:
    """Seconds of a process that searches for rare words, on the clock and of the processor."""
    command = [sys.executable, "-m", "vidcaption", "find", QUERIES[-1], "--no-update", "-q"]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([*command, "--index", str(path)], capture_output=True, check=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def medians(pairs: list[tuple[float, float]], digits: int) -> dict[str, float]:
    wall, cpu = (round(statistics.median(each), digits) for each in zip(*pairs, strict=True))
    return {"wall": wall, "cpu": cpu}


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
        took: dict[bool, dict[str, Any]] = {False: {}, True: {}}
        filtered = FindOptions(path="camera 3", min_confidence=0.9)
        with Index(path) as index:
            for by_meaning, queries in took.items():
                for query in QUERIES:
                    (first, _), *pairs = (
                        searched(index, query, FindOptions(), by_meaning)
                        for _ in range(asked.runs + 1)
                    )
                    queries[query] = {"first": round(first, 1), **medians(pairs, 1)}
                pairs = [searched(index, "man", filtered, by_meaning) for _ in range(asked.runs)]
                queries["man, filtered by path and confidence"] = medians(pairs, 1)
        commands = [started(path) for _ in range(asked.runs)]
        report = {
            "windows": asked.windows,
            "videos": -(-asked.windows // PER_VIDEO),
            "bytes_per_window": round(path.stat().st_size / asked.windows, 1),
            "fill_s": round(fill_s, 1),
            "queries_ms": took[False],
            "meaning_ms": took[True],
            "command_s": medians(commands, 3),
            "load": os.getloadavg(),
            "machine": computer(),
        }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
