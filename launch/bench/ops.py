"""`movinas bench ops`: how fast each backend of the depthwise convolution is, and the table that chooses by it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from launch import console
from launch.bench.depthwise import Timing, distinct, entries_of, geometries, measure
from launch.bench.machine import Machine, line_of, measure_machine
from launch.compute import resolve_device
from launch.specs import find_spec, find_variant
from search_spaces.errors import UsageError, shown
from search_spaces.spec import kernel_name
from supernet.depthwise.geometry import Geometry
from supernet.depthwise.table import PASSES, Entry, Pass, class_of, table, write_table

POSITIONALS = ("specs",)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Speed of depthwise convolutions, backend by backend.

    Attributes:
        specs: Spec files, or published:A0 to published:A5; all six where none is given.
        forms: VARIANT@FRAMES: forms of the networks, and frames of a clip; 1 is a streamed frame. The shapes that
            occur in any are measured, each once.
        clips: Of a batch.
        passes: forward alone is inference; a training step has all three.
        device: cpu, cuda, or auto.
        dtype: float32, bfloat16 or float16.
        threads: Of torch.
        repeats: Samples in turns, of which the median is reported.
        write_table: File for the table in force with what was measured in place of its own entries;
            MOVINAS_DEPTHWISE_TABLE puts it in force.
        json: Print one JSON document.
    """

    specs: tuple[str, ...] = tuple(f"published:A{number}" for number in range(6))
    forms: tuple[str, ...] = ("base@16", "released-stream@16", "paper-stream@1", "released-stream@1")
    clips: int = 1
    passes: tuple[Pass, ...] = PASSES
    device: str = "cpu"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    threads: int = 1
    repeats: int = 5
    write_table: Path | None = None
    json: bool = False

    def __post_init__(self) -> None:
        if not self.specs or not self.forms or not self.passes:
            raise UsageError(
                f"specs, forms and passes must not be empty, but got {self.specs}, {self.forms} and {self.passes}"
            )
        if min(self.clips, self.threads, self.repeats) < 1:
            raise UsageError(
                "clips, threads and repeats must be at least 1, "
                f"but got {self.clips}, {self.threads} and {self.repeats}"
            )


def run(options: Options) -> int:
    """Measure, print, and write the table if asked to."""
    device, dtype = resolve_device(options.device).split(":")[0], DTYPES[options.dtype]
    machine = measure_machine(threads=options.threads, device=device, dtype=dtype)
    found = distinct(geometry for form in options.forms for geometry in _of_form(form, options))
    timings = []
    for number, geometry in enumerate(found, start=1):
        console.log(f"{number} of {len(found)}: {kernel_name(geometry.kernel)} over {_sizes(geometry)}")
        for work in options.passes:
            timings.append(measure(geometry, work, device=device, dtype=dtype, repeats=options.repeats))
    name = f"{machine.processor}, {machine.threads} threads" if device == "cpu" else machine.processor
    entries = entries_of(timings, device=device, dtype=dtype, machine=f"{name}, torch {machine.torch}")
    if options.write_table is not None:
        write_table(_merged(entries), options.write_table)
    _show(options, timings, machine, itemsize=dtype.itemsize)
    return 0


def _of_form(form: str, options: Options) -> list[Geometry]:
    name, _, frames = form.rpartition("@")
    if not name or not frames.isdecimal() or not 1 <= int(frames) <= 1000:
        raise UsageError(f"a form must be VARIANT@FRAMES with 1 to 1000 frames, such as base@16, but got {shown(form)}")
    found = []
    for spec in options.specs:
        arch = find_spec(spec).arch
        variant = find_variant(name, arch=arch)
        found += geometries(arch, variant, clips=options.clips, frames=int(frames))
    return found


def _merged(entries: Sequence[Entry]) -> list[Entry]:
    """The table in force with these in place of what it has under their keys."""
    return list({entry.key: entry for entry in (*table(), *entries)}.values())


def _show(options: Options, timings: Sequence[Timing], machine: Machine, *, itemsize: int) -> None:
    rows: list[dict[str, Any]] = [_row(timing, machine, itemsize=itemsize) for timing in timings]
    sums = _sums(timings, options.passes)
    if options.json:
        console.show_json({"machine": asdict(machine), "rows": rows, "sums": sums})
        return
    console.show_table(
        f"Medians of {options.repeats}, {options.dtype}; {line_of(machine)}",
        ("kernel", "B,T,H,W,C", "pass", "size", "in force", "ms by backend (spread)", "of copy", "of product"),
        [
            (
                f"{kernel_name(timing.geometry.kernel)} /{timing.geometry.stride}",
                _sizes(timing.geometry),
                timing.work,
                class_of(timing.geometry)[-1],
                timing.chosen,
                ", ".join(
                    f"{name} {1000 * median:.3g} ({100 * timing.spread(name):.0f} %)"
                    for name, median in timing.medians.items()
                ),
                f"{100 * row['copy_share']:.0f} %",
                f"{100 * row['product_share']:.0f} %",
            )
            for timing, row in zip(timings, rows, strict=True)
        ],
    )
    console.show_table(
        "Sums over these shapes, ms",
        ("pass", "by the table in force", "by the fastest for each shape", "torch3d", "fastest how often"),
        [
            (
                line["pass"],
                *(f"{line[key]:.1f}" for key in ("chosen_ms", "fastest_ms", "torch3d_ms")),
                ", ".join(f"{name} {times}" for name, times in line["fastest"].items()),
            )
            for line in sums
        ],
    )


def _row(timing: Timing, machine: Machine, *, itemsize: int) -> dict[str, Any]:
    geometry, medians = timing.geometry, timing.medians
    taken = medians[timing.chosen]
    return {
        "kernel": kernel_name(geometry.kernel),
        "stride": geometry.stride,
        "input": [geometry.clips, *geometry.input_THW, geometry.channels],
        "padding": geometry.padding,
        "pass": timing.work,
        "symmetric": geometry.symmetric,
        "size": class_of(geometry)[-1],
        "macs": timing.macs,
        "bytes": timing.num_moved * itemsize,
        "chosen": timing.chosen,
        "fastest": timing.fastest,
        "backends": {
            name: {"median_ms": 1000 * median, "min_ms": 1000 * min(seconds), "max_ms": 1000 * max(seconds)}
            for name, median in medians.items()
            for seconds in (timing.seconds[name],)
        },
        "copy_share": timing.num_moved * itemsize / taken / machine.copy_gbytes_per_s / 1e9,
        "product_share": timing.macs / taken / machine.matrix_gmacs_per_s / 1e9,
    }


def _sums(timings: Sequence[Timing], passes: Sequence[Pass]) -> list[dict[str, Any]]:
    lines = []
    for work in passes:
        of_pass = [timing for timing in timings if timing.work == work]
        lines.append(
            {
                "pass": work,
                "chosen_ms": 1000 * sum(timing.medians[timing.chosen] for timing in of_pass),
                "fastest_ms": 1000 * sum(min(timing.medians.values()) for timing in of_pass),
                "torch3d_ms": 1000 * sum(timing.medians["torch3d"] for timing in of_pass),
                "fastest": dict(Counter(timing.fastest for timing in of_pass).most_common()),
            }
        )
    return lines


def _sizes(geometry: Geometry) -> str:
    return ",".join(map(str, (geometry.clips, *geometry.input_THW, geometry.channels)))
