"""BLEU, METEOR, ROUGE-L and CIDEr of the COCO caption evaluation, through pycocoevalcap."""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO

from vidcaption.errors import SetupError
from vidcaption.model.vocabulary import tokenize

References = Mapping[str, Sequence[str]]


def check_scoring(*, java: bool = True) -> None:
    """Raises SetupError where pycocoevalcap, or the Java that most of it runs on, is missing."""
    if find_spec("pycocoevalcap") is None:
        raise SetupError("scoring needs pycocoevalcap; install vidcaption[eval]")
    if java and shutil.which("java") is None:
        raise SetupError("the PTB tokenizer and METEOR need a java command; install a Java runtime")


def cider(candidates: Mapping[str, str], references: References) -> float:
    """CIDEr x 100 on this package's own tokens: quick, for choosing a checkpoint in training.

    Vedantam et al. 2015, as pycocoevalcap computes it. See ``check_scoring``.
    """
    from pycocoevalcap.cider.cider import Cider

    said = {key: [" ".join(tokenize(text))] for key, text in candidates.items()}
    wanted = {key: [" ".join(tokenize(text)) for text in references[key]] for key in said}
    score, _ = Cider().compute_score(wanted, said)
    return 100 * float(score)


def coco_scores(candidates: Mapping[str, str], references: References) -> dict[str, float]:
    """BLEU-1 to BLEU-4 (with brevity penalty), METEOR, ROUGE-L and CIDEr, each x 100.

    The standard scoring, with the PTB tokenizer and METEOR 1.5. See ``check_scoring``.
    """
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    tokenizer = PTBTokenizer()
    wanted = tokenizer.tokenize({k: [{"caption": c} for c in references[k]] for k in candidates})
    said = tokenizer.tokenize({k: [{"caption": text}] for k, text in candidates.items()})
    with redirect_stdout(StringIO()):  # Bleu prints its lengths
        bleu, _ = Bleu(4).compute_score(wanted, said)
        scorer = Meteor()
        with scorer.meteor_p:  # it never closes the pipes to its Java process itself
            meteor, _ = scorer.compute_score(wanted, said)
        rouge, _ = Rouge().compute_score(wanted, said)
        consensus, _ = Cider().compute_score(wanted, said)
    values = {f"BLEU-{n}": score for n, score in enumerate(bleu, 1)}
    values |= {"METEOR": meteor, "ROUGE-L": rouge, "CIDEr": consensus}
    return {name: round(100 * float(score), 2) for name, score in values.items()}
