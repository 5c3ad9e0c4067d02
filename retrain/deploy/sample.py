"""Classes of a video or a camera by a deployed network: needs onnxruntime, numpy and av alone.

    python net_sample.py some.mp4
    python net_sample.py /dev/video0 --top 3

`movinas deploy` puts this file beside the network and its JSON, which it goes by. It is yours to change.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnxruntime
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

EARLY_S = 1e-3
"""A frame counts as on display from this long before its time stamp, which containers round."""
Pictures = Callable[[int], np.ndarray]
"""The picture of the frame at hand, (H, W, 3) uint8 red, green, blue, its shorter side scaled to so many pixels."""


class Network:
    """One file, and what it remembers.

    Args:
        about: Its entry in the JSON's list of members.
        folder: Of the file.
        mode: `stream` takes frame after frame, `clip` so many frames at once.
    """

    def __init__(self, about: dict[str, Any], folder: Path, mode: str) -> None:
        self.about, self.mode = about, mode
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            str(folder / about["file"]), options, providers=["CPUExecutionProvider"]
        )
        self.state = {entry["input"]: np.zeros(entry["shape"], entry["dtype"]) for entry in about["state"]}
        self.clip: list[np.ndarray] = []
        self.num_ticks = 0
        self.logits: np.ndarray | None = None

    def see(self, time_s: float, pictures: Pictures) -> bool:
        """Go on to the frame at this time, and tell whether there is a new answer in `logits`."""
        rate_fps = self.about["rate_fps"]
        num_begun = math.floor((time_s + EARLY_S) * rate_fps - self.about["offset_frames"]) + 1
        num_new = min(num_begun - self.num_ticks, max(1, round(rate_fps)))  # after a gap it stands for 1 s at most
        if num_new < 1:
            return False
        self.num_ticks = num_begun
        frame = self.cut(pictures(self.about["short_side"]))
        answers = [self.take(frame) for _ in range(num_new)]
        return any(answers)

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """The centre of a picture as the network wants it, (1, 3, R, R), values in [0, 1]."""
        size = self.about["resolution"]
        top, left = ((side - size + 1) // 2 for side in picture.shape[:2])
        square = picture[top : top + size, left : left + size]
        return np.ascontiguousarray(square.transpose(2, 0, 1)[None], dtype=np.float32) * np.float32(1 / 255)

    def take(self, frame: np.ndarray) -> bool:
        """Step by one frame, or wait until a clip is full."""
        x = frame
        if self.mode == "clip":
            self.clip.append(frame)
            if len(self.clip) < self.about["num_frames"]:
                return False
            x = np.concatenate(self.clip)
            x = x if len(self.about["input"]["shape"]) == 4 else x.transpose(1, 0, 2, 3)[None]
            self.clip = []
        names = [self.about["output"]["name"], *(entry["output"] for entry in self.about["state"])]
        logits, *state = self.session.run(names, {self.about["input"]["name"]: x, **self.state})
        self.state = dict(zip(self.state, state, strict=True))
        self.logits = logits[0]
        return True


def frames(source: str) -> Iterator[tuple[float, Pictures]]:
    """Every frame of a video file or camera: seconds since the first, and its picture."""
    scaler = VideoReformatter()

    def pictures(frame: VideoFrame) -> Pictures:
        def picture(short_side: int) -> np.ndarray:
            short, long = sorted((frame.height, frame.width))
            scaled = (2 * long * short_side + short) // (2 * short)
            size = (scaled, short_side) if frame.height > frame.width else (short_side, scaled)
            image = scaler.reformat(frame, height=size[0], width=size[1], format="rgb24").to_ndarray()
            return np.rot90(image, round(frame.rotation / 90) % 4)

        return picture

    with av.open(source, format="v4l2" if source.startswith("/dev/") else None) as container:
        stream = container.streams.video[0]
        first_s, last_s = None, -1.0
        for frame in container.decode(stream):
            time_s = frame.time if frame.time is not None else last_s + 1 / float(stream.average_rate or 25)
            first_s = time_s if first_s is None else first_s
            last_s = time_s
            yield time_s - first_s, pictures(frame)


def likeliest(logits: np.ndarray, part: dict[str, Any], card: dict[str, Any], top: int) -> str:
    """The classes of a part of the outputs, and how likely they are."""
    own = logits[part["start"] : part["stop"]]
    if card["scores"] == "softmax":
        chances = np.exp(own - own.max())
        chances /= chances.sum()
    else:
        chances = 1 / (1 + np.exp(-own))
    best = np.argsort(-chances, kind="stable")[:top]
    return ", ".join(f"{card['class_names'][part['start'] + k]} {chances[k]:.4f}" for k in best)


def main() -> int:
    """A line for every new answer: seconds, then the likeliest classes."""
    here = Path(__file__).resolve()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", help="video file, or a camera such as /dev/video0")
    parser.add_argument("--card", type=Path, default=here.with_name(here.stem.removesuffix("_sample") + ".json"))
    parser.add_argument("--top", type=int, default=1, help="how many classes to name")
    options = parser.parse_args()
    card = json.loads(options.card.read_text("utf-8"))
    networks = [Network(about, options.card.parent, card["mode"]) for about in card["members"]]
    num_answers = 0
    try:
        for time_s, pictures in frames(options.source):
            new = [network.see(time_s, pictures) for network in networks]
            if not any(new):
                continue
            answers = [network.logits for network in networks if network.logits is not None]
            if len(answers) < len(networks):
                continue
            if card["mode"] == "clip":  # of an ensemble all answer anew
                for network in networks:
                    network.logits = None
            num_answers += 1
            logits = np.mean(np.asarray(answers, dtype=np.float64), axis=0)
            texts = [likeliest(logits, part, card, options.top) for part in card["parts"]]
            print(f"{time_s:9.3f} s  {'; '.join(texts)}", flush=True)
    except (av.FFmpegError, IndexError) as error:
        print(f"{options.source}: must be a video that can be read, but got {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    if not num_answers:
        print(f"{options.source}: must be as long as a clip of the network, but ended before", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
