"""Sentences without pictures, as they are drawn for a step."""

from pathlib import Path

import pytest
import torch

from vidcaption.datasets.samples import Sample
from vidcaption.training import material
from vidcaption.training.material import Material

TEXTS = [
    *[f"look at this {each} running away" for each in (*["dog"] * 9, "lemur")],
    *[f"look at some {each} running away" for each in ("dogs", "lemurs")],
    *["they found a key of an old car"] * 12,
]
SAMPLES = [Sample(str(i), ("a dog", "the key"), "train", stills=(Path(f"{i}"),)) for i in range(40)]
SCORES = {Path("x").resolve(): dict.fromkeys(["dog", "lemur", "car"], 1.0)}


def make(texts=TEXTS, **more) -> Material:
    samples = [*SAMPLES, Sample("dev", ("a dog",), "dev", stills=(Path("dev"),))]
    more = {"with_concepts": True, "scores": [SCORES]} | more
    made = Material(samples, texts, min_count=1, seed=1, **more)
    if made.held_out:
        made.measure(torch.full((len(made.held_out), len(made.vocabulary.concepts)), 0.5), 4)
    return made


def drawn(made: Material, count: int = 2000) -> list[tuple[str, set[str]]]:
    torch.manual_seed(0)
    words, concepts = made.draw(count)
    vocabulary = made.vocabulary
    assert concepts is not None
    return [
        (
            " ".join(word for word in vocabulary.decode(ids) if word[0] != "<"),
            {vocabulary.concepts[n] for n, p in zip(slots, sure, strict=True) if p},
        )
        for ids, slots, sure in zip(
            words[:, 0].tolist(), concepts.ids.tolist(), concepts.confidence.tolist(), strict=True
        )
    ]


def test_names_that_scores_teach_are_swapped_in_a_share_of_the_sentences(monkeypatch):
    made = make()

    def lemurs(share: float) -> float:
        monkeypatch.setattr(material, "SWAPPED", share)
        texts = [text for text, _ in drawn(made) if text.startswith("look at this")]
        return sum("lemur" in text for text in texts) / len(texts)

    # of ten such sentences one is about a lemur, nine are when all are swapped
    assert lemurs(0.0) == pytest.approx(0.1, abs=0.03)
    assert lemurs(0.25) == pytest.approx(0.3, abs=0.05)
    assert lemurs(1.0) == pytest.approx(0.9, abs=0.03)


def test_a_swapped_sentence_comes_with_the_concepts_that_it_names_then(monkeypatch):
    monkeypatch.setattr(material, "SWAPPED", 1.0)
    said = [each for each in drawn(make()) if "look" in each[0]]
    for text, concepts in said:
        assert ("lemur" if "lemur" in text else "dog") in concepts
    # the other one is sometimes among them too
    both = sum({"dog", "lemur"} <= concepts for _, concepts in said) / len(said)
    assert 0.5 < both < 0.95
    assert {"look at some dogs running away", "look at some lemurs running away"} <= {
        text for text, _ in said
    }


def test_only_names_that_scores_or_classes_teach_are_swapped(monkeypatch):
    monkeypatch.setattr(material, "SWAPPED", 1.0)
    dogs = {Path("x").resolve(): {"dog": 1.0, "car": 1.0}}
    assert {text for text, _ in drawn(make(scores=[dogs]))} <= set(TEXTS)
    more = {"scores": [], "classes": ["dog", None, "lemur", "car"]}
    texts = [text for text, _ in drawn(make(**more)) if "look at this" in text]
    assert sum("lemur" in text for text in texts) > len(texts) / 2


def test_without_concepts_sentences_stay():
    words, concepts = make(with_concepts=False).draw(100)
    assert concepts is None and words.shape[:2] == (100, 1)


def test_a_name_that_a_swap_makes_part_of_another_is_not_missed(monkeypatch):
    """A "hot lemur" becomes a hot dog, which is no dog."""
    monkeypatch.setattr(material, "SWAPPED", 1.0)
    texts = [*TEXTS, *[each for each in TEXTS if "lemur " in each] * 4]
    said = dict(drawn(make([*texts, "hot dog", "hot lemur"])))
    assert "hot dog" in said["hot dog"]


def test_a_word_that_names_two_things_is_not_swapped(monkeypatch):
    monkeypatch.setattr(material, "SWAPPED", 1.0)
    texts = [each.replace("lemur ", "dog-car ") for each in TEXTS]
    scores = {Path("x").resolve(): dict.fromkeys(["dog", "dog-car", "car"], 1.0)}
    assert {text for text, _ in drawn(make(texts, scores=[scores]))} <= {*texts}
