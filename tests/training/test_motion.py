import numpy as np
import pytest
import torch

from vidcaption.training.motion import Motion, draw_clip, move_features


def test_motion_stays_inside_the_picture_and_moves_evenly():
    for seed in range(50):
        motion = Motion.draw(5, np.random.default_rng(seed))
        left, top, side = motion.boxes.T
        assert (motion.boxes >= 0).all()
        assert (left + side <= 1 + 1e-6).all() and (top + side <= 1 + 1e-6).all()
        assert (side >= 0.75 - 1e-6).all()
        assert np.diff(motion.boxes, axis=0) == pytest.approx(
            np.tile(np.diff(motion.boxes, axis=0)[0], (4, 1)), abs=1e-5
        )


def test_a_still_becomes_a_clip_that_moves():
    picture = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
    clip = draw_clip([picture], 4, 32, np.random.default_rng(1))
    assert clip.shape == (4, 32, 32, 3)
    assert clip.flags.c_contiguous
    assert all((clip[i] != clip[i + 1]).any() for i in range(3))


def test_pixels_are_means_as_in_running():
    """Of fine stripes, samples of single pixels would be stripes again."""
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    clip = draw_clip([stripes], 4, 32, np.random.default_rng(2))
    assert np.abs(clip.astype(int) - 127).max() < 30


def test_frames_of_a_video_stay_in_order():
    pictures = [np.full((32, 32, 3), level, np.uint8) for level in (0, 50, 100, 150, 200)]
    for seed in range(20):
        levels = draw_clip(pictures, 3, 16, np.random.default_rng(seed)).mean((1, 2, 3))
        assert (np.diff(levels) > 0).all()


def box(left, top, side, mirror=False):
    return Motion(np.array([[left, top, side]], np.float32), mirror)


def test_features_move_as_pixels_do():
    """A 4 x 4 grid whose regions are numbered row by row."""
    features = torch.arange(16.0).view(1, 16, 1)
    rows = [list(range(i, i + 4)) for i in range(0, 16, 4)]
    assert move_features(features, box(0, 0, 1)).view(4, 4).tolist() == rows
    mirrored = move_features(features, box(0, 0, 1, mirror=True))
    assert mirrored.view(4, 4).tolist() == [row[::-1] for row in rows]
    corner = move_features(features, box(0.5, 0.5, 0.5)).view(4, 4)
    assert corner.min() >= 10 - 2.5 and corner.max() == 15  # the lower right quarter: 10 11 14 15
    assert corner[0, 0] < corner[0, 3] < corner[3, 3]
