"""The codebooks of motion along dense tracks, by k-means over the tracks of some training clips."""

import logging
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vidcaption.datasets.samples import Sample
from vidcaption.evaluation.captioning import load_clip
from vidcaption.model.encoder import Encoder
from vidcaption.output.text import counted

logger = logging.getLogger(__name__)

CLIPS, FRAMES = 256, 4  # at most, and of each
MOST = 32768  # tracks
ROUNDS = 20


@torch.inference_mode()
def learn_tracks(encoder: Encoder, samples: Sequence[Sample]) -> None:
    """Give the encoder's tracks their words, from ``samples`` spread over those to learn from. The
    same samples give the same words. Where nothing moves there are none, which is logged.

    Raises InputError for an unreadable sample.
    """
    assert encoder.tracks is not None
    seen, draw = encoder.config, np.random.default_rng(0)
    picked = samples[:: -(-len(samples) // CLIPS)]
    found: dict[str, list[Tensor]] = defaultdict(list)
    for sample in picked:
        clip = load_clip(sample, FRAMES, seen.image_size, seen.flow)
        described, real = encoder.tracks.describe(clip[:, 3:].to(encoder.mean.device))
        rows = draw.permutation(int(real.sum()))[: MOST // len(picked)]
        for name, each in described.items():
            found[name].append(each[real][torch.from_numpy(rows)].cpu())
    tracks = sum(map(len, found["shape"]))
    if not tracks:
        logger.warning(
            f"nothing moves in {counted(len(picked), 'sample')} of the training, so --tracks will "
            "show nothing; they need videos, in time"
        )
        return
    for name, parts in found.items():
        encoder.tracks.take(name, _centres(torch.cat(parts), encoder.tracks.words))
    logger.info(f"learned the codebooks of motion from {counted(tracks, 'track')}")


def _centres(rows: Tensor, count: int) -> Tensor:
    """At most ``count`` centres of (N, D)."""
    import cv2  # slow to import, and only needed for tracks

    cv2.setRNGSeed(0)
    until = cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, ROUNDS, 1e-4
    points, count = rows.numpy(), min(count, len(rows))
    _, _, centres = cv2.kmeans(points, count, None, until, 1, cv2.KMEANS_PP_CENTERS)  # type: ignore[call-overload]
    return torch.from_numpy(centres)
