import numpy as np
import pytest

from vidcaption.evaluation.numbers import number_figures


def test_figures_of_numbers():
    wanted = np.array([1.0, 2.0, 3.0, 4.0])
    figures = number_figures(np.array([1.0, 4.0, 9.0, 16.0]), wanted)
    assert float(figures["spearman"]) == pytest.approx(100)
    assert float(figures["pearson"]) == pytest.approx(98.44, abs=0.01)
    assert float(figures["mean_absolute_error"]) == pytest.approx((0 + 2 + 6 + 12) / 4)
    assert np.isnan(float(number_figures(np.ones(4), wanted)["spearman"]))
