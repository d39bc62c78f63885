import numpy as np
import torch

from vidcaption.datasets.samples import Sample
from vidcaption.model.vocabulary import BOS, EOS, PAD, Vocabulary
from vidcaption.training.clips import (
    MOST_WORDS,
    BatchSampler,
    ClipDataset,
    Draw,
    collate,
    target,
)

VOCABULARY = Vocabulary(["a", "dog", "runs", "cat"])


def test_an_epoch_draws_each_sample_once_and_frames_in_powers_of_two():
    sampler = BatchSampler(10, 3, most_frames=5, seed=1)
    batches = list(sampler)
    assert len(batches) == len(sampler) == 4
    assert sorted(draw.sample for batch in batches for draw in batch) == list(range(10))
    assert all(len({draw.frames for draw in batch}) == 1 for batch in batches)
    assert {batch[0].frames for _ in range(20) for batch in _epoch(sampler, _)} == {1, 2, 4}


def _epoch(sampler, epoch):
    sampler.epoch = epoch
    return list(sampler)


def test_epochs_differ_and_repeat():
    sampler = BatchSampler(50, 8, 4, seed=1)
    assert _epoch(sampler, 0) == _epoch(sampler, 0) != _epoch(sampler, 1)


def test_a_draw_decides_clip_and_captions():
    samples = [Sample("a", ("a dog", "a cat", "dog runs"), "train")]
    dataset = ClipDataset(
        samples, [0], lambda i, t, rng: torch.tensor(rng.random(t)), VOCABULARY, 2, seed=5
    )
    clip, captions, number = dataset[Draw(0, 0, 3)]
    again, same, _ = dataset[Draw(0, 0, 3)]
    other, _, _ = dataset[Draw(1, 0, 3)]
    assert number == 0
    assert torch.equal(clip, again) and captions == same
    assert not torch.equal(clip, other)
    assert len(captions) == 2 and captions[0] != captions[1]


def test_few_captions_are_drawn_again():
    dataset = ClipDataset(
        [Sample("a", ("a dog",), "train")], [0], lambda *_: torch.zeros(1), VOCABULARY, 3, 0
    )
    assert dataset[Draw(0, 0, 1)][1] == [[*VOCABULARY.encode("a dog"), EOS]] * 3


def test_captions_are_framed_and_padded():
    first = (torch.zeros(2), [[4, 5, EOS], [4, EOS]], 8)
    second = (torch.ones(2), [[6, 7, EOS], [7, 6, 5, EOS]], 3)
    batch = collate([first, second])
    assert batch.samples == [8, 3]
    assert batch.words.tolist() == [
        [[BOS, 4, 5, EOS, PAD], [BOS, 4, EOS, PAD, PAD]],
        [[BOS, 6, 7, EOS, PAD], [BOS, 7, 6, 5, EOS]],
    ]
    assert batch.clips.shape == (2, 2)
    assert np.array_equal(batch.clips[1], [1, 1])


def test_a_long_caption_is_cut_and_does_not_teach_to_stop_there():
    assert target(VOCABULARY, "a dog runs") == [4, 5, 6, EOS]
    cut = target(VOCABULARY, "a dog " * 20)
    assert len(cut) == MOST_WORDS and EOS not in cut
