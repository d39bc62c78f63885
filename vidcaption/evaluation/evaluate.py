"""A model's scores on one split of a dataset."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vidcaption.datasets.samples import Sample
from vidcaption.evaluation.captioning import caption_samples
from vidcaption.evaluation.metrics import check_scoring, coco_scores
from vidcaption.model import folder as model_folder
from vidcaption.model.device import Machine
from vidcaption.model.vocabulary import tokenize
from vidcaption.options import SearchOptions


def score_model(
    folder: Path, samples: Sequence[Sample], frames: int, options: SearchOptions, machine: Machine
) -> tuple[dict[str, Any], Mapping[str, str]]:
    """Scores with all that they depend on, and each sample's caption by id.

    Raises ModelError, InputError, and SetupError where pycocoevalcap or Java is missing.
    """
    check_scoring()
    model = model_folder.load(folder, machine.device)
    said = caption_samples(model.network, model.vocabulary, samples, frames, options, machine)
    words = [tokenize(text) for text in said.values()]
    report = {
        "samples": len(samples),
        "model_sha256": model.sha256,
        "search": asdict(options),
        "frames": frames,
        "precision": machine.precision,
        "metrics": f"pycocoevalcap {version('pycocoevalcap')}, PTB tokenizer, METEOR 1.5",
        "scores": coco_scores(said, {sample.id: sample.captions for sample in samples}),
        "distinct_captions": round(len(set(said.values())) / len(said), 3),
        "vocabulary_used": len({word for caption in words for word in caption}),
        "words_per_caption": round(sum(map(len, words)) / len(words), 2),
    }
    return report, said
