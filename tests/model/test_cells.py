import pytest
import torch

from vidcaption.model.parts import CELLS


@pytest.mark.parametrize("name", CELLS)
def test_word_by_word_is_the_same_as_all_at_once(name):
    """On the CPU single words go another way than whole captions."""
    torch.manual_seed(0)
    cell = CELLS[name](5, 8)
    words, state = torch.randn(3, 4, 5), tuple(torch.randn(3, 8) for _ in cell.parts)
    expected, after = cell.read(words, state)
    for index in range(4):
        out, state = cell.read(words[:, index : index + 1], state)
        torch.testing.assert_close(out[:, 0], expected[:, index])
    torch.testing.assert_close(state, after)
    torch.testing.assert_close(state[0], expected[:, -1])
    assert [x.shape for x in state] == [(3, 8)] * len(cell.parts)


def test_a_gated_recurrent_unit_by_hand():
    torch.manual_seed(0)
    cell = CELLS["gru"](5, 8)
    x, h = torch.randn(2, 5), torch.randn(2, 8)
    from_x = x @ cell.weight_ih_l0.T + cell.bias_ih_l0
    from_h = h @ cell.weight_hh_l0.T + cell.bias_hh_l0
    (r, z, n), (hr, hz, hn) = from_x.chunk(3, -1), from_h.chunk(3, -1)
    reset, keep = torch.sigmoid(r + hr), torch.sigmoid(z + hz)
    expected = (1 - keep) * torch.tanh(n + reset * hn) + keep * h
    out, (after,) = cell.read(x.unsqueeze(1), (h,))
    torch.testing.assert_close(out[:, 0], expected)
    torch.testing.assert_close(after, expected)
