"""Costs as people write them: `macs=2.7G/clip`, `macs=50M/frame`, `params=3M`, `state=2MiB@fp16`.

Metric, number and unit are all part of a target, for the same number under another convention is off by two. Whatever
is looked up in tables that are summed, or of which the greatest counts, can be a target: it takes a name in `_METRICS`,
its unit in `_per`, and its table in `Target._table`. A latency, `latency=10ms/frame@table.json`, is looked up in the
table of measured times that it names.
"""

import operator
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from search_spaces.cost import BYTES, DataType, cost
from search_spaces.cost_table import CostTable, cost_table
from search_spaces.errors import TargetError
from search_spaces.latency_table import LatencyTable, read_table
from search_spaces.mean_cost import Floats, mean_cost
from search_spaces.prices import Metric
from search_spaces.space import Indices, SearchSpace
from search_spaces.spec import ArchSpec, ClipGeometry
from search_spaces.variant import Variant

TargetMetric = Literal["macs", "paper_gflops", "params", "state", "activations", "latency"]
Per = Literal["clip", "frame", "second"]

SUFFIXES = {
    "": 1,
    "k": 10**3,
    "K": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}
_METRICS: dict[TargetMetric, Metric] = {
    "macs": "macs",
    "paper_gflops": "paper_half_macs",
    "params": "params",
    "state": "stream_state_bytes",
    "activations": "peak_activation_bytes",
}
_OF_A_TYPE = ("state", "activations")
"""Metrics in bytes, which end in the type of an element."""
_PER: dict[str, Per] = {"clip": "clip", "frame": "frame", "s": "second", "second": "second"}
_FORM = re.compile(
    r"(?P<metric>\w+)=(?P<number>\d{1,30}(?:\.\d{1,30})?(?:e\d{1,2})?)(?P<suffix>[A-Za-z]{0,3})(?:/(?P<per>\w+))?"
    r"(?:@(?P<dtype>\w+))?",
    re.ASCII,
)
_LATENCY = re.compile(
    r"latency=(?P<number>\d{1,12}(?:\.\d{1,12})?)(?P<suffix>[mun]?s)/(?P<per>frame|clip)@(?P<table>.+)", re.ASCII
)
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
EXAMPLES = (
    "macs=2.7G/clip, macs=50M/frame, macs=300M/s, paper_gflops=2.71/clip, params=3M, state=2MiB@fp16, "
    "activations=8MiB/clip@fp16 or latency=10ms/frame@table.json"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A cost to land on, from both sides, or one to stay within.

    Attributes:
        text: As it was written.
        value: In the metric's unit: MACs, 1e9 of the paper's FLOPs, parameters, bytes of a stream's whole state, or of
            the activations alive at once, or seconds.
        per: What the value is for: the clip, or its share of a frame or second; of activations and latency the clip in
            one call, or a stream's step of a single frame. Parameters and state have none.
        dtype: Type of stream buffers and activations; None for what is not in bytes.
        table: Measured times that a latency is the sum of.
    """

    text: str
    metric: TargetMetric
    value: float
    per: Per | None
    dtype: DataType | None = None
    table: LatencyTable | None = None

    @property
    def of_streams(self) -> bool:
        """Whether only networks that stream have this cost."""
        return self.metric == "state" or (self.metric in ("activations", "latency") and self.per == "frame")

    def scale(self, clip: ClipGeometry) -> float:
        """What a cost per clip is multiplied by to be in this target's unit."""
        if self.metric in ("activations", "latency"):
            return 1.0
        if self.per == "frame":
            return 1 / clip.num_frames
        return clip.rate_fps / clip.num_frames if self.per == "second" else 1.0

    def cost(self, spec: ArchSpec, variant: Variant, *, num_classes: int, clip: ClipGeometry | None = None) -> float:
        """A network's cost in this target's unit; a latency is that of the clip that the table is of."""
        if self.table is not None:
            return self.table.latency_s(spec, variant, num_classes=num_classes)
        clip = clip or spec.clip
        called = clip if self._num_frames is None else replace(clip, num_frames=self._num_frames)
        found = cost(spec, variant, num_classes=num_classes, clip=called, dtype=self._dtype)
        names = {"state": "stream_state_bytes", "activations": "peak_activation_bytes"}
        return float(getattr(found, names.get(self.metric, self.metric))) * self.scale(clip)

    def costs(
        self,
        space: SearchSpace,
        variant: Variant,
        indices_ND: Indices,
        *,
        num_classes: int,
        clip: ClipGeometry | None = None,
    ) -> NDArray[np.float64]:
        """Costs of genotypes of a space in this target's unit, (N,), each for its own clip where that is decided."""
        table = self._table(space, variant, num_classes=num_classes, clip=clip)
        costs_N = table.costs(indices_ND).astype(np.float64)
        if len(table.forms) == 1:
            return costs_N * self._unit(table.forms[0].clip)
        units = np.array([self._unit(form.clip) for form in table.forms])
        return np.asarray(costs_N * units[space.form_numbers(indices_ND)])

    def bounds(
        self, space: SearchSpace, variant: Variant, *, num_classes: int, clip: ClipGeometry | None = None
    ) -> tuple[float, float]:
        """Least and greatest cost in a space, in this target's unit."""
        table = self._table(space, variant, num_classes=num_classes, clip=clip)
        units = [self._unit(form.clip) for form in table.forms]
        lows, highs = zip(*table.bounds_by_form(), strict=True)
        return min(map(operator.mul, lows, units)), max(map(operator.mul, highs, units))

    def mean(
        self, space: SearchSpace, variant: Variant, chance_DC: Floats, *, num_classes: int
    ) -> tuple[float, Floats]:
        """Mean cost of a policy's architectures in this target's unit, and its gradient; see `mean_cost`.

        Raises:
            TargetError: A peak of activations, which is no sum over layers.
        """
        if self.metric == "activations":
            raise TargetError(f"a mean over a policy must be of a cost that layers add up to, but got {self.text}")
        table = self._table(space, variant, num_classes=num_classes, clip=None)
        return mean_cost(space, table, chance_DC, [self._unit(form.clip) for form in table.forms])

    @property
    def _dtype(self) -> DataType:
        return self.dtype or "fp32"

    @property
    def _num_frames(self) -> int | None:
        """Frames of a call, where they are not those of the clip."""
        return 1 if self.metric == "activations" and self.per == "frame" else None

    def _table(self, space: SearchSpace, variant: Variant, *, num_classes: int, clip: ClipGeometry | None) -> CostTable:
        return cost_table(
            space,
            variant,
            metric=_METRICS.get(self.metric, "macs"),
            num_classes=num_classes,
            clip=clip,
            num_frames=self._num_frames,
            dtype=self._dtype,
            latency=self.table,
        )

    def _unit(self, clip: ClipGeometry) -> float:
        if self.table is not None:
            return 1e-9
        return self.scale(clip) * (0.5e-9 if self.metric == "paper_gflops" else 1.0)


def parse_target(text: str, *, folder: Path | None = None) -> Target:
    """Parse a target.

    Args:
        text: The target.
        folder: What the path of a latency table is relative to; None for the working directory.

    Raises:
        TargetError: No metric, number or unit, an unknown one, or a value that is not positive.
        LatencyTableError: As `read_table`.
    """
    if text.startswith("latency="):
        return _latency_target(text, folder or Path())
    match = _FORM.fullmatch(text)
    if match is None:
        raise TargetError(f"a target must be written as metric=number/unit, such as {EXAMPLES}, but got {text!r}")
    metric = next((known for known in _METRICS if known == match["metric"]), None)
    if metric is None:
        known = ", ".join((*_METRICS, "latency"))
        raise TargetError(f"a target's metric must be one of {known}, but got {match['metric']!r}")
    suffix = match["suffix"].removesuffix("B") if metric in _OF_A_TYPE else match["suffix"]
    if suffix not in SUFFIXES:
        raise TargetError(f"a target's suffix must be one of {', '.join(SUFFIXES)}, but got {match['suffix']!r}")
    value = float(match["number"]) * SUFFIXES[suffix]
    if not 0 < value < 1e21:
        raise TargetError(f"a target must be above 0 and below 1e21, but got {text!r}")
    return Target(
        text=text,
        metric=metric,
        value=value,
        per=_per(metric, match["per"], text),
        dtype=_dtype_of(metric, match["dtype"], text),
    )


def _latency_target(text: str, folder: Path) -> Target:
    match = _LATENCY.fullmatch(text)
    value = 0.0 if match is None else float(match["number"]) * _SECONDS[match["suffix"]]
    if match is None or not value > 0:
        raise TargetError(
            "a target of latency must be a time above 0 in s, ms, us or ns, /frame or /clip, and the table that it is "
            f"looked up in, such as latency=10ms/frame@table.json, but got {text!r}"
        )
    table = read_table(folder / match["table"])
    if table.per != match["per"]:
        raise TargetError(f"a target of latency must be per {table.per}, as its table, but got {text!r}")
    return Target(text=text, metric="latency", value=value, per=_PER[match["per"]], table=table)


def _per(metric: TargetMetric, unit: str | None, text: str) -> Per | None:
    if metric in ("params", "state"):
        if unit is not None:
            raise TargetError(f"a target of {metric} must have no unit, but got {text!r}")
        return None
    if metric == "activations":
        if unit not in (None, "clip", "frame"):
            raise TargetError(f"a target of activations must be per /clip or /frame, but got {text!r}")
        return _PER[unit or "clip"]
    if unit not in _PER:
        raise TargetError(f"a target's unit must be one of /{', /'.join(_PER)}, but got {text!r}")
    return _PER[unit]


def _dtype_of(metric: TargetMetric, name: str | None, text: str) -> DataType | None:
    dtype = next((known for known in BYTES if known == name), None)
    if metric in _OF_A_TYPE and dtype is None:
        raise TargetError(f"a target of {metric} must end in one of @{', @'.join(BYTES)}, but got {text!r}")
    if metric not in _OF_A_TYPE and name is not None:
        raise TargetError(f"a target of {metric} must have no type, but got {text!r}")
    return dtype
