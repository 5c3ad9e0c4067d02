import contextlib
import socket
from pathlib import Path

import pytest
from encoded_videos import RECIPES, frame_numbers, write_sound

from search_spaces.errors import VideoError
from video.container import open_video, quarter_turns


@pytest.mark.parametrize("name", RECIPES)
def test_frames_come_in_order_with_the_times_they_were_written_with(recipe_file, name):
    with open_video(recipe_file(name)) as video:
        times_s, numbers = [], []
        for time_s, frame in video.frames_from(0.0):
            times_s.append(time_s)
            numbers += frame_numbers(video.picture(frame, height=24, width=32)[None])
    assert numbers == list(range(24))
    assert times_s == pytest.approx(RECIPES[name].times_s, abs=1e-9)


@pytest.mark.parametrize("name", RECIPES)
def test_a_run_starts_at_or_before_the_time_asked_for_and_may_be_asked_for_again(recipe_file, name):
    with open_video(recipe_file(name)) as video:
        for first_s in (0.9, 0.31, 0.0):
            times_s = [time_s for time_s, _ in video.frames_from(first_s)]
            assert times_s[0] <= first_s
            assert times_s[-1] == pytest.approx(RECIPES[name].times_s[-1])


def test_a_seek_skips_what_lies_before_the_key_frame(recipe_file):
    with open_video(recipe_file("mp4")) as video:
        assert next(video.frames_from(0.5))[0] == pytest.approx(0.4)


@pytest.mark.parametrize("name", RECIPES)
def test_headers_are_read_or_made_up_for(recipe_file, name):
    recipe = RECIPES[name]
    with open_video(recipe_file(name)) as video:
        assert video.stored_size == (recipe.height, recipe.width)
        assert video.rate_fps == pytest.approx(25.0 if recipe.ticks is None else 23 / 1.38, rel=0.5)
        assert video.duration_s == pytest.approx(recipe.times_s[-1] + 0.04, abs=0.1)
        assert 0.0 < video.slack_s < 0.7


def test_one_thread_decodes(recipe_file):
    with open_video(recipe_file("mp4")) as video:
        next(video.frames_from(0.0))
        context = video._stream.codec_context
        assert context.thread_count == 1
        assert context.thread_type.name == "NONE"


def test_a_frame_without_a_matrix_is_not_turned(recipe_file):
    with open_video(recipe_file("mp4")) as video:
        assert quarter_turns(next(video.frames_from(0.0))[1]) == 0


def test_files_that_are_no_videos_are_named(tmp_path):
    missing = tmp_path / "missing.mp4"
    with pytest.raises(VideoError, match=r"missing\.mp4: must be a readable video, but got FileNotFoundError: No such"):
        _open(missing)
    text = tmp_path / "text.mp4"
    text.write_text("these are not pixels\n" * 100)
    with pytest.raises(
        VideoError, match=r"text\.mp4: must be a readable video, but got InvalidDataError: Invalid data"
    ):
        _open(text)
    empty = tmp_path / "empty.mp4"
    empty.touch()
    with pytest.raises(VideoError, match=r"empty\.mp4: must be a readable video, but got InvalidDataError"):
        _open(empty)
    with pytest.raises(VideoError, match=f"{tmp_path.name}: must be a readable video, but got IsADirectoryError"):
        _open(tmp_path)
    with pytest.raises(VideoError, match=r"must have a video stream, but got 1 streams of other kinds"):
        _open(write_sound(tmp_path / "sound.mp4"))
    assert _error(text).path == text
    assert _error(text).__cause__ is not None


def test_a_play_list_cannot_make_us_read_from_the_network(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/video.ts"
        play_list = tmp_path / "list.m3u8"
        play_list.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}\n#EXT-X-ENDLIST\n")
        with pytest.raises(VideoError, match="must be a readable video, but got"):
            _open(play_list)
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize("error", [TypeError("rate is None"), ValueError("bad"), OSError("gone"), ZeroDivisionError()])
def test_errors_from_inside_become_ours(recipe_file, error):
    message = f"must be a readable video, but got {type(error).__name__}: "
    with pytest.raises(VideoError, match=message) as caught, open_video(recipe_file("mp4")):
        raise error
    assert caught.value.__cause__ is error


def test_the_file_is_closed_even_after_an_error(recipe_file):
    videos = []
    with contextlib.suppress(VideoError), open_video(recipe_file("mp4")) as video:
        videos.append(video)
        raise ValueError("inside")
    with pytest.raises(AssertionError):
        next(videos[0]._timed_frames())


def _open(path: Path) -> None:
    with open_video(path) as video:
        next(video.frames_from(0.0))


def _error(path: Path) -> VideoError:
    with pytest.raises(VideoError) as caught:
        _open(path)
    return caught.value
