"""The recurrent cells of the decoder, each a layer that reads N sequences at once.

``parts``: the names of the tensors of its state, each (N, D).
"""

from torch import Tensor, gru_cell, lstm_cell, nn

State = tuple[Tensor, ...]


class LSTMCell(nn.LSTM):
    """Long short-term memory (Hochreiter and Schmidhuber 1997)."""

    parts = ("hidden", "cell")

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__(inputs, size, batch_first=True)

    def read(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """What it gives for ``x``, (N, L, E) -> (N, L, D), and the state after that."""
        if x.shape[1] > 1 or not x.is_cpu:
            out, (hidden, cell) = self(x, (state[0].unsqueeze(0), state[1].unsqueeze(0)))
            return out, (hidden[0], cell[0])
        # on the CPU the layer packs its weights in each call, which costs more than one word does
        hidden, cell = lstm_cell(x[:, 0], state, *self.all_weights[0])
        return hidden.unsqueeze(1), (hidden, cell)


class GRUCell(nn.GRU):
    """Gated recurrent unit (Cho et al. 2014)."""

    parts = ("hidden",)

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__(inputs, size, batch_first=True)

    def read(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """What it gives for ``x``, (N, L, E) -> (N, L, D), and the state after that."""
        if x.shape[1] > 1 or not x.is_cpu:
            out, hidden = self(x, state[0].unsqueeze(0))
            return out, (hidden[0],)
        hidden = gru_cell(x[:, 0], state[0], *self.all_weights[0])
        return hidden.unsqueeze(1), (hidden,)
