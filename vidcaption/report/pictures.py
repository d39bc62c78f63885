"""Frames and attention as small pictures, in files and in pages."""

import base64
from collections.abc import Sequence

import cv2
import numpy as np

from vidcaption.datasets.samples import Clip
from vidcaption.report.cases import Attention

AREA = 120_000  # pixels of all frames of a case together
_TALLEST = 224  # pixels
_FLATTEST, _STEEPEST = 3.0, 0.4  # width by height
_QUALITIES = (80, 60, 40, 20)  # of JPEG
_MOST_BYTES = 45_000  # of a JPEG, if the lowest quality achieves it
_COLOUR = (255, 70, 0)  # of attention, RGB
_OPACITY = 0.7  # where the attention is highest


def ratio(frame: Clip) -> float:
    """Width by height as shown: extremes are limited."""
    height, width = frame.shape[:2]
    return float(np.clip(width / height, _STEEPEST, _FLATTEST))


def shrink(frame: Clip, height: int, width: int) -> Clip:
    return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def strip(frames: Sequence[Clip], area: float = AREA) -> Clip:
    """All frames from left to right, each as wide as the first: (H, T * W, 3) RGB.

    ``area``: the maximum, in pixels. The more frames, the smaller each, so that a case with many
    takes no more space.
    """
    shape = ratio(frames[0])
    height = min(_TALLEST, int((area / shape / len(frames)) ** 0.5))
    width = max(1, round(height * shape))
    return np.concatenate([shrink(frame, height, width) for frame in frames], 1)


def heat(attention: Attention) -> Attention:
    """Attention of one word, scaled from 0 for its minimum to 1 for its maximum.

    Uniform attention is 0 everywhere: the word looks nowhere in particular.
    """
    least, most = attention.min(), attention.max()
    spread = most - least
    # rounding makes equal weights differ in their last digits
    return (attention - least) / spread if spread > 1e-4 * most else np.zeros_like(attention)


def jpeg_uri(image: Clip) -> str:
    """``image``: (H, W, 3) RGB -> a data URI, with lower quality for detailed images."""
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    for quality in _QUALITIES:
        encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        if len(encoded) <= _MOST_BYTES:
            break
    return data_uri("image/jpeg", encoded.tobytes())


def overlay_uri(warmth: Attention) -> str:
    """Heat (G, G) of one frame as a data URI: a picture of G x G pixels to overlay on it."""
    pixels = np.empty((*warmth.shape, 4), np.uint8)
    pixels[..., :3] = _COLOUR[::-1]
    pixels[..., 3] = np.round(255 * _OPACITY * warmth)
    return data_uri("image/png", cv2.imencode(".png", pixels)[1].tobytes())


def warmed(frame: Clip, warmth: Attention) -> Clip:
    """``frame`` overlaid with its heat (G, G), as the page shows it."""
    height, width = frame.shape[:2]
    smooth = cv2.resize(warmth, (width, height), interpolation=cv2.INTER_LINEAR)
    opacity = _OPACITY * smooth[..., None]
    return np.asarray(frame * (1 - opacity) + np.array(_COLOUR) * opacity, np.uint8)


def data_uri(kind: str, data: bytes) -> str:
    """``kind``: a MIME type."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
