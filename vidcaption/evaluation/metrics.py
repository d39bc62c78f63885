"""BLEU, METEOR, ROUGE-L and CIDEr of the COCO caption evaluation, through pycocoevalcap."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np

from vidcaption.errors import SetupError
from vidcaption.evaluation.statistics import Array, Figure, mean
from vidcaption.model.vocabulary import tokenize

# METEOR 1.5's parameters for English (Denkowski and Lavie 2014): weight of recall, shape and size
# of the penalty, weight of content words, weights of exact, stem, synonym and paraphrase matches.
_ALPHA, _BETA, _GAMMA, _CONTENT = 0.85, 0.2, 0.6, 0.75
_KINDS = np.array([1.0, 0.6, 0.8, 0.6])

References = Mapping[str, Sequence[str]]
_Tokens = Mapping[str, list[str]]  # the captions of a sample, as words separated by spaces


def check_scoring() -> None:
    """Raises SetupError if pycocoevalcap is missing."""
    if find_spec("pycocoevalcap") is None:
        raise SetupError("scoring needs pycocoevalcap; install vidcaption[eval]")


def has_java() -> bool:
    """Whether the standard scoring can run: its tokenizer and METEOR are Java programs."""
    return shutil.which("java") is not None


def describe_scoring(java: bool) -> str:
    """The tools that the figures were computed with."""
    tools = f"pycocoevalcap {version('pycocoevalcap')}"
    if java:
        return f"{tools}, PTB tokenizer, METEOR 1.5"
    return f"{tools}, approximate: vidcaption's tokenizer, no METEOR"


def cider(candidates: Mapping[str, str], references: References) -> float:
    """CIDEr x 100 on this package's own tokens: fast, for choosing a checkpoint in training.

    Vedantam et al. 2015, as pycocoevalcap computes it. See ``check_scoring``.
    """
    return float(_cider(*_own_tokens(candidates, references)))


def coco_figures(
    candidates: Mapping[str, str], references: References, java: bool
) -> dict[str, Figure]:
    """BLEU-1 to BLEU-4 (with brevity penalty), METEOR, ROUGE-L and CIDEr, each x 100.

    CIDEr weights words by the number of samples they occur in; a resample keeps these weights.
    With ``java`` this is the standard scoring, with the PTB tokenizer and METEOR 1.5. Otherwise
    there is no METEOR, and the others use this package's own tokens, which differ at apostrophes
    and hyphens within words: an approximation. See ``check_scoring``.
    """
    from pycocoevalcap.rouge.rouge import Rouge

    said, wanted = (_ptb_tokens if java else _own_tokens)(candidates, references)
    bleu = _bleu_rows(said, wanted)
    figures = {f"BLEU-{n}": Figure(bleu, partial(_bleu, n=n)) for n in range(1, 5)}
    if java:
        figures["METEOR"] = Figure(_meteor_rows(said, wanted), _meteor)
    _, rouge = Rouge().compute_score(wanted, said)
    figures["ROUGE-L"] = mean(100 * rouge)
    figures["CIDEr"] = _cider(said, wanted)
    return figures


def _own_tokens(candidates: Mapping[str, str], references: References) -> tuple[_Tokens, _Tokens]:
    said = {key: [" ".join(tokenize(text))] for key, text in candidates.items()}
    return said, {key: [" ".join(tokenize(text)) for text in references[key]] for key in said}


def _ptb_tokens(candidates: Mapping[str, str], references: References) -> tuple[_Tokens, _Tokens]:
    """Tokens as by pycocoevalcap's PTBTokenizer, which would write into the installation.

    Raises SetupError if Java cannot run it.
    """
    from pycocoevalcap.tokenizer import ptbtokenizer as ptb

    # One call for both, as starting Java takes most of the time; a sample's caption is its last.
    texts = {key: (*references[key], candidates[key]) for key in candidates}
    lines = "\n".join(text.replace("\n", " ") for each in texts.values() for text in each)
    jar = Path(ptb.__file__).with_name(ptb.STANFORD_CORENLP_3_4_1_JAR)
    command = ["java", "-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer"]
    run = subprocess.run(
        [*command, "-preserveLines", "-lowerCase"], input=lines.encode(), capture_output=True
    )
    if run.returncode:
        raise SetupError(
            f"java cannot run the tokenizer (exit code {run.returncode}); check 'java "
            "-version', or remove java from the PATH for approximate scores"
        )
    rows = (
        " ".join(word for word in row.rstrip().split(" ") if word not in ptb.PUNCTUATIONS)
        for row in run.stdout.decode().split("\n")
    )
    tokens = {key: list(islice(rows, len(each))) for key, each in texts.items()}
    return {k: t[-1:] for k, t in tokens.items()}, {k: t[:-1] for k, t in tokens.items()}


def _cider(said: _Tokens, wanted: _Tokens) -> Figure:
    from pycocoevalcap.cider.cider import Cider

    _, scores = Cider().compute_score(wanted, said)
    return mean(100 * scores)


def _bleu_rows(said: _Tokens, wanted: _Tokens) -> Array:
    """Per sample: correct and all n-grams for n from 1 to 4, length, closest reference length."""
    from pycocoevalcap.bleu.bleu_scorer import BleuScorer

    scorer = BleuScorer(n=4)
    for key, [caption] in said.items():
        scorer += (caption, wanted[key])
    rows = []
    for each in scorer.ctest:
        length = each["testlen"]
        closest = min(each["reflen"], key=lambda other: (abs(other - length), other))
        rows.append([*each["correct"], *each["guess"], length, closest])
    return np.array(rows, float)


def _bleu(sums: Array, n: int) -> Array:
    """Papineni et al. 2002, x 100; the small terms are those of pycocoevalcap."""
    small, tiny = 1e-9, 1e-15
    right, all_ngrams = sums[..., :n] + tiny, sums[..., 4 : 4 + n] + small
    relative_length = (sums[..., 8] + tiny) / (sums[..., 9] + small)
    brevity = np.exp(np.minimum(0, 1 - 1 / relative_length))
    score: Array = 100 * brevity * np.prod(right / all_ngrams, -1) ** (1 / n)
    return score


def _meteor_rows(said: _Tokens, wanted: _Tokens) -> Array:
    """Per sample, for its best reference: the six sums that ``_meteor`` needs."""
    from pycocoevalcap.meteor.meteor import Meteor

    scorer = Meteor()
    with scorer.meteor_p:  # it never closes the pipes to its Java process
        # METEOR's 23 statistics: its public methods return only scores, which cannot be resampled.
        stats = np.array(
            [scorer._stat(caption, wanted[key]).split() for key, [caption] in said.items()], float
        )
    lengths, function_words = stats[:, :2], stats[:, 2:4]
    weighed_lengths = _CONTENT * (lengths - function_words) + (1 - _CONTENT) * function_words
    # For each of the four kinds of match: content and function words, in caption and reference.
    kinds = stats[:, 4:20].reshape(-1, 4, 2, 2)
    matches = _KINDS @ (_CONTENT * kinds[:, :, 0] + (1 - _CONTENT) * kinds[:, :, 1])
    chunks, matched = stats[:, 20], stats[:, 21:23]
    perfect = (matched == lengths).all(-1) & (chunks == 1)
    # METEOR counts a single chunk as none: no penalty for a perfect caption.
    rest = np.stack([np.where(perfect, 0, chunks), matched.mean(-1)], -1)
    return np.concatenate([matches, weighed_lengths, rest], -1)


def _meteor(sums: Array) -> Array:
    """Denkowski and Lavie 2014, x 100, with the parameters for English."""
    matches, lengths, chunks, matched = np.split(sums, [2, 4, 5], -1)
    with np.errstate(all="ignore"):
        precision, recall = np.moveaxis(matches / lengths, -1, 0)
        agreement = precision * recall / ((1 - _ALPHA) * recall + _ALPHA * precision)
        fragmentation = (chunks / matched)[..., 0]
        score: Array = 100 * agreement * (1 - _GAMMA * fragmentation**_BETA)
    return np.where(np.isfinite(score), score, 0)  # 0 where nothing matches
