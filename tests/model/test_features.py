"""Features that are looked up must be those that would have been computed."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from vidcaption.model.features import Features, Looks
from vidcaption.types import Frame

CPU = torch.device("cpu")
GREY = np.full((64, 64, 3), 100, np.uint8)


def regions(images):
    """As cheap as a CNN can be: (N, 3, S, S) uint8 -> (N, 4, 3)."""
    return F.adaptive_avg_pool2d(images.float(), 2).flatten(2).transpose(1, 2)


def frames_of(images):
    """Frames that share no memory, as those that come from another process."""
    return [Frame(float(i), image.copy()) for i, image in enumerate(images)]


def exactly(images):
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return regions(stacked)


def shade(number):
    return np.full((16, 16, 3), number, np.uint8)


shades = st.lists(st.integers(0, 9), min_size=1, max_size=30)


def test_the_features_are_those_of_the_cnn(network):
    chance = np.random.default_rng(0)
    images = chance.integers(0, 256, (40, 64, 64, 3), np.uint8)
    looks = Looks()
    pairs = [looks.look(frames_of(pair)) for pair in images.reshape(20, 2, 64, 64, 3)]
    with torch.inference_mode():
        got, computed = Features(network.encoder, CPU).of(pairs)
        expected = network.encode(
            torch.from_numpy(images).permute(0, 3, 1, 2).unflatten(0, (20, 2))
        )
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)
    assert (looks.frames, computed) == (40, [2] * 20)


@settings(max_examples=40)
@given(shades, st.integers(1, 4), st.integers(1, 5), st.integers(1, 8))
def test_equal_pictures_are_computed_once(numbers, batch, frames, at_once):
    """In one batch and the next, however often they come and in whatever order."""
    features, looks = Features(regions, CPU, at_once), Looks()
    windows = [numbers[i : i + frames] for i in range(0, len(numbers) - frames + 1, frames)]
    known = set()
    for i in range(0, len(windows), batch):
        part = windows[i : i + batch]
        got, computed = features.of([looks.look(frames_of(map(shade, window))) for window in part])
        for window, row, count in zip(part, got, computed, strict=True):
            torch.testing.assert_close(row, exactly([shade(number) for number in window]))
            assert count == len(set(window) - known)
            known |= set(window)
        known = {number for window in part for number in window}
    assert looks.frames == len(windows) * frames


def test_what_is_known_and_may_come_again_is_kept():
    """As a window whose caption is known: the next batch may go on from its last picture."""
    features = Features(regions, CPU)
    first, second, third = ((shade(n).tobytes(),) for n in (50, 100, 150))
    features.of([first])
    assert features.of([second], keep=[first, third])[1] == [1]
    got, computed = features.of([first, third])
    torch.testing.assert_close(got[0], exactly([shade(50)]))
    assert computed == [0, 1]


@settings(max_examples=40)
@given(shades, st.integers(1, 6), st.sampled_from([0, 0.5, 1, 2, 4]))
def test_what_is_near_depends_on_no_batch(numbers, batch, within):
    features, whole, parted = Features(regions, CPU), Looks(within), Looks(within)
    frames = frames_of(map(shade, numbers))
    expected = whole.look(frames)
    got = []
    for i in range(0, len(frames), batch):
        got.append(parted.look(frames[i : i + batch]))
        looked_up = features.of(got[-1:])[0][0]
        stand_ins = [np.frombuffer(picture, np.uint8).reshape(16, 16, 3) for picture in got[-1]]
        torch.testing.assert_close(looked_up, exactly(stand_ins))
    assert sum(got, ()) == expected
    for number, picture in zip(numbers, expected, strict=True):
        assert abs(number - picture[0]) <= within
    for i in range(1, len(frames)):  # as where a run was interrupted
        resumed = Looks(within, sum(got, ())[i - 1] if within else None)
        assert resumed.look(frames[i:]) == expected[i:]


def test_slow_changes_do_not_add_up():
    looks = Looks(within=4)
    dawn = [GREY + level for level in range(50)]
    stand_ins = [picture[0] for picture in looks.look(frames_of(dawn))]
    assert max(100 + level - each for level, each in enumerate(stand_ins)) == 4
    assert len(set(stand_ins)) == 10


@pytest.mark.parametrize("size", [(64, 64), (50, 75), (5, 3)])
def test_noise_is_no_difference_but_a_small_thing_is(size):
    """The thing changes the mean over the whole picture by less than the noise does."""
    chance = np.random.default_rng(0)
    plain = np.full((*size, 3), 100.0)
    noisy = plain + chance.uniform(-12, 12, plain.shape) * (min(size) > 8)
    thing = plain.copy()
    thing[-5:, -5:, 1] += 60
    images = [each.round().astype(np.uint8) for each in (plain, noisy, thing, noisy)]
    looks = Looks(within=5).look(frames_of(images))
    assert [a == b for a, b in pairwise(looks)] == [True, False, False]
    assert looks[3] == images[3].tobytes()
    if min(size) > 8:
        strangers = [np.abs(each - plain).mean() for each in images[1:3]]
        assert strangers[1] < strangers[0] / 3


@pytest.mark.parametrize(("channels", "first"), [(slice(3), 0), (slice(3, 6), 3)])
@pytest.mark.parametrize("depth", [6, 18])
def test_a_cnn_sees_its_channels_of_pictures_with_flow(channels, first, depth):
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, depth), np.uint8)
    look = Looks().look(frames_of(images))
    got, computed = Features(regions, CPU, channels=channels).of([look])
    torch.testing.assert_close(got[0], exactly(images[..., first : first + 3]))
    assert computed == [2]
