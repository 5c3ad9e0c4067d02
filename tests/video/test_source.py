import os
from pathlib import Path

import pytest

from search_spaces.errors import UsageError, VideoError
from video.container import open_source
from video.source import SCHEMES, LiveConfig, Source, file_source, find_source


@pytest.mark.parametrize(
    ("name", "config", "source"),
    [
        ("a b.mp4", LiveConfig(), Source(address="a b.mp4")),
        ("/dev/video0", LiveConfig(), Source(address="/dev/video0", format="v4l2", live=True)),
        ("camera:/dev/v4l/by-id/x", LiveConfig(), Source(address="/dev/v4l/by-id/x", format="v4l2", live=True)),
        (
            "camera:/dev/video2",
            LiveConfig(size="640x480", rate_fps=29.97, pixels="mjpeg", timeout_s=3.0),
            Source(
                address="/dev/video2",
                format="v4l2",
                options={"video_size": "640x480", "input_format": "mjpeg", "framerate": "29.97"},
                live=True,
                timeout_s=3.0,
            ),
        ),
        (
            "rtsp://cam/live",
            LiveConfig(),
            Source(address="rtsp://cam/live", protocols=SCHEMES["rtsp"], live=True),
        ),
        (
            "rtsp://cam/live",
            LiveConfig(transport="tcp", timeout_s=2.0),
            Source(
                address="rtsp://cam/live",
                protocols=SCHEMES["rtsp"],
                options={"rtsp_transport": "tcp"},
                live=True,
                timeout_s=2.0,
            ),
        ),
        (
            "http://cam/a.ts",
            LiveConfig(transport="tcp"),
            Source(address="http://cam/a.ts", protocols=SCHEMES["http"], live=True),
        ),
    ],
)
def test_names_of_sources(name, config, source):
    assert find_source(name, config) == source


def test_a_pipe_is_live_and_a_file_is_not(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    assert file_source(tmp_path / "pipe").live
    assert find_source(str(tmp_path / "pipe"), LiveConfig(timeout_s=2.0)).timeout_s == 2.0
    assert not file_source(tmp_path / "file").live
    assert not file_source(tmp_path / "none").live


def test_no_address_may_read_files():
    assert all(not {"file", "pipe", "data"} & set(protocols.split(",")) for protocols in SCHEMES.values())


@pytest.mark.parametrize("name", ["ftp://x/y.mp4", "file:///etc/passwd", "://"])
def test_other_schemes_are_refused(name):
    with pytest.raises(UsageError, match="a source must be a video file, a camera such as /dev/video0, or an address"):
        find_source(name, LiveConfig())


@pytest.mark.parametrize("name", ["a.mp4", "rtsp://cam/live"])
def test_settings_of_a_camera_are_for_cameras(name):
    with pytest.raises(UsageError, match="size, rate_fps and pixels must be left out where there is no camera, but"):
        find_source(name, LiveConfig(size="640x480"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", "640"),
        ("size", "0x480"),
        ("size", "640x480,pixel"),
        ("rate_fps", 0.0),
        ("rate_fps", float("nan")),
        ("timeout_s", 0.0),
        ("timeout_s", float("inf")),
    ],
)
def test_settings_outside_their_range(name, value):
    with pytest.raises(UsageError, match=f"{name} must be .*, but got"):
        LiveConfig(**{name: value})


def test_errors_name_the_source_and_keep_its_password():
    address = "rtsp://me:secret@cam:554/live?channel=1"
    error = find_source(address, LiveConfig()).error("must be there")
    assert str(error) == "rtsp://cam:554/live?channel=1: must be there"
    assert file_source(Path("a/b.mp4")).error("must be there").path == Path("a/b.mp4")


@pytest.mark.parametrize(
    ("device", "found"),
    [
        ("/dev/null", "OSError: Inappropriate ioctl for device"),
        ("/dev/video_none", "FileNotFoundError: No such file or directory"),
    ],
)
def test_what_is_no_camera_is_refused_by_the_driver(device, found):
    config = LiveConfig(size="640x480", rate_fps=30, pixels="mjpeg")
    with (
        pytest.raises(VideoError, match=f"{device}: must be a readable video, but got {found}"),
        open_source(find_source(f"camera:{device}", config)),
    ):
        pass


def test_a_server_that_is_not_there():
    with (
        pytest.raises(VideoError, match=r"^http://127\.0\.0\.1:9/x: must be a readable video, but got Connection"),
        open_source(find_source("http://me:secret@127.0.0.1:9/x", LiveConfig())),
    ):
        pass
