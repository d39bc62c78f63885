"""Encoder, temporal LSTM and decoder in one module."""

import torch
from torch import Tensor, nn

from vidcaption.model.attention import Memory
from vidcaption.model.config import ModelConfig
from vidcaption.model.decoder import Decoder
from vidcaption.model.encoder import Encoder


class CaptionNetwork(nn.Module):
    """From the frames of a window to the memory that the decoder attends to."""

    def __init__(self, config: ModelConfig, vocabulary_size: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.project = nn.Linear(self.encoder.channels, config.size)
        self.norm = nn.LayerNorm(config.size)
        self.dropout = nn.Dropout(config.dropout)
        self.temporal = (
            nn.LSTM(config.size, config.size // 2, batch_first=True, bidirectional=True)
            if config.temporal == "lstm"
            else None
        )
        self.decoder = Decoder(config, vocabulary_size)

    def encode(self, frames: Tensor) -> Tensor:
        """``frames``: (B, T, 3, S, S) uint8 RGB -> features (B, T, R, C)."""
        features: Tensor = self.encoder(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        return features

    def remember(self, features: Tensor) -> Memory:
        """``features``: (B, T, R, C) -> Memory over the T * R region vectors.

        Each region of a frame is shifted by what the temporal LSTM says of that frame in its
        sequence, so the attention knows when a region was seen.
        """
        regions = self.dropout(torch.relu(self.norm(self.project(features))))  # (B, T, R, D)
        if self.temporal is not None:
            over_time, _ = self.temporal(regions.mean(2))  # (B, T, D)
            regions = regions + over_time.unsqueeze(2)
        return self.decoder.attention.project(regions.flatten(1, 2))
