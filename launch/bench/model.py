"""`movinas bench model`: a streamed frame, beside the machine's matrix rate in the same run."""

import statistics
import time
from dataclasses import asdict, dataclass
from itertools import product

import torch

from launch import console
from launch.bench.machine import line_of, measure_machine
from launch.specs import find_spec, find_variant
from search_spaces.cost import cost
from search_spaces.errors import UsageError
from search_spaces.spec_json import fingerprint
from supernet.video_net import VideoNet

POSITIONALS = ("specs",)
NUM_CLASSES = 600
WARM_UP_STEPS = 5


@dataclass(frozen=True, kw_only=True)
class Options:
    """Speed of a streamed frame.

    Attributes:
        specs: Spec files, or published:A0 to published:A5; published:A0, A1 and A2 where none is given.
        variants: Forms that stream.
        threads: Of torch.
        repeats: Steps, of which the median is reported.
        json: Print one JSON document.
    """

    specs: tuple[str, ...] = ("published:A0", "published:A1", "published:A2")
    variants: tuple[str, ...] = ("paper-stream", "released-stream")
    threads: int = 1
    repeats: int = 30
    json: bool = False

    def __post_init__(self) -> None:
        if not self.specs or not self.variants:
            raise UsageError(f"specs and variants must not be empty, but got {self.specs} and {self.variants}")
        if self.repeats < 1 or self.threads < 1:
            raise UsageError(f"repeats and threads must be at least 1, but got {self.repeats} and {self.threads}")


def run(options: Options) -> int:
    """Measure and print."""
    machine = measure_machine(threads=options.threads)
    rows = [
        _measured(name, variant, repeats=options.repeats, gmacs_per_s=machine.matrix_gmacs_per_s)
        for name, variant in product(options.specs, options.variants)
    ]
    if options.json:
        console.show_json({"machine": asdict(machine), "steps": rows})
        return 0
    console.show_table(
        f"One streamed frame; {line_of(machine)}",
        ("name", "variant", "MACs", "median ms", "min ms", "max ms", "floor ms", "median / floor"),
        [
            (
                row["name"],
                row["variant"],
                f"{row['macs']:,}",
                *(f"{row[key]:.2f}" for key in ("median_ms", "min_ms", "max_ms", "floor_ms")),
                f"{row['ratio']:.1f}",
            )
            for row in rows
        ],
    )
    return 0


def _measured(name: str, variant_name: str, *, repeats: int, gmacs_per_s: float) -> dict[str, object]:
    spec = find_spec(name).arch
    variant = find_variant(variant_name, arch=spec)
    seconds = step_seconds(VideoNet(spec, variant, num_classes=NUM_CLASSES, rezero=1.0), repeats=repeats)
    macs = cost(spec, variant, num_classes=NUM_CLASSES).macs_per_frame
    assert macs is not None  # else it could not step
    floor_ms = macs / gmacs_per_s / 1e6
    return {
        "name": name,
        "fingerprint": fingerprint(spec, variant),
        "variant": variant_name,
        "macs": macs,
        "median_ms": 1000 * statistics.median(seconds),
        "min_ms": 1000 * min(seconds),
        "max_ms": 1000 * max(seconds),
        "floor_ms": floor_ms,
        "ratio": 1000 * statistics.median(seconds) / floor_ms,
    }


@torch.inference_mode()
def step_seconds(net: VideoNet, *, repeats: int) -> list[float]:
    """Seconds of single-frame steps of one stream at the network's own resolution, after some that are not counted."""
    size = net.spec.clip.resolution
    frames = torch.rand(repeats + WARM_UP_STEPS, 1, 3, size, size, generator=torch.Generator().manual_seed(0))
    state = net.eval().init_state(1, size, size)
    seconds = []
    for frame_BCHW in frames:
        start = time.perf_counter()
        _, state = net.step(frame_BCHW, state)
        seconds.append(time.perf_counter() - start)
    return seconds[WARM_UP_STEPS:]
