"""What is learnt from the order of frames.

``over`` lets the regions of a frame know those before and after it; ``decoder`` is the class of
what then writes.
"""

from torch import Tensor, nn

from vidcaption.model.config import ModelConfig
from vidcaption.model.decoder import Decoder, S2VTDecoder


class NoTemporal(nn.Module):
    """Frames are a set: their order is unknown."""

    decoder: type[Decoder] = Decoder

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

    decoder = Decoder

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config.size, config.size // 2, batch_first=True, bidirectional=True)

    def over(self, regions: Tensor) -> Tensor:
        """(B, T, R, D) -> (B, T, R, D)."""
        over_time, _ = self(regions.mean(2))  # (B, T, D)
        ordered: Tensor = regions + over_time.unsqueeze(2)
        return ordered


class ReadThenWrite(NoTemporal):
    """The decoder reads the frames itself."""

    decoder = S2VTDecoder
