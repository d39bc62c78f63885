"""What is learnt from the order of frames.

``over`` adds what other frames show to the regions of each frame; ``whole`` selects the frames that
then stand for the window, and ``decoders`` maps a number of layers to the class of the decoder.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from vidcaption.model.config import ModelConfig
from vidcaption.model.decoder import DECODERS, Decoder, S2VTDecoder


class NoTemporal(nn.Module):
    """Frames are a set: their order is unknown."""

    whole = slice(None)
    decoders: Mapping[int, type[Decoder]] = DECODERS

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

    whole = slice(None)
    decoders = DECODERS

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config.size, config.size // 2, batch_first=True, bidirectional=True)

    def over(self, regions: Tensor) -> Tensor:
        """(B, T, R, D) -> (B, T, R, D)."""
        over_time, _ = self(regions.mean(2))  # (B, T, D)
        ordered: Tensor = regions + over_time.unsqueeze(2)
        return ordered


class ForwardLSTM(nn.LSTM):
    """An LSTM that reads the frames in order, from a state that linear layers make of their mean.

    What it says after a frame takes the place of that frame's mean over its regions, and what it
    says after the last one stands for the window, as an encoder's last state does.
    """

    whole = slice(-1, None)
    decoders = DECODERS

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config.size, config.size, batch_first=True)
        self.start_hidden = nn.Linear(config.size, config.size)
        self.start_cell = nn.Linear(config.size, config.size)

    def over(self, regions: Tensor) -> Tensor:
        """(B, T, R, D) -> (B, T, R, D)."""
        frames = regions.mean(2)  # (B, T, D)
        mean = frames.mean(1)
        start = self.start_hidden(mean).unsqueeze(0), self.start_cell(mean).unsqueeze(0)
        over_time, _ = self(frames, start)
        read: Tensor = regions - frames.unsqueeze(2) + over_time.unsqueeze(2)
        return read


class ReadThenWrite(NoTemporal):
    """The decoder reads the frames itself."""

    decoders: Mapping[int, type[Decoder]] = {2: S2VTDecoder}
