"""Search with the whole model: for what looks like a picture, and a second look at what was found.

Loads PyTorch.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from vidcaption.datasets.samples import Sample
from vidcaption.errors import InputError, UsageError
from vidcaption.evaluation.captioning import load_clip
from vidcaption.find.index import Index
from vidcaption.find.meaning import Wanted
from vidcaption.find.query import Query
from vidcaption.find.search import Moment
from vidcaption.find.space import space_of
from vidcaption.model.attention import Memory
from vidcaption.model.device import Machine
from vidcaption.model.folder import Model, load
from vidcaption.model.vocabulary import BOS, EOS, UNK
from vidcaption.store import resolve

logger = logging.getLogger(__name__)

PROBABILITY_WEIGHT = 0.5  # chosen by benchmarks/retrieval.py on dev


@torch.inference_mode()
def look_like(index: Index, path: Path) -> Wanted:
    """Windows like a picture or a whole video. Raises UsageError if the model of the index has no
    joint space, ModelError, InputError."""
    folder, sha256 = space_of(index)
    machine = Machine.find()
    model = load(folder, machine.device)
    with machine.autocast():
        memory = _remember(model, Sample(str(path), (), None, video=path), _frames(index), machine)
        vector = model.network.heads["joint"](memory)[0]
    return Wanted(vector.float().cpu().numpy(), sha256)


@torch.inference_mode()
def look_again(index: Index, moments: Sequence[Moment], query: Query) -> list[Moment]:
    """Moments in the order of their scores, to which PROBABILITY_WEIGHT times the mean
    log-probability of the query's words as their caption is added (LRCN, Donahue et al. 2015,
    section 5.2).

    A moment that can no longer be read comes last. Raises UsageError if the model of the index
    writes no captions or knows none of the words, ModelError.
    """
    latest = index.latest_model()
    if latest is None or not moments:
        return list(moments)
    machine = Machine.find()
    model = load(resolve(latest[0], offline=True), machine.device)
    words = [word for word in model.vocabulary.encode(query.sentence) if word != UNK]
    if not model.network.config.writes or not words:
        what = "knows none of the words" if words else "writes no captions"
        raise UsageError(f"the model {latest[0] or 'default'} {what}; omit --rerank")
    seen, unseen = [], []
    for moment in moments:
        sample = Sample(
            *(str(moment.path), (), None),
            video=moment.path,
            start_s=moment.start_s,
            end_s=moment.end_s,
        )
        try:
            with machine.autocast():
                memory = _remember(model, sample, _frames(index), machine)
                log_prob = log_probability(model, memory, words)
        except InputError as error:
            logger.warning(f"a moment is not looked at again: {error}")
            unseen.append(moment)
        else:
            score = moment.score + PROBABILITY_WEIGHT * log_prob
            seen.append(replace(moment, score=score))
    return [*sorted(seen, key=lambda moment: -moment.score), *unseen]


def log_probability(model: Model, memory: Memory, words: Sequence[int]) -> float:
    """The mean log-probability of words and the end after them, as a caption of one window."""
    decoder = model.network.decoder
    said = torch.tensor([[[BOS, *words, EOS]]], device=memory.pooled.device)
    step = decoder(said[..., :-1], memory, decoder.start(memory))
    log_probs = decoder.logits(step.hidden).float().log_softmax(-1)
    return float(log_probs.gather(-1, said[..., 1:, None]).mean())


def _frames(index: Index) -> int:
    """Frames per window, as when the index was last updated."""
    latest = index.latest_recipe()
    assert latest is not None
    return latest[1].frames


def _remember(model: Model, sample: Sample, frames: int, machine: Machine) -> Memory:
    network = model.network
    seen = network.config.input
    clip = load_clip(sample, frames, seen.image_size, seen.flow).unsqueeze(0)
    clip = clip.to(machine.device)
    features = network.encode(clip)
    return network.remember(features, network.recognise(features, network.detect(clip)))
