from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import write_tiny

from vidcaption.datasets.samples import Sample
from vidcaption.evaluation import retrieval
from vidcaption.evaluation.retrieval import (
    closest_captions,
    compare,
    ranks_of_samples,
    ranks_of_sentences,
    retrieval_figures,
)
from vidcaption.evaluation.statistics import resample
from vidcaption.model import folder

# two captions of the first sample, one of each other one
OWNERS = np.array([0, 0, 1, 2])
# of each caption and sample
SIMILAR = np.array([[0.9, 0.1, 0.4], [0.2, 0.9, 0.4], [0.1, 0.8, 0.9], [0.1, 0.2, 0.9]])


def test_ranks_by_hand() -> None:
    assert ranks_of_samples(SIMILAR, OWNERS).tolist() == [1, 3, 2, 1]
    # of the captions for the second sample, that of the first is more similar
    assert ranks_of_sentences(SIMILAR, OWNERS).tolist() == [1, 2, 2]


def test_figures_by_hand() -> None:
    figures = retrieval_figures(SIMILAR, OWNERS)
    assert {name: pytest.approx(float(figure)) for name, figure in figures.items()} == {
        "search_R@1": 50,
        "search_R@5": 100,
        "search_R@10": 100,
        "annotation_R@1": 100 / 3,
        "annotation_R@5": 100,
        "annotation_R@10": 100,
        "mean_recall": (50 + 100 / 3 + 400) / 6,
        "search_median_rank": 1,
        "annotation_median_rank": 2,
    }


def test_equal_similarity_finds_nothing() -> None:
    """A space in which all is the same is no better than the worst."""
    figures = retrieval_figures(np.ones((4, 4)), np.arange(4))
    assert float(figures["search_R@1"]) == float(figures["annotation_R@1"]) == 0
    assert float(figures["search_median_rank"]) == 4


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 9), st.integers(0, 2**32 - 1))
def test_ranks_are_places_in_a_sorted_list(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    owners = np.sort(np.concatenate([np.arange(count), rng.integers(count, size=count)]))
    similar = rng.normal(size=(2 * count, count))
    expected = [sorted(-row).index(-row[own]) + 1 for row, own in zip(similar, owners, strict=True)]
    assert ranks_of_samples(similar, owners).tolist() == expected
    places = [list(owners[np.argsort(-similar[:, i])]).index(i) + 1 for i in range(count)]
    assert ranks_of_sentences(similar, owners).tolist() == places
    figures = retrieval_figures(similar, owners)
    assert float(figures["search_median_rank"]) == np.quantile(expected, 0.5, method="inverted_cdf")
    values = resample(figures)
    assert all(len(x) == 1000 for x in values.values())
    low, high = min(expected), max(expected)
    assert ((values["search_median_rank"] >= low) & (values["search_median_rank"] <= high)).all()


def test_the_closest_captions() -> None:
    samples = [Sample(name, (), None) for name in "abc"]
    said = closest_captions(samples, SIMILAR, ["w", "x", "y", "z"])
    assert {key: (each.text, each.score) for key, each in said.items()} == {
        "a": ("w", 0.9), "b": ("x", 0.9), "c": ("y", 0.9)
    }  # fmt: skip


@pytest.mark.parametrize("head", ["joint", "alignment"])
def test_all_are_compared_some_at_a_time(
    head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = folder.load(write_tiny(tmp_path, heads=head))
    texts = [("word1 word2", "word3"), ("word4 word5 word6",), ("word7", "word8 word1")]
    samples = [Sample(str(i), captions, None) for i, captions in enumerate(texts)]
    features = torch.randn(4, 2, 4, 1280, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        windows = model.network.heads[head](model.network.remember(features))
        read = model.network.read_sentences(
            [model.vocabulary.encode(text) for several in texts for text in several], head
        )
        whole = model.network.heads[head].similar(windows, read).T
    monkeypatch.setattr(retrieval, "_AT_ONCE", 3)
    similar, owners = compare(model.network, head, windows.double(), samples, model.vocabulary)
    assert similar.shape == (5, 4) and owners.tolist() == [0, 0, 1, 2, 2]
    np.testing.assert_allclose(similar, whole, rtol=1e-4, atol=1e-5)
