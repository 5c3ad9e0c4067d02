"""Operations on pixels: the same for every frame of a clip, and what they are said to be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from video.operations import BLENDS, MOVES, OPERATIONS

AMOUNTS = (-1.0, -0.3, 0.0, 0.4, 1.0)
OF_PIXELS = sorted(set(OPERATIONS) - MOVES - {"sharpness"})


def noise(*shape, seed=0, levels=256):
    return np.random.default_rng(seed).integers(0, levels, (*shape, 3)).astype(np.uint8)


def amounts_of(name):
    return AMOUNTS if name in BLENDS | MOVES else [amount for amount in AMOUNTS if amount >= 0]


CASES = [(name, amount) for name in OPERATIONS for amount in amounts_of(name)]


@pytest.mark.parametrize(("name", "amount"), CASES)
def test_equal_frames_stay_equal(name, amount):
    clip_THWC = np.repeat(noise(1, 14, 11), 5, axis=0)
    changed_THWC = OPERATIONS[name](clip_THWC, amount)
    assert changed_THWC.shape == clip_THWC.shape
    assert changed_THWC.dtype == np.uint8
    assert (changed_THWC == changed_THWC[:1]).all()


@pytest.mark.parametrize(("name", "amount"), CASES)
def test_the_order_of_frames_does_not_matter_and_the_clip_stays_as_it_is(name, amount):
    clip_THWC = noise(5, 14, 11, seed=1)
    clip_THWC[2:] //= 3  # frames of other brightness
    before, order = clip_THWC.copy(), [3, 0, 4, 2, 1]
    whole_THWC = OPERATIONS[name](clip_THWC, amount)
    np.testing.assert_array_equal(OPERATIONS[name](clip_THWC[order], amount), whole_THWC[order])
    np.testing.assert_array_equal(OPERATIONS[name](clip_THWC, amount), whole_THWC)
    np.testing.assert_array_equal(clip_THWC, before)


@pytest.mark.parametrize("name", OF_PIXELS)
def test_a_colour_becomes_the_same_colour_in_every_frame(name):
    """A table for each frame, of its own statistics, would make the light flicker."""
    clip_THWC = noise(4, 16, 16, seed=2, levels=4) * 40
    clip_THWC[0] //= 2
    clip_THWC[0] *= 2
    changed_THWC = OPERATIONS[name](clip_THWC, 0.7)
    seen = {}
    for before, after in zip(clip_THWC.reshape(-1, 3).tolist(), changed_THWC.reshape(-1, 3).tolist(), strict=True):
        assert seen.setdefault(tuple(before), after) == after
    assert len(seen) > 20


def test_tables_by_hand():
    clip_THWC = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    values = clip_THWC[..., 0]
    by_hand = {
        ("identity", 1.0): values,
        ("invert", 0.0): 255 - values,
        ("posterize", 1.0): values & 0b11110000,
        ("posterize", 0.5): values & 0b11111100,
        ("solarize", 1.0): 255 - values,
        ("solarize", 0.5): np.where(values < 128, values, 255 - values),
        ("solarize", 0.0): values,
        ("brightness", 0.0): values,
        ("brightness", -1.0): (values * np.float32(0.1)).astype(np.uint8),
        ("brightness", 1.0): np.minimum(255, values * np.float32(1.9)).astype(np.uint8),
        ("contrast", -1.0): (128 + (values.astype(np.float32) - 128) * np.float32(0.1)).astype(np.uint8),
        ("color", 0.9): values,
        ("autocontrast", 0.0): values,
    }
    for (name, amount), wanted in by_hand.items():
        found = OPERATIONS[name](clip_THWC, amount)
        assert np.abs(found[..., 1].astype(int) - wanted.astype(int)).max() <= (1 if name in BLENDS else 0), name


def test_autocontrast_and_equalize_stretch_over_the_frames_together():
    clip_THWC = np.full((2, 32, 32, 3), 100, dtype=np.uint8)
    clip_THWC[1] = 150
    for name in ("autocontrast", "equalize"):
        found = OPERATIONS[name](clip_THWC, 0.0)
        assert (found[0] == 0).all()
        assert (found[1] == 255).all()


def test_shifts_by_hand():
    """A shift of 150 / 331 of 331 pixels; what comes in is grey."""
    clip_THWC = noise(2, 3, 331, seed=3)
    left_THWC = OPERATIONS["translate_x"](clip_THWC, 1.0)
    np.testing.assert_array_equal(left_THWC[:, :, :181], clip_THWC[:, :, 150:])
    assert (left_THWC[:, :, 181:] == 128).all()
    right_THWC = OPERATIONS["translate_x"](clip_THWC, -1.0)
    np.testing.assert_array_equal(right_THWC[:, :, 150:], clip_THWC[:, :, :181])
    tall_THWC = clip_THWC.transpose(0, 2, 1, 3)
    np.testing.assert_array_equal(OPERATIONS["translate_y"](tall_THWC, 1.0), left_THWC.transpose(0, 2, 1, 3))


@given(amount=st.floats(-1, 1), height=st.integers(5, 24), width=st.integers(5, 24))
def test_turns_and_shears_are_those_of_pillow(amount, height, width):
    clip_THWC = noise(1, height, width, seed=4)
    picture = Image.fromarray(clip_THWC[0])
    shear = 0.3 * amount
    by_pillow = {
        "rotate": picture.rotate(30 * amount, fillcolor=(128, 128, 128)),
        "shear_x": picture.transform(
            picture.size, Image.Transform.AFFINE, (1, shear, -shear * height / 2, 0, 1, 0), fillcolor=(128, 128, 128)
        ),
        "shear_y": picture.transform(
            picture.size, Image.Transform.AFFINE, (1, 0, 0, shear, 1, -shear * width / 2), fillcolor=(128, 128, 128)
        ),
    }
    for name, wanted in by_pillow.items():
        found = OPERATIONS[name](clip_THWC, amount)[0]
        differ = (found != np.asarray(wanted)).any(axis=-1).mean()
        assert differ < 0.1, (name, differ)  # where a place lies between two pixels


def test_sharpness_does_not_reach_over_the_edge_of_a_frame():
    clip_THWC = noise(2, 8, 8, seed=5)
    alone = OPERATIONS["sharpness"](clip_THWC[:1], 1.0)
    np.testing.assert_array_equal(OPERATIONS["sharpness"](clip_THWC, 1.0)[:1], alone)
    assert not np.array_equal(alone, clip_THWC[:1])
