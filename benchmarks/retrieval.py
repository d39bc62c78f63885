"""What search by meaning is worth: how well ``find`` ranks the window that a person described.

    python benchmarks/retrieval.py MODEL flickr8k.jsonl msrvtt.jsonl --choose > result.json

Each sample is a window of an index, with what the model says of it; each human caption, or the
first ``--queries`` of each sample, is a query for its own sample among all of the split. ``mrr``:
the mean of 1 / rank, ``R@10``: the share found among the first ten, both x 100, with a bootstrap
interval over samples. ``gain``: what words and meaning together are better than words alone, on
the same resamples. ``--choose`` adds both for other weights of the words, and for reciprocal rank
fusion (Cormack et al. 2009). ``--rerank N`` looks again at the best moments for one caption of each
of the first N samples, and tells both for some weights of the captioner's probability.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vidcaption.datasets.read import read_dataset
from vidcaption.datasets.samples import Sample
from vidcaption.evaluation import statistics
from vidcaption.evaluation.captioning import in_batches, load_clip
from vidcaption.evaluation.statistics import Figure, mean
from vidcaption.find import look, meaning
from vidcaption.find.index import Entry, Index, Recipe, State
from vidcaption.find.meaning import Wanted, read_query
from vidcaption.find.query import Query
from vidcaption.find.search import Moment, search
from vidcaption.find.space import space_of
from vidcaption.model import folder
from vidcaption.model.device import Machine
from vidcaption.options.batch import FindOptions
from vidcaption.options.captioning import CaptionOptions
from vidcaption.store import resolve

WEIGHTS = (0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1)
RRF = 60
LOOKED_AT = 50
PROBABILITY = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)

Ranks = NDArray[np.float64]  # (samples, queries): infinite where it was not found


@torch.inference_mode()
def entries(model: folder.Model, samples: list[Sample], machine: Machine) -> list[Entry]:
    """What an index would hold of each sample."""
    network, made = model.network, {}
    frames, size = network.config.frames, network.config.input.image_size
    batches = in_batches(
        lambda i: load_clip(samples[i], frames, size), range(len(samples)), 16, machine
    )
    for indices, clips in batches:
        with machine.autocast():
            features = network.encode(clips)
            concepts = network.recognise(features, network.detect(clips))
            captions = network.caption(features, CaptionOptions(), concepts)
        for i, caption in zip(indices, captions, strict=True):
            text = " ".join(model.vocabulary.decode(caption.ids))
            names = tuple(model.vocabulary.concepts[n] for n, _ in caption.concepts)
            told = text, caption.score, caption.confidence, names, caption.vector
            made[i] = Entry(0, 4, *told)
    return [made[i] for i in range(len(samples))]


class Ranking:
    """Searches among the samples of a dataset, each a video in an index by itself."""

    def __init__(self, index: Index, samples: list[Sample], queries: int) -> None:
        self.index, self.space = index, space_of(index)
        self.place = {sample.stills[0]: i for i, sample in enumerate(samples)}
        self.texts = [[s.captions[i % len(s.captions)] for i in range(queries)] for s in samples]
        self.options = FindOptions(limit=len(samples))

    def moments(self, text: str, how: str) -> list[Moment]:
        """All that are found by ``words``, by ``meaning`` or by both ``joined``."""
        query = Query.parse(text)
        wanted: Wanted | None = None if how == "words" else read_query(self.space, query)
        asked = None if how == "meaning" else query
        return search(self.index, asked, self.options, (), wanted).moments

    def ranks(self, how: str) -> Ranks:
        return np.array(
            [
                [self.rank(self.moments(text, how), own) for text in several]
                for own, several in enumerate(self.texts)
            ]
        )

    def rank(self, moments: list[Moment], own: int) -> float:
        order = [self.place[moment.path] for moment in moments]
        return order.index(own) + 1 if own in order else np.inf

    def choices(self) -> dict[str, Ranks]:
        """The ranks by each weight of the words, and by reciprocal rank fusion."""
        shape = len(self.texts), len(self.texts[0])
        names = [*(f"weight {weight:g}" for weight in WEIGHTS), "reciprocal rank fusion"]
        ranks = {name: np.zeros(shape) for name in names}
        for own, several in enumerate(self.texts):
            for column, text in enumerate(several):
                said, fused, cosines = (np.zeros(shape[0]) for _ in range(3))
                for number, moment in enumerate(self.moments(text, "words"), start=1):
                    said[self.place[moment.path]] = moment.score
                    fused[self.place[moment.path]] = 1 / (RRF + number)
                for number, moment in enumerate(self.moments(text, "meaning"), start=1):
                    cosines[self.place[moment.path]] = moment.score
                    fused[self.place[moment.path]] += 1 / (RRF + number)
                scores = [cosines + weight * said for weight in WEIGHTS]
                for name, score in zip(names, [*scores, fused], strict=True):
                    ranks[name][own, column] = (score >= score[own]).sum()
        return ranks


def figures(ranks: Ranks) -> dict[str, Figure]:
    return {
        "mrr": mean(100 * (1 / ranks).mean(1)),
        "R@10": mean(100 * (ranks <= 10).mean(1)),
    }


def report(ranks: dict[str, Ranks], base: str = "words") -> dict[str, Any]:
    """Each figure with its interval, and what it gains over the base."""
    drawn = {how: statistics.resample(dict(figures(each))) for how, each in ranks.items()}

    def row(how: str) -> Iterator[tuple[str, Any]]:
        for name, figure in figures(ranks[how]).items():
            yield name, rounded(float(figure), drawn[how][name])
            if how != base:
                gain = float(figure) - float(figures(ranks[base])[name])
                yield f"{name} gain", rounded(gain, drawn[how][name] - drawn[base][name])

    return {how: dict(row(how)) for how in ranks}


def rounded(value: float, drawn: NDArray[np.float64]) -> dict[str, Any]:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {"value": round(value, 2), "interval": [round(low, 2), round(high, 2)]}


def looked_again(ranking: Ranking, count: int) -> dict[str, Any]:
    """The first ``count`` samples' first queries, by weights of the captioner's probability."""
    ranks: dict[str, list[float]] = {f"weight {weight:g}": [] for weight in PROBABILITY}
    for own, (text, *_) in enumerate(ranking.texts[:count]):
        best = ranking.moments(text, "joined")[:LOOKED_AT]
        bare = [replace(moment, score=0.0) for moment in best]
        look.PROBABILITY_WEIGHT = 1.0
        log_probs = {
            moment.path: moment.score
            for moment in look.look_again(ranking.index, bare, Query.parse(text))
        }
        for weight in PROBABILITY:
            order = sorted(best, key=lambda m: -(m.score + weight * log_probs[m.path]))
            ranks[f"weight {weight:g}"].append(ranking.rank(order, own))
    return report({k: np.array(v)[:, None] for k, v in ranks.items()}, "weight 0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model")
    parser.add_argument("datasets", nargs="+", type=Path)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--queries", type=int, default=5)
    parser.add_argument("--samples", type=int, help="only the first so many of the split")
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--rerank", type=int, default=0)
    asked = parser.parse_args()
    place = resolve(asked.model)
    machine = Machine.find()
    model = folder.load(place, machine.device)
    rows = {}
    for dataset in asked.datasets:
        samples = [s for s in read_dataset(dataset) if s.split == asked.split and s.captions]
        samples = samples[: asked.samples]
        with tempfile.TemporaryDirectory() as name, Index(Path(name, "i"), create=True) as index:
            recipe = index.recipe_id(
                Recipe(str(place), model.sha256, CaptionOptions(frames=model.network.config.frames))
            )
            for sample, entry in zip(samples, entries(model, samples, machine), strict=True):
                index.put(sample.stills[0], State(1, 1, sample.id), recipe, [entry])
            ranking = Ranking(index, samples, asked.queries)
            row = report({how: ranking.ranks(how) for how in ("words", "meaning", "joined")})
            if asked.choose:
                row["choices"] = report(ranking.choices(), "weight 0")
            if asked.rerank:
                row["looked again"] = looked_again(ranking, asked.rerank)
                row["reranked queries"] = min(asked.rerank, len(samples))
        rows[dataset.stem] = {"samples": len(samples), "queries": asked.queries, **row}
    about = {"model_sha256": model.sha256, "split": asked.split, "bm25_weight": meaning.BM25_WEIGHT}
    print(json.dumps({**about, "precision": machine.precision, "datasets": rows}, indent=2))


if __name__ == "__main__":
    main()
