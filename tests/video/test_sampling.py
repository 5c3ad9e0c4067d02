import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.errors import UsageError
from search_spaces.randomness import generator
from video.sampling import (
    CropBox,
    Place,
    View,
    clip_times,
    crop_at,
    crop_box,
    crop_clip,
    draw_place,
    span_times,
    views,
)

POSITIONS = st.floats(0.0, 1.0)
SECONDS = st.floats(0.01, 1e4)
RATES = st.floats(0.1, 240.0)


@given(SECONDS, st.integers(1, 120), RATES, POSITIONS)
def test_a_clip_is_evenly_spaced_and_lies_in_the_video_when_it_fits(duration_s, num_frames, rate_fps, position):
    times_s = clip_times(duration_s, num_frames=num_frames, rate_fps=rate_fps, position=position)
    assert times_s.dtype == np.float64
    assert times_s.shape == (num_frames,)
    assert times_s[0] >= 0.0
    assert times_s[-1] - times_s[0] == pytest.approx((num_frames - 1) / rate_fps, abs=1e-9)
    if num_frames / rate_fps <= duration_s:
        assert times_s[-1] + 1.0 / rate_fps <= duration_s * (1 + 1e-12) + 1e-9
    else:
        assert times_s[0] == 0.0


@given(SECONDS, st.integers(1, 120), RATES, POSITIONS, POSITIONS)
def test_a_later_position_never_starts_earlier(duration_s, num_frames, rate_fps, a, b):
    first, second = (
        clip_times(duration_s, num_frames=num_frames, rate_fps=rate_fps, position=position)[0]
        for position in sorted((a, b))
    )
    assert first <= second


def test_clip_times_by_hand():
    assert clip_times(2.0, num_frames=4, rate_fps=4.0, position=0.5).tolist() == [0.5, 0.75, 1.0, 1.25]
    assert clip_times(2.0, num_frames=4, rate_fps=4.0, position=1.0).tolist() == [1.0, 1.25, 1.5, 1.75]
    assert clip_times(0.3, num_frames=3, rate_fps=4.0, position=1.0).tolist() == [0.0, 0.25, 0.5]
    assert clip_times(2.0, num_frames=2, rate_fps=2.0, position=0.5, offset_frames=0.5).tolist() == [0.75, 1.25]


@given(SECONDS, st.integers(1, 60), RATES, POSITIONS)
def test_two_clips_at_half_the_rate_have_the_times_of_one_at_full_rate(duration_s, half, rate_fps, position):
    """To the bit: that is why an offset is counted in frames, and not in seconds."""
    whole = clip_times(duration_s, num_frames=2 * half, rate_fps=rate_fps, position=position)
    first, second = (
        clip_times(duration_s, num_frames=half, rate_fps=rate_fps / 2, position=position, offset_frames=offset_frames)
        for offset_frames in (0.0, 0.5)
    )
    np.testing.assert_array_equal(first, whole[0::2])
    np.testing.assert_array_equal(second, whole[1::2])


@given(SECONDS, st.integers(1, 120), RATES, POSITIONS, st.floats(0.0, 1.0, exclude_max=True))
def test_an_offset_shifts_a_clip_and_keeps_it_in_the_video(duration_s, num_frames, rate_fps, position, offset_frames):
    plain = clip_times(duration_s, num_frames=num_frames, rate_fps=rate_fps, position=position)
    shifted = clip_times(
        duration_s, num_frames=num_frames, rate_fps=rate_fps, position=position, offset_frames=offset_frames
    )
    np.testing.assert_allclose(shifted - plain, offset_frames / rate_fps, atol=1e-9)
    if num_frames / rate_fps <= duration_s:
        assert shifted[-1] <= duration_s * (1 + 1e-12) + 1e-9


@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_a_crop_lies_in_the_picture_and_its_ends_are_reached(height, width, data):
    size = data.draw(st.integers(1, min(height, width)))
    y, x = data.draw(POSITIONS), data.draw(POSITIONS)
    box = crop_box(height, width, size, position_y=y, position_x=x)
    assert 0 <= box.top <= height - size
    assert 0 <= box.left <= width - size
    assert crop_box(height, width, size, position_y=0.0, position_x=1.0) == CropBox(top=0, left=width - size, size=size)
    centre = crop_box(height, width, size, position_y=0.5, position_x=0.5)
    assert abs(2 * centre.top - (height - size)) <= 1
    assert abs(2 * centre.left - (width - size)) <= 1


def test_every_offset_is_equally_likely_in_training():
    draw = generator(0, "test")
    lefts = [crop_at(48, 52, 48, place=draw_place(draw)).left for _ in range(5000)]
    counts = np.bincount(lefts, minlength=5)
    assert len(counts) == 5
    assert np.abs(counts / 1000 - 1).max() < 0.15


def test_three_crops_lie_at_the_ends_and_the_centre_of_the_longer_side():
    wide = [crop_at(40, 60, 40, place=view.place) for view in views(1, 3)]
    assert [(box.top, box.left) for box in wide] == [(0, 0), (0, 10), (0, 20)]
    tall = [crop_at(60, 40, 30, place=view.place) for view in views(1, 3)]
    assert [(box.top, box.left) for box in tall] == [(0, 5), (15, 5), (30, 5)]


def test_views_spread_over_time():
    assert [view.place.time for view in views(1, 1)] == [0.5]
    assert [view.place.time for view in views(5, 1)] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert len(set(views(10, 3))) == 30
    assert View(offset_frames=0.25).place == Place(time=0.5, along=0.5, across=0.5, offset_frames=0.25)
    assert views(1, 1)[0] == View()


def test_training_places_are_a_function_of_the_generator():
    first, second = (draw_place(generator(3, "clip", 0, "a")) for _ in range(2))
    assert first == second
    assert draw_place(generator(3, "clip", 1, "a")) != first


def test_crop_clip_cuts_the_same_square_of_every_frame():
    frames = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    cut = crop_clip(frames, CropBox(top=1, left=2, size=3))
    assert cut.flags.c_contiguous
    np.testing.assert_array_equal(cut, frames[:, 1:4, 2:5])


@given(SECONDS, st.integers(1, 30), st.floats(0.5, 30.0))
def test_tiles_never_overlap_and_reach_both_ends(duration_s, num_frames, rate_fps):
    if duration_s * rate_fps > 2000:
        duration_s = 2000 / rate_fps
    times_s = span_times(duration_s, num_frames=num_frames, rate_fps=rate_fps, tiles=True)
    tiles = times_s.reshape(-1, num_frames)
    length_s = num_frames / rate_fps
    assert (np.diff(tiles[:, 0]) >= length_s * (1 - 1e-6)).all()
    assert len(tiles) == max(1, int(duration_s / length_s + 1e-6 / num_frames))
    assert tiles[:, 0] == pytest.approx(
        [clip_times(duration_s, num_frames=num_frames, rate_fps=rate_fps, position=0.5)[0]]
        if len(tiles) == 1
        else np.linspace(0.0, duration_s - length_s, len(tiles)),
        abs=1e-9,
    )


@given(st.floats(0.01, 100.0), RATES)
def test_a_whole_clip_has_every_frame_of_its_rate(duration_s, rate_fps):
    times_s = span_times(duration_s, num_frames=7, rate_fps=rate_fps)
    assert times_s == pytest.approx(np.arange(len(times_s)) / rate_fps)
    assert len(times_s) == 1 or times_s[-1] < duration_s
    assert times_s[-1] + 2 / rate_fps > duration_s


def test_two_whole_clips_at_half_the_rate_alternate():
    whole = span_times(2.0, num_frames=1, rate_fps=10.0)
    halves = [span_times(2.0, num_frames=1, rate_fps=5.0, offset_frames=offset) for offset in (0.0, 0.5)]
    assert np.stack(halves, axis=1).ravel() == pytest.approx(whole)


def test_numbers_outside_their_range_are_refused():
    with pytest.raises(UsageError, match="must have at most 65536 frames at 10 fps, but got 1000000"):
        span_times(1e5, num_frames=1, rate_fps=10.0)
    with pytest.raises(UsageError, match="a view of the whole video must have one position, but got num_positions=2"):
        View(num_positions=2, span="whole")
    with pytest.raises(
        UsageError, match=r"duration_s and rate_fps must be above 0 .* but got duration_s=0\.0, rate_fps"
    ):
        clip_times(0.0, num_frames=1, rate_fps=1.0, position=0.0)
    with pytest.raises(UsageError, match=r"position must be in \[0, 1\], but got position=1\.5"):
        clip_times(1.0, num_frames=1, rate_fps=1.0, position=1.5)
    with pytest.raises(UsageError, match="a crop must fit into the picture, but got size=5 in height=4, width=9"):
        crop_box(4, 9, 5, position_y=0.0, position_x=0.0)
    with pytest.raises(UsageError, match=r"position_x must be in \[0, 1\], but got position_x=-0\.1"):
        crop_box(4, 9, 3, position_y=0.0, position_x=-0.1)
    with pytest.raises(UsageError, match=r"along must be in \[0, 1\], but got along=2"):
        Place(time=0.0, along=2, across=0.0)
    for make in (View, lambda **offset: Place(time=0, along=0, across=0, **offset)):
        for offset_frames in (-0.1, 1.0, float("nan")):
            with pytest.raises(UsageError, match=r"offset_frames must be in \[0, 1\), but got offset_frames="):
                make(offset_frames=offset_frames)
    with pytest.raises(UsageError, match=r"offset_frames must be in \[0, 1\), but got offset_frames=1"):
        clip_times(1.0, num_frames=1, rate_fps=1.0, position=0.0, offset_frames=1)
    with pytest.raises(UsageError, match=r"num_crops must be in \[1, 1000\], but got num_crops=0"):
        views(1, 0)
    with pytest.raises(UsageError, match=r"position_index must be in \[0, 2\), the number of positions, but got"):
        View(position_index=2, num_positions=2)
