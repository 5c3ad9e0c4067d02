"""Latency tables made up entry by entry."""

from collections.abc import Callable

from search_spaces.cost_table import FormTable
from search_spaces.latency_table import CALL, Device, Enumeration, LatencyTable, Measurement, Unit
from search_spaces.space import SearchSpace
from search_spaces.variant import VARIANTS, Variant

STREAM = VARIANTS["paper-stream"]
DEVICE = Device(
    processor="abacus",
    device="cpu",
    backend="native",
    kernels="0" * 32,
    dtype="fp32",
    threads=1,
    torch="2.10.0",
    movinas="0.1.0",
)
MEASUREMENT = Measurement(
    date="2026-11-21", command="movinas bench table", networks=3, rounds=1, calls=1, seed=0, spread=0.1
)


def made_table(
    space: SearchSpace,
    nanoseconds: Callable[[int], int],
    *,
    variant: Variant = STREAM,
    num_classes: int = 7,
    per: Unit = "frame",
) -> LatencyTable:
    """A table whose entries, the call's first, take what their number says."""
    asked = Enumeration()
    FormTable(space, asked, resolution=space.clip.resolution)
    return LatencyTable(
        space=space.name,
        space_hash=space.hash,
        variant=variant,
        num_classes=num_classes,
        clip=space.clip,
        per=per,
        device=DEVICE,
        measurement=MEASUREMENT,
        seconds={key: 1e-9 * nanoseconds(number) for number, key in enumerate((CALL, *asked.keys))},
    )
