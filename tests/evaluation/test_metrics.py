import os
import shutil
from contextlib import nullcontext
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


def test_without_java_meteor_is_left_out():
    """BLEU by hand: all six words of one caption are right, three of the other's six."""
    references = {"a": REFERENCES["a"], "b": REFERENCES["a"]}
    candidates = {"a": "A dog runs on the grass", "b": "a dog sleeps inside the house"}
    figures = metrics.coco_figures(candidates, references, java=False)
    assert list(figures) == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"]
    assert float(figures["BLEU-1"]) == pytest.approx(100 * 9 / 12)
    assert "no METEOR" in metrics.describe_scoring(java=False)
    assert "METEOR 1.5" in metrics.describe_scoring(java=True)


def check_against_the_scorers(candidates, wanted):
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    said = {key: [text] for key, text in candidates.items()}
    figures = metrics.coco_figures(candidates, wanted, java=False)
    bleu = Bleu(4).compute_score(wanted, said, verbose=0)[0]
    others = [scorer().compute_score(wanted, said)[0] for scorer in (Rouge, Cider)]
    expected = [100 * value for value in (*bleu, *others)]
    assert list(map(float, figures.values())) == pytest.approx(expected)


def test_figures_are_those_of_the_scorers():
    candidates = {
        "a": "a dog is on grass",
        "b": "men play guitars",
        "c": "a boat on the blue water",
    }
    wanted = {
        "a": ["a dog runs on the grass", "a brown dog is running in a field"],
        "b": ["two men playing guitars on a stage", "a band plays music"],
        "c": ["a boat on the water"],
    }
    check_against_the_scorers(candidates, wanted)


sentences = st.lists(st.sampled_from(["a", "dog", "runs", "on"]), min_size=1, max_size=9)
texts = sentences.map(" ".join)


@settings(max_examples=60)
@given(st.lists(st.tuples(texts, st.lists(texts, min_size=1, max_size=3)), min_size=2, max_size=4))
def test_figures_of_any_captions_are_those_of_the_scorers(samples):
    """Longer than the references, too, and as near to a longer one as to a shorter."""
    named = dict(enumerate(samples))
    candidates = {key: caption for key, (caption, _) in named.items()}
    check_against_the_scorers(candidates, {key: wanted for key, (_, wanted) in named.items()})


def test_bleu_of_lengths():
    """By hand. More words than wanted are no merit, and of two lengths the shorter one counts."""
    wanted = {"a": ["a dog runs on the grass", "a dog runs on"], "b": ["a dog"]}
    longer = {"a": "a dog runs on a dog", "b": "a dog runs"}  # 9 words of 6 + 2
    figures = metrics.coco_figures(longer, wanted, java=False)
    assert float(figures["BLEU-1"]) == pytest.approx(100 * 6 / 9)
    tie = {"a": "a dog runs on a", "b": "a dog"}  # 7 words, as near to 6 + 2 as to 4 + 2
    figures = metrics.coco_figures(tie, wanted, java=False)
    assert float(figures["BLEU-1"]) == pytest.approx(100 * 6 / 7)


# What METEOR 1.5 says of five captions with -norm, and the scores that it makes of that.
METEOR = {
    "6 6 3 3 3 3 3 3 0 0 0 0 0 0 0 0 0 0 0 0 1 6 6": 1.0,  # the same words
    "7 7 3 4 1 1 1 1 2 2 0 0 0 0 0 0 1 0 1 2 2 6 6": 0.3500786303841889,
    "8 3 5 1 0 0 1 1 0 0 0 0 0 0 0 0 1 1 0 0 1 2 2": 0.16614596939906975,
    "1 4 0 2 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0": 0.0,  # no word
    "9 8 4 3 2 2 3 3 0 0 0 0 1 1 0 0 2 2 0 0 2 8 8": 0.45064878516271123,
}
METEOR_OF_ALL = 0.3656783155451915


def test_meteor_is_that_of_the_original_program(monkeypatch):
    class Recorded:
        meteor_p = nullcontext()

        def _stat(self, caption, references):
            return caption

    monkeypatch.setattr("pycocoevalcap.meteor.meteor.Meteor", Recorded)
    rows = metrics._meteor_rows({k: [k] for k in METEOR}, {k: [] for k in METEOR})
    assert metrics._meteor(rows).tolist() == pytest.approx([100 * m for m in METEOR.values()])
    assert float(metrics._meteor(rows.sum(0))) == pytest.approx(100 * METEOR_OF_ALL)


@pytest.mark.skipif(shutil.which("java") is None, reason="no java command")
def test_standard_scores():
    """METEOR as the original program gives it for these captions, all together."""
    references = [
        ["A dog runs on the grass.", "a brown dog is running in a field"],
        ["a band plays music", "two people play guitar on the stage"],
        ["A ship sails!", "a boat on water"],
        ["the man rides bicycles on a dirt road", "a person riding a bicycle down the road"],
        ["a horse"],
    ]
    captions = [
        "a dog runs on the grass",
        "two men playing guitars on a stage",
        "a boat is on the water near people",
        "a man is riding a bike down the street",
        "zebra",
    ]
    figures = metrics.coco_figures(
        dict(enumerate(captions)), dict(enumerate(references)), java=True
    )
    names = ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr"]
    assert list(figures) == names
    first = {name: float(replace(f, rows=f.rows[:1])) for name, f in figures.items()}
    assert first["BLEU-4"] == pytest.approx(100)
    assert first["METEOR"] == first["ROUGE-L"] == pytest.approx(100)
    assert float(figures["METEOR"]) == pytest.approx(41.574126)


@pytest.mark.skipif(shutil.which("java") is None, reason="no java command")
def test_tokens_are_those_of_the_standard_and_nothing_is_written(capfd, monkeypatch):
    """As by somebody who may not write into the installation."""
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    captions = {
        "a": "He said: \"it's 5\u20136 o'clock\" (really) ...",
        "b": "",
        "c": "Ein Café \u2028!",
    }
    references = {
        "a": ["A man-made, blue lake.", "$3.50 for\ntwo"],
        "b": ["don't"],
        "c": ["x  y -- z"],
    }
    texts = {key: [*references[key], captions[key]] for key in captions}
    expected = PTBTokenizer().tokenize({k: [{"caption": c} for c in v] for k, v in texts.items()})
    capfd.readouterr()

    def refuse(*_, **__):
        raise PermissionError

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    said, wanted = metrics._ptb_tokens(captions, references)
    assert {key: [*wanted[key], *said[key]] for key in captions} == expected
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(os.name != "posix", reason="needs a shell script as java")
def test_java_that_does_not_run_is_named(tmp_path, monkeypatch):
    (tmp_path / "java").write_text("#!/bin/sh\necho no memory >&2\nexit 1\n")
    (tmp_path / "java").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match=r"java cannot run the tokenizer \(exit code 1\); check"):
        metrics.coco_figures(PERFECT, REFERENCES, java=True)


def test_missing_tools_are_named(monkeypatch):
    monkeypatch.setattr(metrics.shutil, "which", lambda name: None)
    assert not metrics.has_java()
    monkeypatch.setattr(metrics, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match=r"vidcaption\[eval\]"):
        metrics.check_scoring()
