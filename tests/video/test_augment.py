"""Augmentation of clips: one draw per clip, a function of its generator."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from search_spaces.errors import UsageError
from search_spaces.randomness import generator
from video.augment import AugmentConfig, Augmenter, draw_crop, resized_crop
from video.augment import CropRectangle as Box
from video.sampling import Place

PLACE = Place(time=0.5, along=0.25, across=0.75)
CONFIGS = st.builds(
    AugmentConfig,
    crop_area=st.sampled_from([None, (0.08, 1.0), (0.3, 0.5)]),
    flip=st.booleans(),
    policy=st.sampled_from(["none", "randaugment", "autoaugment"]),
    num_operations=st.integers(1, 3),
    magnitude=st.floats(0, 10),
)
EVERYTHING = AugmentConfig(crop_area=(0.08, 1.0), flip=True, policy="randaugment", random_stride=2)


def pictures(num_frames=4, height=21, width=30, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (num_frames, height, width, 3)).astype(np.uint8)


def augmented(clip_THWC, config, seed=0, *, labels=(0,), directed=frozenset()):
    augmenter = Augmenter(config=config, directed=directed)
    return augmenter.clip(clip_THWC, generator(seed, "test"), place=PLACE, resolution=16, labels=labels)


@given(config=CONFIGS, seed=st.integers(0, 1000))
def test_every_frame_has_the_same_done_to_it(config, seed):
    clip_THWC, order = pictures(), [2, 0, 3, 1]
    before = clip_THWC.copy()
    whole_THWC = augmented(clip_THWC, config, seed)
    assert whole_THWC.shape == (4, 16, 16, 3)
    assert whole_THWC.dtype == np.uint8
    np.testing.assert_array_equal(augmented(clip_THWC, config, seed), whole_THWC)
    np.testing.assert_array_equal(augmented(clip_THWC[order], config, seed), whole_THWC[order])
    still_THWC = augmented(np.repeat(clip_THWC[:1], 5, axis=0), config, seed)
    assert (still_THWC == still_THWC[:1]).all()
    np.testing.assert_array_equal(clip_THWC, before)


def test_other_generators_draw_other_clips():
    clips = {augmented(pictures(), EVERYTHING, seed).tobytes() for seed in range(20)}
    assert len(clips) == 20


def test_nothing_asked_for_is_the_crop_at_the_place():
    clip_THWC = augmented(pictures(), AugmentConfig())
    np.testing.assert_array_equal(clip_THWC, pictures()[:, 4:20, 3:19])


def test_half_of_the_clips_are_mirrored_but_of_directed_classes_none():
    plain = augmented(pictures(), AugmentConfig())
    config = AugmentConfig(flip=True)
    mirrored = [np.array_equal(augmented(pictures(), config, seed), plain[:, :, ::-1]) for seed in range(200)]
    straight = [np.array_equal(augmented(pictures(), config, seed), plain) for seed in range(200)]
    assert 70 < sum(mirrored) < 130
    assert [not each for each in mirrored] == straight
    for seed in range(20):
        clip_THWC = augmented(pictures(), config, seed, labels=(4, 1), directed=frozenset({1, 2}))
        np.testing.assert_array_equal(clip_THWC, plain)


def test_directed_classes_go_by_patterns_of_their_names():
    names = ("Move LEFT", "move_right", "clap", "turn clockwise", "upright bass", "zoom")
    assert AugmentConfig().directed_classes(names) == {0, 1, 3, 4}
    assert AugmentConfig(directed=("clap", "zoo?")).directed_classes(names) == {2, 5}
    assert AugmentConfig(directed=()).directed_classes(names) == frozenset()


@given(height=st.integers(1, 60), width=st.integers(1, 60), seed=st.integers(0, 99))
def test_crops_lie_in_the_picture(height, width, seed):
    box = draw_crop(height, width, generator(seed), area=(0.08, 1.0), aspect=(0.5, 2.0))
    assert 0 <= box.top <= box.top + box.height <= height
    assert 0 <= box.left <= box.left + box.width <= width
    assert box.height >= 1 <= box.width


def test_crops_spread_over_areas_shapes_and_places():
    draws = generator(0)
    boxes = [draw_crop(200, 300, draws, area=(0.08, 1.0), aspect=(0.5, 2.0)) for _ in range(2000)]
    areas = np.array([box.height * box.width for box in boxes]) / 60000
    ratios = np.array([box.width / box.height for box in boxes])
    assert areas.min() >= 0.075
    assert areas.min() < 0.09
    assert areas.max() > 0.9
    assert 0.3 < np.median(areas) < 0.5  # large ones of long shapes do not fit
    assert ratios.min() >= 0.49
    assert ratios.max() <= 2.05
    assert (ratios < 0.55).any()
    assert (ratios > 1.9).any()
    assert {0} < {box.top for box in boxes}
    assert any(box.top + box.height == 200 for box in boxes)
    assert any(box.left + box.width == 300 for box in boxes)


def test_where_no_crop_fits_it_is_the_middle():
    draws = generator(0)
    boxes = {draw_crop(10, 100, draws, area=(1.0, 1.0), aspect=(0.5, 2.0)) for _ in range(20)}
    assert boxes == {Box(top=0, left=40, height=10, width=20)}


@pytest.mark.parametrize("box", [Box(top=2, left=3, height=9, width=14), Box(top=0, left=0, height=21, width=30)])
@pytest.mark.parametrize("resolution", [5, 16, 40])
def test_crops_are_scaled_as_pillow_scales(box, resolution):
    found = resized_crop(pictures(), box, resolution=resolution)
    for frame_HWC, source_HWC in zip(found, pictures(), strict=True):
        picture = Image.fromarray(source_HWC[box.top : box.top + box.height, box.left : box.left + box.width])
        wanted = np.asarray(picture.resize((resolution, resolution), Image.Resampling.BILINEAR))
        assert np.abs(frame_HWC.astype(int) - wanted).max() <= 1


def test_a_crop_of_the_size_of_the_clip_is_not_touched():
    box = Box(top=2, left=3, height=16, width=16)
    np.testing.assert_array_equal(resized_crop(pictures(), box, resolution=16), pictures()[:, 2:18, 3:19])


@pytest.mark.parametrize(
    ("rate_fps", "stride", "wanted"),
    [
        (5.0, 1, {4 / 5, 1.0, 6 / 5}),
        (12.0, 1, {1 / 2, 1.0, 3 / 2}),
        (25.0, 1, {1.0, 2.0}),
        (60.0, 0, {1.0}),
        (12.0, 5, {step / 2 for step in range(1, 8)}),
    ],
)
def test_the_time_between_frames_varies_by_whole_frames_of_25_both_ends_included(rate_fps, stride, wanted):
    augmenter = Augmenter(config=AugmentConfig(random_stride=stride), directed=frozenset())
    places = [augmenter.stretched(PLACE, generator(seed), rate_fps=rate_fps) for seed in range(200)]
    assert {place.stretch for place in places} == wanted
    assert all(dataclasses.replace(place, stretch=1.0) == PLACE for place in places)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("crop_area", (0.5, 0.2), r"crop_area must be two shares in \(0, 1\], ascending, but got \(0.5, 0.2\)"),
        ("crop_area", (0.0, 0.2), "crop_area must be two shares"),
        ("crop_area", (0.5, 1.2), "crop_area must be two shares"),
        ("crop_aspect", (0.0, 2.0), "crop_aspect must be two positive numbers, ascending"),
        ("policy", "trivial", "policy must be one of none, randaugment, autoaugment, but got 'trivial'"),
        ("magnitude", 11.0, r"augment.magnitude in \[0, 10\], but got .*magnitude=11.0"),
        ("num_operations", 0, "num_operations must be at least 1"),
        ("random_stride", -1, "random_stride at least 0"),
        ("mixup", -0.1, "augment.mixup and augment.cutmix must be at least 0"),
        ("cutmix", float("nan"), "augment.mixup and augment.cutmix must be at least 0"),
    ],
)
def test_what_a_configuration_must_hold(name, value, message):
    with pytest.raises(UsageError, match=message):
        AugmentConfig(**{name: value})
