import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.errors import VideoError
from video.frames import EARLY_S, Frames, frames_on_display

GRID = st.lists(st.integers(-100, 1000), min_size=1, max_size=30, unique=True).map(sorted)
MOMENTS = st.lists(st.integers(-200, 1200), min_size=1, max_size=20)


def seconds(hundredths: list[int]) -> np.ndarray:
    return np.array(hundredths, dtype=np.float64) / 100


def frames(times_s: list[float], *, duration_s: float = 1.0) -> Frames:
    pixels = np.arange(len(times_s), dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), dtype=np.uint8)
    return Frames(times_s=np.array(times_s, dtype=np.float64), frames=pixels, duration_s=duration_s)


@given(GRID, MOMENTS)
def test_the_last_frame_that_has_begun_is_on_display_and_the_first_before_it(grid, moments):
    got = frames_on_display(seconds(grid), seconds(moments))
    expected = [max((i for i, begin in enumerate(grid) if begin <= moment), default=0) for moment in moments]
    assert got.tolist() == expected


def test_a_timestamp_rounded_up_to_a_millisecond_still_shows_its_frame():
    thirtieths = np.arange(4) / 30
    rounded = np.array([0.0, 0.034, 0.067, 0.1])
    assert frames_on_display(rounded, thirtieths).tolist() == [0, 1, 2, 3]
    assert frames_on_display(np.array([0.0, 0.1]), np.array([0.1 - 2 * EARLY_S])).tolist() == [0]


def test_at_copies_the_frames_in_the_order_asked_for():
    value = frames([0.0, 0.5, 0.9])
    picked = value.at(np.array([2.0, 0.5, 0.0, 0.5]))
    assert picked[:, 0, 0, 0].tolist() == [2, 1, 0, 1]
    picked[:] = 9
    assert value.frames[2, 0, 0, 0] == 2
    assert value.num_bytes == 3 * 12


def test_frames_check_themselves():
    with pytest.raises(
        VideoError, match=r"frames must be \[N, H, W, 3\] with N >= 1 and one time each, but got frames"
    ):
        Frames(times_s=np.zeros(2), frames=np.zeros((3, 2, 2, 3), np.uint8), duration_s=1.0)
    with pytest.raises(VideoError, match="frames must be"):
        Frames(times_s=np.zeros(0), frames=np.zeros((0, 2, 2, 3), np.uint8), duration_s=1.0)
    with pytest.raises(VideoError, match=r"times must ascend in a segment longer than 0 s, but got duration_s=1\.0"):
        frames([0.0, 0.0])
    with pytest.raises(VideoError, match=r"longer than 0 s, but got duration_s=0\.0"):
        frames([0.0], duration_s=0.0)
