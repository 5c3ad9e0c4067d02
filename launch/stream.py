"""`movinas stream`: classes of a video, a camera or a network stream, frame by frame as they come."""

import contextlib
import itertools
import statistics
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

from launch import console
from launch.cli import INTERRUPTED
from launch.compute import Amp, set_up
from launch.trained import likeliest, load_trained, look_of, require_all_stream
from retrain.ensemble import Ensemble
from retrain.frame_by_frame import StreamAnswer, answers
from search_spaces.errors import UsageError
from video.frame_stream import stream_frames
from video.source import LiveConfig, find_source

POSITIONALS = ("run", "video")
NUM_TIMED: Final = 10_000
"""Mean and median are over so many of the last steps: a camera does not end, and memory does."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Classes of a video frame by frame, at the network's own frame rate; Ctrl-C ends it with exit code 130.

    Attributes:
        run: Run folder of a finished retraining, folder of a network, or an ensemble file that names its models, which
            take turns at the frames; every network must be one that streams.
        video: Video file or named pipe; camera, as /dev/video0 or camera:DEVICE; address, as rtsp://... or http://...
        top: How many classes to name, of each head.
        every: Print one frame of so many; all are looked at.
        max_frames: Stop after so many frames; None goes on to the end.
        reset_every: Forget everything after so many frames; None never does.
        live: Opening of cameras and network streams.
        device: auto, cpu, cuda, ...
        threads: Of torch; 0 takes all cores.
        workers: Not needed here: one process reads.
        amp: Autocast of the network.
        seed: Not needed here: a prediction draws nothing.
        json: Print one JSON document per line and frame.
    """

    run: Path
    video: str
    top: int = 5
    every: int = 1
    max_frames: int | None = None
    reset_every: int | None = None
    live: LiveConfig = field(default_factory=LiveConfig)
    device: str = "auto"
    threads: int = 0
    workers: int = -1
    amp: Amp = "off"
    seed: int = 0
    json: bool = False

    def __post_init__(self) -> None:
        counts = (self.top, self.every, self.max_frames, self.reset_every)
        if any(count is not None and count < 1 for count in counts):
            raise UsageError(
                f"top, every, max_frames and reset_every must be at least 1, but got top={self.top}, "
                f"every={self.every}, max_frames={self.max_frames}, reset_every={self.reset_every}"
            )


def run(options: Options) -> int:
    """Print a line per frame; how long the steps took goes to stderr at the end, however it comes."""
    ensemble = load_trained(options.run)
    source = find_source(options.video, options.live)
    compute = set_up(options)
    require_all_stream(ensemble, path=options.run)
    frames = stream_frames(source, *map(look_of, ensemble.members))
    told = answers(
        [member.net.to(compute.device) for member in ensemble.members],
        itertools.islice(frames, options.max_frames),
        space=ensemble.label_space,
        device=compute.device,
        amp_dtype=compute.amp_dtype,
        reset_every=options.reset_every,
    )
    pace = Pace(sum(member.card.rate_fps for member in ensemble.members))
    with contextlib.closing(frames):
        try:
            for answer in told:
                pace.add(answer)
                if answer.frame % options.every == 0:
                    _show(answer, ensemble, top=options.top, as_json=options.json)
        except KeyboardInterrupt:
            return INTERRUPTED
        finally:
            pace.show()
    return 0


def _show(answer: StreamAnswer, ensemble: Ensemble, *, top: int, as_json: bool) -> None:
    classes = likeliest(answer.probabilities_K, ensemble.label_space, top=top)
    step_ms = 1000 * answer.step_s
    if as_json:
        line = {"frame": answer.frame, "time_s": answer.time_s, "classes": classes, "step_ms": step_ms}
        console.show_json_line(line | ({"member": answer.member} if len(ensemble.members) > 1 else {}))
        return
    text = ", ".join(f"{entry['class']} {entry['probability']:.3f}" for entry in classes)
    console.show(f"{answer.time_s:9.3f} s  frame {answer.frame}  {step_ms:6.1f} ms  {text}")


@final
class Pace:
    """How fast frames are stepped through.

    Args:
        rate_fps: How fast they would come from a camera.
    """

    def __init__(self, rate_fps: float) -> None:
        self._rate_fps, self._num_frames = rate_fps, 0
        self._start_s = time.perf_counter()
        self._steps_ms: deque[float] = deque(maxlen=NUM_TIMED)

    def add(self, answer: StreamAnswer) -> None:
        """Count one more step."""
        self._num_frames += 1
        self._steps_ms.append(1000 * answer.step_s)

    def show(self) -> None:
        """One line, and another where the network is too slow for frames as they come; nothing before the first."""
        if not self._num_frames:
            return
        mean_ms, median_ms = statistics.fmean(self._steps_ms), statistics.median(self._steps_ms)
        rate_fps = self._num_frames / (time.perf_counter() - self._start_s)
        console.log(
            f"{self._num_frames} frames, {rate_fps:.1f} per second; a step took {mean_ms:.1f} ms on average, "
            f"{median_ms:.1f} ms in the median"
        )
        if median_ms > 1000 / self._rate_fps:
            console.log(
                f"which is too slow for a camera: the network wants a frame every {1000 / self._rate_fps:.1f} ms"
            )
