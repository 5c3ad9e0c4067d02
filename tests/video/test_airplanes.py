"""The rotating airplane: what its pictures show, and what they keep to themselves."""

import itertools
import math

import numpy as np
import pytest

from search_spaces.randomness import generator
from video import airplanes
from video.airplanes import AIRPLANE_CLASSES, render_airplane
from video.synthetic import CLASSES, render


def rendered(rotation, seed, *, size=32, num_frames=4):
    draw = generator(seed, "airplane")
    return render_airplane(rotation, draw, size=size, num_frames=num_frames, rate_fps=8).astype(np.int64)


def test_the_first_frame_is_the_same_whatever_the_class():
    for seed in range(5):
        first, second, third = (rendered(rotation, seed) for rotation in AIRPLANE_CLASSES)
        assert np.array_equal(first[0], second[0])
        assert np.array_equal(first[0], third[0])
        for one, two in itertools.combinations((first, second, third), 2):
            assert not np.array_equal(one[1], two[1])


def test_a_video_is_a_function_of_seed_class_and_number():
    for name in CLASSES["airplanes"]:
        video = render(name, 3, seed=1, size=32, num_frames=3)
        assert video.dtype == np.uint8
        assert video.shape == (3, 32, 32, 3)
        assert np.array_equal(video, render(name, 3, seed=1, size=32, num_frames=5)[:3])
        assert not np.array_equal(video, render(name, 4, seed=1, size=32, num_frames=3))
        assert not np.array_equal(video, render(name, 3, seed=2, size=32, num_frames=3))


def test_the_airplane_is_dark_on_white_and_within_the_picture():
    for rotation, seed in itertools.product(AIRPLANE_CLASSES, range(6)):
        video = rendered(rotation, seed, size=48, num_frames=8)
        border = np.concatenate([video[:, 0], video[:, -1], video[:, :, 0], video[:, :, -1]], axis=1)
        assert (border == 255).all()
        painted = (video < 250).any(axis=-1).mean(axis=(1, 2))
        assert painted.min() > 0.01
        assert painted.max() < 0.5


@pytest.mark.parametrize("rotation", AIRPLANE_CLASSES)
def test_rate_and_number_of_frames_sample_one_motion(rotation):
    often, seldom = (
        render_airplane(rotation, generator(0, "rate"), size=24, num_frames=num, rate_fps=rate)
        for num, rate in ((9, 16), (5, 8))
    )
    assert np.array_equal(often[::2], seldom)


def test_speeds_are_8_to_16_degrees_in_an_eighth_of_a_second_both_ways(monkeypatch):
    poses = []
    monkeypatch.setattr(
        airplanes, "_picture", lambda pose, *, size: (poses.append(pose), np.zeros((size, size, 3), np.uint8))[1]
    )
    turned = []
    for seed in range(60):
        poses.clear()
        render_airplane("yaw", generator(seed, "speed"), size=16, num_frames=3, rate_fps=8)
        turn = poses[0].T @ poses[1]
        assert np.allclose(turn @ turn, poses[0].T @ poses[2])
        assert np.allclose(turn[2], [0, 0, 1])
        turned.append(math.degrees(math.atan2(turn[1, 0], turn[0, 0])))
    assert 7.9 < min(map(abs, turned)) < 9.0
    assert 15.0 < max(map(abs, turned)) < 16.1
    assert 15 < sum(angle > 0 for angle in turned) < 45


def test_rotations_turn_the_axes_they_name():
    nose, wing, up = np.eye(3)
    for name, still in (("roll", nose), ("pitch", wing), ("yaw", up)):
        turn = airplanes._about(airplanes.AXES[name], 0.3)
        assert np.allclose(turn @ still, still)
        assert np.allclose(turn @ turn.T, np.eye(3))
    assert np.allclose(airplanes._about(airplanes.AXES["yaw"], math.pi / 2) @ nose, wing)


def test_a_nearer_face_covers_a_farther_one_and_pixels_count_by_their_centre():
    picture = np.ones((4, 4, 3))
    airplanes._fill(picture, np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]]), np.zeros(3))
    painted = picture[..., 0] == 0
    wanted = np.add.outer(np.arange(4), np.arange(4)) + 1 <= 4
    assert np.array_equal(painted, wanted)
    from_above = airplanes._picture(np.eye(3), size=64).astype(np.int64)
    assert np.array_equal(from_above < 250, from_above[::-1] < 250)  # left and right wing
    from_below = airplanes._picture(airplanes._about(0, math.pi), size=64).astype(np.int64)
    assert (from_above[30:34, 36] != from_above[22, 36]).any()  # the fuselage lies over the wings
    assert not np.array_equal(from_above[26:38], from_below[26:38])  # the fin is not seen from below


def test_the_airplane_tells_nose_from_tail_and_top_from_bottom():
    low, high = airplanes._VERTICES.min(axis=0), airplanes._VERTICES.max(axis=0)
    assert np.allclose(low[1], -high[1])
    assert high[2] > 2 * -low[2]  # the fin
    wings = airplanes._VERTICES[np.abs(airplanes._VERTICES[:, 1]) > 0.9]
    assert wings[:, 0].mean() > -0.3
