import shutil

import pytest

from vidcaption.errors import SetupError
from vidcaption.evaluation import metrics

pytest.importorskip("pycocoevalcap")

REFERENCES = {
    "a": ["A dog runs on the grass.", "A brown dog is running in a field"],
    "b": ["two men playing guitars on a stage", "a band plays music"],
    "c": ["a boat on the water"],
}
PERFECT = {key: references[0] for key, references in REFERENCES.items()}
SWAPPED = {"a": PERFECT["b"], "b": PERFECT["c"], "c": PERFECT["a"]}


def test_cider_knows_right_from_wrong():
    assert metrics.cider(SWAPPED, REFERENCES) < 20 < 100 < metrics.cider(PERFECT, REFERENCES)


def test_cider_does_not_see_case_and_punctuation():
    loud = {key: text.upper() + " !" for key, text in PERFECT.items()}
    assert metrics.cider(loud, REFERENCES) == metrics.cider(PERFECT, REFERENCES)


@pytest.mark.skipif(shutil.which("java") is None, reason="no java command")
def test_coco_scores_of_a_worked_example():
    """BLEU by hand: all 6 words match, and the length is the reference's."""
    references = {"a": REFERENCES["a"]}
    scores = metrics.coco_scores({"a": "A dog runs on the grass"}, references)
    assert list(scores) == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr"]
    assert {scores[f"BLEU-{n}"] for n in range(1, 5)} == {100.0}
    assert scores["ROUGE-L"] == 100.0
    half = metrics.coco_scores({"a": "a dog sleeps inside the house"}, references)
    assert half["BLEU-1"] == 50.0  # a, dog and the, of six words
    assert half["METEOR"] < scores["METEOR"]


def test_missing_tools_are_named(monkeypatch):
    monkeypatch.setattr(metrics.shutil, "which", lambda name: None)
    metrics.check_scoring(java=False)
    with pytest.raises(SetupError, match="java"):
        metrics.check_scoring()
    monkeypatch.setattr(metrics, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match=r"vidcaption\[eval\]"):
        metrics.check_scoring()
