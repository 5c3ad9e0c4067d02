import shutil
from pathlib import Path

import numpy as np
import pytest
from encoded_videos import RECIPES, Recipe, frame_numbers, packet_position, set_rotation, write_recipe
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.errors import UsageError, VideoError
from search_spaces.randomness import generator
from video.decode import VideoInfo, decode_all, decode_frames, picture_size, probe
from video.frames import frames_on_display

FAST_START = Recipe(options={"g": "6", "bf": "0"}, container_options={"movflags": "faststart"}, num_frames=28)


@pytest.mark.parametrize("name", RECIPES)
def test_a_seek_gives_the_pixels_of_decoding_from_the_start(recipe_file, name):
    path = recipe_file(name)
    whole = decode_all(path, short_side=24)
    assert frame_numbers(whole.frames) == list(range(24))
    draw = generator(0, "seek", name)
    for first_s in (0.0, 0.2, 0.38, 0.55, 0.81, 0.95):
        times_s = np.sort(first_s + draw.uniform(0.0, 0.4, size=5))
        got = decode_frames(path, times_s, short_side=24)
        np.testing.assert_array_equal(got, whole.at(times_s))
        assert frame_numbers(got) == frames_on_display(RECIPES[name].times_s, times_s).tolist()


@pytest.mark.parametrize("name", ["mp4", "mp4-b-frames", "mp4-uneven", "mkv-uneven", "avi", "ts-b-frames"])
def test_a_segment_shows_only_what_lies_in_it(recipe_file, name):
    path, shown_s = recipe_file(name), RECIPES[name].times_s
    for start_s, end_s in ((0.2, 0.6), (0.1, 0.11), (0.5, None), (0.0, 0.3)):
        whole = decode_all(path, short_side=24, start_s=start_s, end_s=end_s)
        inside = [
            number
            for number, begin_s in enumerate(shown_s)
            if number >= frames_on_display(shown_s, np.array([start_s]))[0] and begin_s < (end_s or 9.9)
        ]
        assert frame_numbers(whole.frames) == inside
        if end_s is not None:
            assert whole.duration_s == pytest.approx(end_s - start_s)
        times_s = np.array([-1.0, 0.0, 0.05, 0.13, 0.2, 0.7, 5.0])
        got = decode_frames(path, times_s, short_side=24, start_s=start_s, end_s=end_s)
        np.testing.assert_array_equal(got, whole.at(times_s))
        assert frame_numbers(got)[0] == inside[0]
        assert frame_numbers(got)[-1] == inside[-1]


def test_times_may_repeat_and_come_in_any_order(recipe_file):
    got = decode_frames(recipe_file("mp4"), np.array([0.5, 0.04, 0.5, 9.0, -3.0]), short_side=24)
    assert frame_numbers(got) == [12, 1, 12, 23, 0]
    assert got.dtype == np.uint8
    assert got.shape == (5, 24, 32, 3)


def test_the_same_bytes_every_time(recipe_file):
    times_s = np.array([0.1, 0.4])
    first, second = (decode_frames(recipe_file("mp4-b-frames"), times_s, short_side=30) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_probe_reads_the_header(recipe_file):
    expected = VideoInfo(duration_s=0.96, rate_fps=25.0, width=64, height=48, rotation_deg=0, num_frames=24)
    assert probe(recipe_file("mp4")) == expected
    assert probe(recipe_file("mkv")).num_frames is None
    assert (probe(recipe_file("mkv-odd")).width, probe(recipe_file("mkv-odd")).height) == (49, 65)


@pytest.mark.parametrize(("clockwise_deg", "corner"), [(90, "top right"), (180, "bottom right"), (270, "bottom left")])
def test_rotation_is_applied(tmp_path, clockwise_deg, corner):
    path = write_recipe(tmp_path / "turned.mp4", RECIPES["mp4"])
    set_rotation(path, clockwise_deg=clockwise_deg)
    info = probe(path)
    assert info.rotation_deg == 360 - clockwise_deg
    assert (info.width, info.height) == ((64, 48) if clockwise_deg == 180 else (48, 64))
    image = decode_frames(path, np.array([0.8]), short_side=48)[0]
    assert image.shape == (info.height, info.width, 3)
    corners = {
        "top left": image[:8, :8],
        "top right": image[:8, -8:],
        "bottom left": image[-8:, :8],
        "bottom right": image[-8:, -8:],
    }
    assert min(corners, key=lambda place: corners[place].mean()) == corner
    np.testing.assert_array_equal(decode_all(path, short_side=48).at(np.array([0.8]))[0], image)


@given(st.integers(8, 4000), st.integers(8, 4000), st.integers(8, 400))
def test_the_picture_keeps_its_aspect(height, width, short_side):
    new_height, new_width = picture_size(height, width, short_side=short_side)
    assert min(new_height, new_width) == short_side
    assert (new_height < new_width) <= (height < width)
    assert abs(max(new_height, new_width) - max(height, width) * short_side / min(height, width)) <= 0.5


def test_a_small_picture_is_enlarged(recipe_file):
    assert decode_frames(recipe_file("mp4-odd"), np.array([0.0]), short_side=98).shape == (1, 98, 130, 3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("more_bytes", [0, 9])
def test_a_truncated_file_gives_what_it_has_and_no_more(tmp_path, suffix, more_bytes):
    whole = write_recipe(tmp_path / f"whole{suffix}", FAST_START)
    early, late = np.array([0.0, 0.1, 0.3]), np.array([0.2, 0.5, 0.9])
    expected = decode_frames(whole, early, short_side=24)
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(whole.read_bytes()[: packet_position(whole, 14) + more_bytes])
    np.testing.assert_array_equal(decode_frames(path, early, short_side=24), expected)
    message = r"cut\.m.*: must (have frames up to .* s of the segment, as its header|be a readable video)"
    with pytest.raises(VideoError, match=message):
        decode_frames(path, late, short_side=24)
    with pytest.raises(VideoError, match=message):
        decode_all(path, short_side=24)


def test_a_file_that_ends_early_says_where(tmp_path):
    path = write_recipe(tmp_path / "short.mp4", FAST_START)
    path.write_bytes(path.read_bytes()[: packet_position(path, 14)])
    message = r"short\.mp4: must have frames up to 0\.950 s of .* header promises, but got .* at 0\.520 s"
    with pytest.raises(VideoError, match=message):
        decode_frames(path, np.array([0.0, 0.95]), short_side=24)


def test_a_header_may_promise_two_frames_too_many(tmp_path):
    path = write_recipe(tmp_path / "short.mp4", FAST_START)
    path.write_bytes(path.read_bytes()[: packet_position(path, 26)])
    assert frame_numbers(decode_frames(path, np.array([0.9, 1.11]), short_side=24)) == [22, 25]
    assert len(decode_all(path, short_side=24).frames) == 26


@pytest.mark.parametrize("name", ["mp4", "mkv-b-frames", "avi", "ts-b-frames", "webm"])
def test_damage_gives_frames_of_the_right_shape_or_our_error(tmp_path, recipe_file, name):
    data = recipe_file(name).read_bytes()
    path = tmp_path / recipe_file(name).name
    outcomes = set()
    for case in range(25):
        draw = generator(case, "damage", name)
        damaged = np.frombuffer(data, dtype=np.uint8).copy()
        places = draw.integers(0, len(damaged), size=int(draw.integers(1, 60)))
        damaged[places] = draw.integers(0, 256, size=len(places))
        path.write_bytes(damaged[: int(draw.integers(len(data) // 2, len(data) + 1))])
        try:
            shape = decode_frames(path, np.array([0.0, 0.4, 0.9]), short_side=24).shape
        except VideoError as error:
            outcomes.add(f"error in {error.path}")
        else:
            assert shape[0] == 3
            assert min(shape[1:3]) == 24
            outcomes.add("frames")
    assert f"error in {path}" in outcomes
    assert outcomes <= {f"error in {path}", "frames"}


def test_a_file_without_frames_is_refused(tmp_path):
    path = write_recipe(tmp_path / "none.mkv", Recipe(suffix=".mkv", num_frames=12, options={"g": "1"}))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"\x1f\x43\xb6\x75")])
    for read in (probe, lambda path: decode_all(path, short_side=8)):
        with pytest.raises(VideoError, match=r"none\.mkv: .*but got (0|InvalidDataError|.*EOF)"):
            read(path)


def test_a_segment_must_lie_in_the_video(recipe_file):
    path = recipe_file("mp4")
    message = r"mp4\.mp4: a segment must start within the video's 0\.960 s and end later, but got start_s=3\.0, end_s="
    with pytest.raises(VideoError, match=message + "None"):
        decode_frames(path, np.array([0.0]), short_side=24, start_s=3.0)
    with pytest.raises(VideoError, match=message + r"9\.0"):
        decode_all(path, short_side=24, start_s=3.0, end_s=9.0)


def test_a_strip_is_no_picture(tmp_path):
    path = write_recipe(tmp_path / "strip.mkv", Recipe(suffix=".mkv", width=1024, height=16, num_frames=2))
    with pytest.raises(VideoError, match=r"strip\.mkv: a side must be at most 32 times the other, but got 1024 x 16"):
        decode_all(path, short_side=16)


def test_times_must_be_numbers(recipe_file):
    for times_s in (np.array([]), np.array([0.1, np.nan])):
        with pytest.raises(UsageError, match="times_s must hold finite numbers, at least one, but got"):
            decode_frames(recipe_file("mp4"), times_s, short_side=24)


def test_real_clips(real_clips, tmp_path):
    for clip in real_clips:
        path = Path(shutil.copy(clip, tmp_path))
        info, whole = probe(path), decode_all(path, short_side=40)
        assert info.duration_s == pytest.approx(len(whole.frames) / info.rate_fps, abs=2 / info.rate_fps)
        for first_s in np.linspace(0.0, info.duration_s, 5):
            times_s = first_s + np.arange(6) / 12
            np.testing.assert_array_equal(decode_frames(path, times_s, short_side=40), whole.at(times_s))
