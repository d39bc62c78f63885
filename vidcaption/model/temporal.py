"""What a frame's regions learn of the frames before and after it."""

from torch import Tensor, nn

from vidcaption.model.config import ModelConfig


class NoTemporal(nn.Module):
    """Frames are a set: their order is unknown."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()

    def over(self, regions: Tensor) -> Tensor:
        """``regions``: (B, T, R, D), given back as they are."""
        return regions


class TemporalLSTM(nn.LSTM):
    """A bidirectional LSTM over the frames.

    Each region of a frame is shifted by what it says of that frame in its sequence, so the
    attention knows when a region was seen.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config.size, config.size // 2, batch_first=True, bidirectional=True)

    def over(self, regions: Tensor) -> Tensor:
        """(B, T, R, D) -> (B, T, R, D)."""
        over_time, _ = self(regions.mean(2))  # (B, T, D)
        ordered: Tensor = regions + over_time.unsqueeze(2)
        return ordered
