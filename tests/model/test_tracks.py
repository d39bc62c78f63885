"""Tracks through optical flow that is known, and the words that they are."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vidcaption.model.config import STEPS, InputConfig
from vidcaption.model.encoder import Encoder
from vidcaption.model.tracks import BINS, POINTS, Tracks, pooled
from vidcaption.types import LEVELS, REACH, REST

S = 64  # pixels
NONE = torch.zeros(S, S)
LEVEL = REACH / LEVELS  # share of the side that one level of x or y is
# where pixels are, in shares of the side
X, Y = torch.meshgrid((torch.arange(S) + 0.5) / S, (torch.arange(S) + 0.5) / S, indexing="xy")


def pictures(steps: Callable[[int], tuple[Tensor, Tensor]]) -> Tensor:
    """(1, 3 * STEPS, S, S) of the x and y of each step, in levels."""
    made = [torch.stack([*(REST + each for each in steps(i)), NONE]) for i in range(STEPS)]
    return torch.cat(made).round().to(torch.uint8).unsqueeze(0)


def described(steps: Callable[[int], tuple[Tensor, Tensor]]) -> tuple[dict[str, Tensor], Tensor]:
    """By description, (POINTS, POINTS, D), and which tracks are real, (POINTS, POINTS)."""
    found, real = Tracks(1).describe(pictures(steps))
    square = {name: x[0].unflatten(0, (POINTS, POINTS)) for name, x in found.items()}
    return square, real[0].unflatten(0, (POINTS, POINTS))


def uniform(x: float, y: float) -> Callable[[int], tuple[Tensor, Tensor]]:
    return lambda step: (NONE + x, NONE + y)


@pytest.mark.parametrize(
    ("x", "y", "bin"),
    [
        *[(20, 0, 0), (20, 20, 1), (0, 20, 2), (-20, 20, 3)],
        *[(-20, 0, 4), (-20, -20, 5), (0, -20, 6), (20, -20, 7)],
    ],
)
def test_what_moves_one_way_is_told_from_other_ways(x: float, y: float, bin: int) -> None:
    found, real = described(uniform(x, y))
    length = STEPS * math.hypot(x, y)
    middle = slice(5, -5)  # what begins at the edge leaves
    assert real[middle, middle].all()
    shape = torch.tensor([x, y]) / length
    torch.testing.assert_close(found["shape"][8, 8], shape.repeat(STEPS))
    flow = found["flow"][8, 8].unflatten(0, (4, BINS + 1))
    assert flow[:, bin].tolist() == pytest.approx([flow.norm().item() / 2] * 4)
    assert flow.norm() > 0.9 and found["edges"][8, 8].norm() < 0.01


def test_what_stands_still_jumps_or_leaves_is_no_track() -> None:
    found, real = described(uniform(0, 0))
    assert not real.any() and found["shape"].isfinite().all()
    cells = found["flow"][8, 8].unflatten(0, (4, BINS + 1))
    assert cells[:, -1].min() > 0 and cells[:, :-1].abs().max() == 0
    assert not described(uniform(0.6 * 0.01 / LEVEL / STEPS, 0))[1].any()  # of STILL
    assert described(uniform(2 * 0.01 / LEVEL / STEPS, 0))[1].sum() > 200
    assert not described(lambda step: (NONE + 50 * (step == 2), NONE))[1].any()
    assert described(lambda step: (NONE + 50 * (step in (1, 2)), NONE))[1].any()
    _, real = described(uniform(0, -40))
    gone = STEPS * 40 * LEVEL * POINTS  # rows from which points leave at the top
    rows = torch.arange(POINTS) + 0.5 > gone
    assert real.tolist() == rows.unsqueeze(1).expand(-1, POINTS).tolist()


def test_points_are_followed() -> None:
    """Everything goes to the right first; then what has come to the right half goes down."""

    def steps(step: int) -> tuple[Tensor, Tensor]:
        return (NONE + 120, NONE) if step == 0 else (NONE, 60.0 * (X > 0.5))

    found, real = described(steps)
    moved = found["shape"].unflatten(-1, (STEPS, 2))
    assert real[2, 6] and moved[2, 6, 1:, 1].min() > 0.1  # from 0.41 to 0.52
    assert real[2, 2] == 0 and moved[2, 2, 1:].abs().max() == 0  # from 0.16, a jump
    assert found["flow"][2, 6].unflatten(0, (4, -1))[:, 2].min() > found["flow"][2, 2].max() / 4


def test_edges_of_motion_have_directions_and_are_where_they_are() -> None:
    """What moves to the right moves faster further down; and what moves down, further left."""
    found, _ = described(lambda step: (100 * Y, NONE))
    cells = found["edges"][8, 2].unflatten(0, (4, 2, BINS))
    assert cells[:, 0].argmax(-1).tolist() == [2] * 4 and cells[:, 1].abs().max() < 1e-3
    found, _ = described(lambda step: (NONE, 100 * (1 - X)))
    cells = found["edges"][2, 8].unflatten(0, (4, 2, BINS))
    assert cells[:, 1].argmax(-1).tolist() == [4] * 4 and cells[:, 0].abs().max() < 1e-3
    found, _ = described(lambda step: (20.0 * (X > 0.53), NONE))  # right of the point 7
    left, right = found["flow"][8, 7].unflatten(0, (2, 2, BINS + 1))
    assert right[:, 0].min() > left[:, 0].max() + 0.1
    assert left[:, -1].min() > right[:, -1].max()


def book(*rows: Tensor) -> Tensor:
    return torch.stack(rows)


def test_each_track_is_its_nearest_word_of_each_codebook() -> None:
    tracks = Tracks(3)
    assert tracks.channels == 9
    right, down = (described(uniform(*way))[0] for way in ((30, 0), (0, 30)))
    for name in right:
        tracks.take(name, book(right[name][8, 8], down[name][8, 8]))
        kept = tracks.get_buffer(name)
        assert torch.equal(kept, kept.half().float()) and torch.equal(kept[2], kept[0])
    found = tracks(torch.cat([pictures(uniform(*way)) for way in ((30, 0), (0, 30), (0, 0))]))
    assert found.shape == (3, 9, POINTS, POINTS)
    real = described(uniform(30, 0))[1].float()
    assert torch.equal(found[0, 0], real) and torch.equal(found[0, 3], real)
    assert torch.equal(found[1, 1], real.T) and torch.equal(found[1, 4], real.T)
    assert found[0, [1, 2, 4, 5, 8]].sum() == 0 and found[2].sum() == 0
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(tracks(pictures(uniform(30, 0))), found[:1])


def test_regions_count_their_own_tracks_after_the_cnn_s_vectors() -> None:
    encoder = Encoder(InputConfig(image_size=S, grid=2, tracks=2)).eval()
    assert encoder.tracks is not None and (encoder.channels, encoder.words) == (1280, 6)
    right = described(uniform(30, 0))[0]["shape"][8, 8]
    encoder.tracks.take("shape", book(-right, right))
    frames = torch.cat(
        [torch.full((1, 3, S, S), 9), pictures(lambda step: (30.0 * (X < 0.4), NONE))], 1
    )
    with torch.inference_mode():
        features = encoder(frames.to(torch.uint8))
        plain = Encoder(InputConfig(image_size=S, grid=2)).eval()
        plain.load_state_dict(encoder.state_dict(), strict=False)
        torch.testing.assert_close(features[..., :1280], plain(frames[:, :3].to(torch.uint8)))
    shares = features[0, :, 1280:]
    assert shares[0, 1] == shares[2, 1] > 0.5 and shares[1].sum() == shares[3].sum() == 0
    assert shares[0, 0] == 0


def test_the_cnn_may_see_the_first_step() -> None:
    torch.manual_seed(0)
    frames = torch.randint(0, 256, (1, 3 + 3 * STEPS, S, S), dtype=torch.uint8)
    config = InputConfig(image_size=S, grid=1, tracks=2, kind="flow")
    encoder, plain = Encoder(config).eval(), Encoder(InputConfig(image_size=S, grid=1)).eval()
    plain.load_state_dict(encoder.state_dict(), strict=False)
    with torch.inference_mode():
        torch.testing.assert_close(encoder(frames)[..., :1280], plain(frames[:, 3:6]))


def test_a_window_s_vector_is_a_histogram_of_roots() -> None:
    shares = torch.zeros(2, 3, 4, 5)
    shares[0, 0, 1, 2], shares[0, 2, 3, 4] = 0.1, 0.3
    vector = pooled(shares)
    assert vector[0].tolist() == pytest.approx([0, 0, 0.5, 0, math.sqrt(0.75)])
    assert vector[1].tolist() == [0] * 5
