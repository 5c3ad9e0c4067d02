import itertools
import socket
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest
from encoded_videos import RECIPES, Recipe, frame_numbers, packet_position, write_recipe
from live_sources import pipe, server

from search_spaces.errors import UsageError, VideoError
from search_spaces.randomness import generator
from search_spaces.spec import ClipGeometry
from video.clips import SampleKey, View
from video.frame_stream import Look, stream_frames
from video.manifest import VideoItem
from video.reader import ClipReader
from video.source import LiveConfig, file_source, find_source

LIVE = LiveConfig(timeout_s=5.0)
FAST_START = Recipe(options={"g": "6", "bf": "0"}, container_options={"movflags": "faststart"}, num_frames=28)


def frames_of(source, *, rate_fps=25.0, short_side=24, resolution=20):
    return list(stream_frames(source, Look(rate_fps=rate_fps, short_side=short_side, resolution=resolution)))


def numbers(frames):
    return frame_numbers(np.stack([frame.frame_HWC for frame in frames]))


def live(name):
    return find_source(str(name), LIVE)


def halves(path):
    data = Path(path).read_bytes()
    return data[: len(data) // 2], data[len(data) // 2 :]


def wait_until_no_thread_reads():
    deadline = time.monotonic() + 5.0
    while any(thread.name == "frames" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def first_at_or_after(times_s, rate_fps):
    """The rule in other words: for each tick, the first frame that is not earlier, as long as there is one."""
    found = []
    for tick in itertools.count():
        later = [number for number, time_s in enumerate(times_s) if time_s >= tick / rate_fps - 1e-3]
        if not later:
            return found
        found.append(later[0])


@pytest.mark.parametrize("rate_fps", [25.0, 12.5, 8.0, 30.0, 60.0, 0.5])
@pytest.mark.parametrize("name", ["mp4", "mp4-b-frames", "mkv-uneven", "avi-b-frames", "ts-open-gop", "raw-h264"])
def test_every_tick_has_the_first_frame_at_or_after_it(recipe_file, name, rate_fps):
    frames = frames_of(file_source(recipe_file(name)), rate_fps=rate_fps)
    wanted = first_at_or_after(RECIPES[name].times_s, rate_fps)
    assert numbers(frames) == wanted
    assert [frame.time_s for frame in frames] == pytest.approx(RECIPES[name].times_s[wanted], abs=1e-3)


def test_a_long_gap_is_bridged_by_a_second(tmp_path):
    path = write_recipe(tmp_path / "gap.mkv", Recipe(suffix=".mkv", num_frames=4, ticks=[0, 10, 1010, 1020]))
    frames = frames_of(file_source(path), rate_fps=10.0)
    assert numbers(frames) == [0, 1, *[2] * 10, 3]


def test_frames_are_those_of_an_evaluation(recipe_file):
    """Where ticks and frames coincide, the clip that a test cuts out of a video, bit for bit."""
    for name in ("mp4-b-frames", "mkv-odd"):
        item = VideoItem(id="x", path=recipe_file(name), labels=(0,), split="test")
        geometry = ClipGeometry(num_frames=24, resolution=20, rate_fps=25.0)
        clip = ClipReader([item], geometry=geometry, seed=0, short_side=24, training=False).read(
            SampleKey(index=0, view=View())
        )
        streamed = np.stack([frame.frame_HWC for frame in frames_of(file_source(item.path))])
        np.testing.assert_array_equal(streamed, clip.frames_THWC)


@pytest.mark.parametrize("name", ["ts-b-frames", "mpg", "flv", "mkv"])
def test_a_pipe_gives_what_the_file_gives(tmp_path, recipe_file, name):
    path = recipe_file(name)
    wanted = frames_of(file_source(path), rate_fps=8.0)
    with pipe(tmp_path / "pipe", halves(path), pause_s=0.1) as address:
        frames = frames_of(live(address), rate_fps=8.0)
    assert [frame.time_s for frame in frames] == pytest.approx([frame.time_s for frame in wanted], abs=1e-3)
    np.testing.assert_array_equal([frame.frame_HWC for frame in frames], [frame.frame_HWC for frame in wanted])
    wait_until_no_thread_reads()


def test_a_server_gives_what_the_file_gives(recipe_file):
    path = recipe_file("ts-b-frames")
    with server(halves(path), kind="video/mp2t", pause_s=0.1) as address:
        frames = frames_of(live(address))
    assert numbers(frames) == list(range(24))


def test_a_stream_may_be_joined_before_a_key_frame(recipe_file):
    data = recipe_file("ts-b-frames").read_bytes()
    start = packet_position(recipe_file("ts-b-frames"), 3)
    with server([data[start:]], kind="video/mp2t") as address:
        frames = frames_of(live(address))
    assert frames[0].time_s == 0.0
    assert numbers(frames)[-18:] == list(range(6, 24))


def test_pictures_without_times_are_timed_as_they_arrive(tmp_path):
    path = write_recipe(tmp_path / "x.mjpeg", Recipe(suffix=".mjpeg", codec="mjpeg", pix_fmt="yuvj420p"))
    with av.open(str(path)) as container:
        pictures = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    parts = [
        b"--x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(picture), picture)
        for picture in pictures
    ]
    with server(parts, kind="multipart/x-mixed-replace; boundary=x", pause_s=0.05) as address:
        start_s = time.monotonic()
        frames = frames_of(live(address), rate_fps=1000.0)
        taken_s = time.monotonic() - start_s
    assert 0.5 < frames[-1].time_s <= taken_s
    assert numbers(frames)[-1] == 23


def test_a_clock_that_is_set_back_goes_on(tmp_path):
    first = write_recipe(tmp_path / "first.ts", Recipe(suffix=".ts", options={"bf": "0"}, num_frames=28))
    second = write_recipe(tmp_path / "second.ts", Recipe(suffix=".ts", options={"bf": "0"}, num_frames=6))
    with pipe(tmp_path / "pipe", [first.read_bytes(), second.read_bytes()]) as address:
        frames = frames_of(live(address))
    assert numbers(frames) == [*range(28), *range(6)]
    assert [frame.time_s for frame in frames] == pytest.approx(np.arange(34) / 25, abs=1e-3)


def test_damage_ends_a_file_but_not_a_live_source(tmp_path, recipe_file):
    data = bytearray(recipe_file("ts-b-frames").read_bytes())
    draw = generator(1, "damage")
    for place in draw.integers(len(data) // 3, len(data) * 2 // 3, size=200):
        data[place] = draw.integers(256)
    (tmp_path / "file.ts").write_bytes(data)
    with pytest.raises(VideoError, match=r"file\.ts: must be a readable video, but got InvalidDataError"):
        frames_of(file_source(tmp_path / "file.ts"))
    with pipe(tmp_path / "pipe", [bytes(data)]) as address:
        frames = frames_of(live(address))
    assert numbers(frames)[-1] == 23
    assert frames[-1].time_s == pytest.approx(23 / 25)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_video_that_breaks_off_gives_what_it_has_and_then_an_error(tmp_path, suffix):
    whole = write_recipe(tmp_path / f"whole{suffix}", FAST_START)
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(whole.read_bytes()[: packet_position(whole, 14)])
    stream = stream_frames(file_source(path), Look(rate_fps=25.0, short_side=24, resolution=20))
    assert numbers(itertools.islice(stream, 14)) == list(range(14))
    with pytest.raises(VideoError, match=r"cut\.m.*: must (have frames up to .* header promises|be a readable video)"):
        next(stream)


def test_what_is_no_video_is_named(tmp_path):
    (tmp_path / "x.mp4").write_text("no video")
    with pytest.raises(VideoError, match=r"x\.mp4: must be a readable video, but got InvalidDataError"):
        frames_of(file_source(tmp_path / "x.mp4"))
    with (
        pipe(tmp_path / "pipe", [b"no video" * 100]) as address,
        pytest.raises(VideoError, match=r"pipe: must be a readable video, but got InvalidDataError"),
    ):
        frames_of(live(address))
    with (
        server([b"no video"], kind="text/plain") as address,
        pytest.raises(VideoError, match="/video: must be a readable video, but got InvalidDataError"),
    ):
        frames_of(live(address))
    wait_until_no_thread_reads()


def test_a_play_list_from_the_network_reads_no_files(tmp_path, recipe_file):
    entry = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{recipe_file('ts-b-frames')}\n#EXT-X-ENDLIST\n"
    with (
        server([entry.encode()], kind="application/vnd.apple.mpegurl") as address,
        pytest.raises(VideoError, match="must be a readable video, but got"),
    ):
        frames_of(live(address))


def test_a_source_that_says_nothing_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = find_source(f"http://127.0.0.1:{silent.getsockname()[1]}/x", LiveConfig(timeout_s=0.2))
        with pytest.raises(VideoError, match=r"/x: must give a frame at least every 0\.2 s, but gave none"):
            frames_of(source)
        silent.accept()[0].close()
    wait_until_no_thread_reads()


def test_who_stops_early_ends_the_reading(tmp_path, recipe_file):
    with pipe(tmp_path / "pipe", halves(recipe_file("ts-b-frames"))) as address:
        frames = stream_frames(live(address), Look(rate_fps=25.0, short_side=24, resolution=20))
        first = next(frames)
        frames.close()
        wait_until_no_thread_reads()
    assert numbers([first]) == [0]


def test_numbers_outside_their_range(recipe_file):
    for numbers_ in ({"rate_fps": 0.0}, {"resolution": 25}, {"resolution": 0}):
        with pytest.raises(
            UsageError,
            match=r"rate_fps must be above 0, resolution in \[1, short_side\] and offset_frames in .*, but got",
        ):
            frames_of(file_source(recipe_file("mp4")), **numbers_)


def test_two_looks_at_half_the_rate_alternate_as_one_at_the_full_rate(recipe_file):
    source = file_source(recipe_file("mkv-uneven"))
    whole = list(stream_frames(source, Look(rate_fps=20.0, short_side=24, resolution=20)))
    halves_ = [Look(rate_fps=10.0, short_side=24, resolution=20, offset_frames=offset) for offset in (0.0, 0.5)]
    both = list(stream_frames(source, *halves_))
    assert [frame.look for frame in both] == [number % 2 for number in range(len(whole))]
    assert [frame.time_s for frame in both] == [frame.time_s for frame in whole]
    np.testing.assert_array_equal([frame.frame_HWC for frame in both], [frame.frame_HWC for frame in whole])


def test_looks_of_other_rates_and_sizes_are_each_what_they_are_alone(recipe_file):
    source = file_source(recipe_file("mp4-b-frames"))
    looks = [Look(rate_fps=8.0, short_side=24, resolution=20), Look(rate_fps=12.5, short_side=30, resolution=16)]
    both = list(stream_frames(source, *looks))
    assert [frame.time_s for frame in both] == sorted(frame.time_s for frame in both)
    for number, look in enumerate(looks):
        alone, mine = list(stream_frames(source, look)), [frame for frame in both if frame.look == number]
        assert [frame.time_s for frame in mine] == [frame.time_s for frame in alone]
        np.testing.assert_array_equal([frame.frame_HWC for frame in mine], [frame.frame_HWC for frame in alone])
