"""The data of a training."""

import torch
from colours import write_colours

from vidcaption.training.material import Material


def test_sentences_with_rare_concepts_are_drawn_more_often(tmp_path):
    texts = ["a red wall"] * 4000 + ["a blue wall"] * 10
    material = Material(write_colours(tmp_path), texts, min_count=1, seed=1, with_concepts=True)
    material.measure(torch.rand(len(material.held_out), len(material.vocabulary.concepts)), 2)
    torch.manual_seed(1)
    words, concepts = material.draw(20_000)
    blue = (words == material.vocabulary.encode("blue")[0]).any(-1).float().mean()
    # twice as often as their share of 1 in 401
    assert words.shape[:2] == (20_000, 1) and concepts is not None
    assert 0.004 < float(blue) < 0.006
