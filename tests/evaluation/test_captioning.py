import torch

from vidcaption.evaluation.captioning import in_batches
from vidcaption.model.device import Machine


def test_batches_hold_one_shape_and_every_sample_once():
    lengths = [1, 2, 1, 1, 2, 3, 1]
    machine = Machine(torch.device("cpu"), torch.float32)
    batches = list(in_batches(lambda i: torch.full((lengths[i],), i), range(7), 2, machine))
    assert sorted(i for indices, _ in batches for i in indices) == list(range(7))
    for indices, tensors in batches:
        assert len(indices) <= 2
        assert tensors[:, 0].tolist() == indices
