"""What frames are read from: a video file, a named pipe, a camera, an address of the network."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from search_spaces.errors import UsageError, VideoError

CAMERA: Final = "camera:"
SCHEMES: Final[Mapping[str, str]] = {
    "http": "http,httpproxy,tcp,tls,crypto",
    "https": "https,httpproxy,tcp,tls,crypto",
    "rtsp": "rtsp,rtp,srtp,tcp,udp,tls,crypto",
    "rtmp": "rtmp,tcp",
    "tcp": "tcp",
    "udp": "udp",
}
"""Schemes of addresses, and what FFmpeg may use for each: what comes from outside must not make us read files."""


# no slots: the command line reads the defaults of nested configurations through vars()
@dataclass(frozen=True, kw_only=True)
class LiveConfig:
    """How a camera, or a stream of the network, is opened.

    Attributes:
        size: Width x height asked of a camera, such as 640x480; None takes what it offers.
        rate_fps: Frames per second asked of a camera; None takes what it offers.
        pixels: Pixel format or codec asked of a camera, such as mjpeg or yuyv422; None takes what it offers.
        transport: How an RTSP server sends; auto tries udp first.
        timeout_s: Seconds without a frame after which a source that is no file counts as broken.
    """

    size: str | None = None
    rate_fps: float | None = None
    pixels: str | None = None
    transport: Literal["auto", "tcp", "udp"] = "auto"
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        if self.size is not None and not re.fullmatch(r"[1-9]\d{0,4}x[1-9]\d{0,4}", self.size):
            raise UsageError(f"size must be written as width x height, such as 640x480, but got {self.size!r}")
        if self.rate_fps is not None and not 0 < self.rate_fps <= 1000:
            raise UsageError(f"rate_fps must be above 0 and at most 1000, but got {self.rate_fps}")
        if not 0 < self.timeout_s <= 86400:
            raise UsageError(f"timeout_s must be above 0 and at most 86400, but got {self.timeout_s}")

    @property
    def camera_options(self) -> dict[str, str]:
        """What is asked of a camera, in the words of FFmpeg's v4l2."""
        options = {"video_size": self.size, "input_format": self.pixels}
        if self.rate_fps is not None:
            options["framerate"] = f"{self.rate_fps:g}"
        return {name: value for name, value in options.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is to be opened, and how.

    Attributes:
        address: Path or address, as FFmpeg takes it.
        protocols: What FFmpeg may read it, and whatever it refers to, with.
        format: Container or device of FFmpeg; None lets the content tell.
        options: Of the container or device.
        live: Whether frames come once, as they happen: nothing is promised, sought or read again.
        timeout_s: How long a live source may be silent.
    """

    address: str
    protocols: str = "file"
    format: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    live: bool = False
    timeout_s: float = 10.0

    def error(self, message: str) -> VideoError:
        """An error about this source, to be raised; it does not tell the password of an address."""
        if "://" not in self.address:
            return VideoError(message, path=self.address)
        parts = urlsplit(self.address)
        return VideoError(message, where=parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())


def file_source(path: Path) -> Source:
    """A video file, or a named pipe that one comes through."""
    return Source(address=str(path), live=path.is_fifo())


def find_source(name: str, config: LiveConfig) -> Source:
    """What a name stands for: `/dev/video0` or `camera:DEVICE`, `scheme://...`, else a file.

    Raises:
        UsageError: An unknown scheme, or settings of a camera for something else.
    """
    if name.startswith((CAMERA, "/dev/video")):
        device = name.removeprefix(CAMERA)
        return Source(
            address=device, format="v4l2", options=config.camera_options, live=True, timeout_s=config.timeout_s
        )
    if config.camera_options:
        raise UsageError(f"size, rate_fps and pixels must be left out where there is no camera, but got {name!r}")
    scheme, separator, _ = name.partition("://")
    if not separator:
        return replace(file_source(Path(name)), timeout_s=config.timeout_s)
    if scheme not in SCHEMES:
        raise UsageError(
            f"a source must be a video file, a camera such as /dev/video0, or an address of {', '.join(SCHEMES)}, "
            f"but got {name!r}"
        )
    transport = {} if scheme != "rtsp" or config.transport == "auto" else {"rtsp_transport": config.transport}
    return Source(address=name, protocols=SCHEMES[scheme], options=transport, live=True, timeout_s=config.timeout_s)
