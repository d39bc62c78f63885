import pytest
import torch

from vidcaption.model.confidence import FEATURES, Confidence
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.training.calibration import fit, rightness


def test_right_is_what_people_say_in_any_form():
    references = ["A dog runs on the beach.", "Two dogs are running."]
    assert rightness("a dog is running", references) == 1.0
    assert rightness("a cat is running", references) == 0.5
    assert rightness("is the", references) == 0.0  # names nothing
    assert rightness("a cat", [*references, *references, "a bird", "a cat"]) == 0.0  # the sixth


def test_fits_what_decides():
    random = torch.Generator().manual_seed(0)
    rows = torch.randn(2000, FEATURES, generator=random) * torch.tensor([1.0, 5.0, 0.1, 1.0]) + 3
    true = torch.sigmoid(0.8 * (rows[:, 0] - 3) + 4 * (rows[:, 2] - 3) - 0.5)
    confidence = Confidence(Vocabulary(["dog"], ["dog"]))
    fit(confidence, rows, true)
    with torch.no_grad():
        got = confidence.weigh(rows).sigmoid().squeeze(1)
    assert (got - true).abs().max() < 0.05
    assert got.mean().item() == pytest.approx(true.mean().item(), abs=0.01)


@pytest.mark.parametrize("right", [0.0, 0.5, 1.0])
def test_a_single_sample_has_a_confidence(right):
    confidence = Confidence(Vocabulary(["dog"], ["dog"]))
    rows = torch.tensor([[-1.0, 5.0, 0.5, 0.2]])
    fit(confidence, rows, torch.tensor([right]))
    with torch.no_grad():
        got = confidence.weigh(rows).sigmoid().item()
    assert got == pytest.approx(right, abs=0.01)
