"""Which backend computes which pass of a depthwise convolution: a table of what was measured, and a rule for the rest.

`movinas bench ops --write_table` measures and writes such a table; the one beside this file is in force, or the one
that the environment variable `MOVINAS_DEPTHWISE_TABLE` names. A key holds device, whether more than one thread of the
CPU computes, dtype, kernel, stride, whether the padding is symmetric (else torch's operators need a padded copy), a
class of size, and the pass. Of the backends measured under it the fastest that is usable is taken; where nothing was
measured, the first usable of `RULE`.
"""

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import ClassVar, Literal, get_args

import torch
from pydantic import ConfigDict, TypeAdapter

from results.files import replace_file
from search_spaces.errors import SpecError
from search_spaces.spec import Kernel
from search_spaces.strict_json import canonical, digest
from search_spaces.typed_json import check_header, read_document, validate
from supernet.depthwise.backend import Function
from supernet.depthwise.geometry import Geometry
from supernet.depthwise.own_kernels import CPP, TRITON
from supernet.depthwise.torch_ways import HYBRID, TAPS, TORCH3D, VIEW2D

KIND, SCHEMA = "movinas.depthwise_table", 1
VARIABLE = "MOVINAS_DEPTHWISE_TABLE"

BACKENDS = {"cpp": CPP, "triton": TRITON, "view2d": VIEW2D, "torch3d": TORCH3D, "hybrid": HYBRID, "taps": TAPS}
Pass = Literal["forward", "input_gradient", "weight_gradient"]
PASSES: tuple[Pass, ...] = get_args(Pass)
Size = Literal["small", "medium", "large", "huge"]
MOST_OUTPUTS: dict[Size, float] = {"small": 1 << 17, "medium": 1 << 19, "large": 1 << 21, "huge": float("inf")}
"""Most numbers in an output of this class of size; what is fastest changes between (benchmarks/2026-11-21-ops.md)."""
RULE = {"cpu": ("cpp", "view2d", "hybrid"), "cuda": ("triton", "view2d")}
"""By device; and everywhere else, or where none of these is usable, `LAST`."""
LAST = ("view2d", "torch3d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What was measured under one key.

    Attributes:
        device: `cpu` or `cuda`.
        parallel: Whether torch had more than one thread, on the CPU.
        dtype: Such as `float32`.
        kernel: Extent in time, height and width.
        stride: Spatial.
        symmetric: Whether as much is padded behind as in front.
        size: Class of the number of outputs (`MOST_OUTPUTS`).
        work: The pass.
        times: Of each backend, relative to the fastest: geometric mean over the shapes of the class.
        shapes: How many of these there were.
        machine: Where they were measured, one of the table's machines.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    device: str
    parallel: bool
    dtype: str
    kernel: Kernel
    stride: int
    symmetric: bool
    size: Size
    work: Pass
    times: Mapping[str, float]
    shapes: int
    machine: str

    def __post_init__(self) -> None:
        if unknown := [name for name in self.times if name not in BACKENDS]:
            raise SpecError(f"must be of {', '.join(BACKENDS)}, but got {unknown[0]!r}", where="times")

    @property
    def key(self) -> tuple[object, ...]:
        """All but what was measured."""
        convolution = (self.kernel, self.stride, self.symmetric, self.size)
        return self.device, self.parallel, self.dtype, *convolution, self.work


_ENTRIES: TypeAdapter[tuple[Entry, ...]] = TypeAdapter(tuple[Entry, ...])


@dataclass(frozen=True, eq=False, slots=True)
class Plan:
    """What computes one convolution."""

    geometry: Geometry
    forward: Function
    input_gradient: Function
    weight_gradient: Function


def plan_of(geometry: Geometry, device: str, dtype: torch.dtype) -> Plan:
    """The backends of a convolution, by the table in force."""
    forward, input_gradient, weight_gradient = (
        getattr(BACKENDS[chosen(geometry, device, dtype, work)], work) for work in PASSES
    )
    return Plan(geometry, forward, input_gradient, weight_gradient)


def chosen(geometry: Geometry, device: str, dtype: torch.dtype, work: Pass) -> str:
    """The name of the backend of one pass."""
    key = (device, is_parallel(device), dtype_name(dtype), *class_of(geometry), work)
    names = (*_rankings().get(key, ()), *RULE.get(device, ()), *LAST)
    return next(name for name in names if BACKENDS[name].usable(geometry, device, dtype))


def is_parallel(device: str) -> bool:
    """Whether more than one thread of the CPU computes."""
    return device == "cpu" and torch.get_num_threads() > 1


def dtype_name(dtype: torch.dtype) -> str:
    """Such as `float32`."""
    return str(dtype).removeprefix("torch.")


def class_of(geometry: Geometry) -> tuple[Kernel, int, bool, Size]:
    """Kernel, stride, whether padding is symmetric, and class of size."""
    size = next(size for size, most in MOST_OUTPUTS.items() if geometry.num_outputs <= most)
    return geometry.kernel, geometry.stride, geometry.symmetric, size


def read_table(path: Path) -> tuple[Entry, ...]:
    """The entries of a table file.

    Raises:
        SpecError: It cannot be read, or is no such table.
    """
    document = check_header(read_document(path), kind=KIND, schema=SCHEMA, path=path)
    if set(document) != {"kind", "schema", "entries"}:
        raise SpecError(f"must hold kind, schema and entries, but got {', '.join(sorted(document))}", path=path)
    return validate(_ENTRIES, document["entries"], path=path)


def write_table(entries: Sequence[Entry], path: Path) -> None:
    """Write a table file that `read_table` reads: an entry on a line, sorted by key.

    Raises:
        SpecError: It cannot be written.
    """
    rows = ",\n".join(canonical(asdict(entry)) for entry in sorted(entries, key=lambda entry: str(entry.key)))
    text = f'{{"kind":"{KIND}","schema":{SCHEMA},"entries":[\n{rows}\n]}}\n'
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode())
    except OSError as error:
        raise SpecError(f"must be a writable file, but got {error.strerror}", path=path) from error


@functools.cache
def table() -> tuple[Entry, ...]:
    """The table in force.

    Raises:
        SpecError: The file that `MOVINAS_DEPTHWISE_TABLE` names is no such table.
    """
    if named := os.environ.get(VARIABLE):
        return read_table(Path(named))
    with as_file(files("supernet.depthwise").joinpath("table.json")) as path:
        return read_table(path)


def table_digest() -> str:
    """Of the choices of the table in force: results of another differ in the last bits."""
    return digest([[list(map(str, key)), list(names)] for key, names in sorted(_rankings().items(), key=str)])


@functools.cache
def _rankings() -> dict[tuple[object, ...], tuple[str, ...]]:
    return {entry.key: tuple(sorted(entry.times, key=entry.times.__getitem__)) for entry in table()}
