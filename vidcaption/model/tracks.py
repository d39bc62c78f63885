"""Motion as a bag of words: dense tracks (Wang et al. 2011, "Action recognition by dense
trajectories"), much simplified.

Points on a grid are followed through the optical flow of a few steps. What each track is like is
described in three ways, for each of which a codebook has words: by its shape, by the flow around it
(HOF), and by the flow's derivatives (MBH), in which the motion of the camera is missing. Frames
count how many tracks are which word. Left out are appearance (HOG), scales, cells in time, and the
median filter of the flow.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidcaption.model.config import STEPS
from vidcaption.types import LEVELS, REACH, REST

POINTS = 16  # tracks that begin, on each side of a frame
SIDE = 32  # of the map that the flow is averaged to
BINS = 8  # directions
CELL = 3  # side of the 2 x 2 cells around a point, in places of the map
# Shares of the frame's side, or of the track's length. Tracks that are shorter stand still; one
# that is mostly a single step is a mistake of the flow.
STILL, JUMP = 0.01, 0.7
SIZES = {"shape": 2 * STEPS, "flow": 4 * (BINS + 1), "edges": 4 * 2 * BINS}  # of each description


class Tracks(nn.Module):
    """Flow to words. The codebooks are empty, all zeros, until ``take``.

    ``channels``: the words of all descriptions.
    """

    def __init__(self, words: int) -> None:
        super().__init__()
        self.words, self.channels = words, words * len(SIZES)
        for name, size in SIZES.items():
            self.register_buffer(name, torch.zeros(words, size))

    def take(self, name: str, words: Tensor) -> None:
        """The codebook of a description: (K, D), K being at most ``self.words``."""
        words = words.half()  # as in a model folder, so that both find the same
        missing = words[:1].expand(self.words - len(words), -1)  # never found: the first is
        self.get_buffer(name).copy_(torch.cat([words, missing]))

    def forward(self, pictures: Tensor) -> Tensor:
        """``pictures``: (N, 3 * STEPS, S, S) uint8, see ``video/flow.py`` -> (N, C, POINTS,
        POINTS): 1 where a track begins that is this word, 0 elsewhere."""
        described, real = self.describe(pictures)
        words = [
            F.one_hot(torch.cdist(each, self.get_buffer(name)).argmin(-1), self.words)
            for name, each in described.items()
        ]
        found = (torch.cat(words, -1) * real.unsqueeze(-1)).float()
        maps: Tensor = found.transpose(1, 2).unflatten(2, (POINTS, POINTS))
        return maps

    def describe(self, pictures: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The descriptions of P = POINTS * POINTS tracks, (N, P, D) each, and which of them move,
        stay in the frame and do not jump, (N, P)."""
        levels = pictures.float().unflatten(1, (STEPS, 3))[:, :, :2]
        shares = REACH / LEVELS * (levels - REST).flatten(0, 1)
        flow = F.adaptive_avg_pool2d(shares, SIDE).unflatten(0, (-1, STEPS))  # (N, L, 2, H, W)
        around = F.avg_pool2d(_histograms(flow).flatten(0, 1), CELL, 1, CELL // 2)
        around = around.unflatten(0, (-1, STEPS))
        line = (torch.arange(POINTS, device=flow.device) + 0.5) * 2 / POINTS - 1
        points = torch.cartesian_prod(line, line).flip(-1).expand(len(flow), -1, -1)  # x, y
        square = torch.tensor([-1.0, 1.0], device=flow.device) * CELL / SIDE
        cells = torch.cartesian_prod(square, square)
        shifts, seen = [], torch.zeros((), device=flow.device)
        for step in range(STEPS):
            near = (points.unsqueeze(2) + cells).flatten(1, 2)
            seen = seen + _at(around[:, step], near).unflatten(1, (-1, len(cells)))
            shifts.append(_at(flow[:, step], points))
            points = points + 2 * shifts[-1]  # of a side that is from -1 to 1
        moved = torch.stack(shifts, 2)  # (N, P, L, 2)
        lengths = moved.norm(dim=-1)
        total = lengths.sum(-1)
        real = (total >= STILL) & (lengths.amax(-1) <= JUMP * total)
        shape = (moved / total.clamp(min=STILL)[..., None, None]).flatten(2)
        flows, edges = (_rooted(x.flatten(2)) for x in seen.split([BINS + 1, 2 * BINS], -1))
        inside = points.abs().amax(-1) <= 1
        return {"shape": shape, "flow": flows, "edges": edges}, real & inside


def pooled(shares: Tensor) -> Tensor:
    """The vector of a window from the share of tracks that each word has in its frames, (B, T, R,
    C) -> (B, C): a histogram, of which the square roots are taken; zero if nothing moves."""
    histogram: Tensor = F.normalize(shares.float().mean((1, 2)), p=1, dim=-1)
    return histogram.sqrt()


def _at(maps: Tensor, points: Tensor) -> Tensor:
    """(N, C, H, W) at (N, P, 2), x and y from -1 to 1 -> (N, P, C)."""
    grid = points.unsqueeze(2)
    found: Tensor = F.grid_sample(maps, grid, padding_mode="border", align_corners=False)
    return found.squeeze(-1).transpose(1, 2)


def _histograms(flow: Tensor) -> Tensor:
    """Of each place, what goes in which direction: of the flow, with one more bin for what stands
    still; and of the derivatives of its x and y. (N, L, 2, H, W) -> (N, L, 3 * BINS + 1, H, W)."""
    still = (STILL / STEPS - flow.norm(dim=2, keepdim=True)).relu()
    down, right = torch.gradient(flow, dim=(-2, -1))
    edges = _directions(torch.stack([right, down], 3)).flatten(2, 3)
    return torch.cat([_directions(flow), still, edges], 2)


def _directions(vectors: Tensor) -> Tensor:
    """(..., 2, H, W) -> (..., BINS, H, W): the length of each, shared by the two nearest bins."""
    x, y = vectors.unbind(-3)
    bins = torch.arange(BINS, device=vectors.device).view(-1, 1, 1)
    off = (torch.atan2(y, x) * BINS / (2 * math.pi)).unsqueeze(-3) - bins
    off = (off + BINS / 2).remainder(BINS) - BINS / 2
    shared: Tensor = (1 - off.abs()).relu() * vectors.norm(dim=-3, keepdim=True)
    return shared


def _rooted(histograms: Tensor) -> Tensor:
    """Square roots of shares (RootSIFT, Arandjelović and Zisserman 2012); small where little
    happens."""
    return (histograms / (histograms.sum(-1, keepdim=True) + STILL)).sqrt()
