"""Measured times of every part that a space's networks are made of, on one device; a network's latency is their sum.

A part is a whole layer as inference runs it, known by all that its time depends on; stem and head likewise. The table
has exactly the parts that its space can ask for, for one variant, number of classes and clip: of a stream, times of one
frame, of a clip, times of the whole clip in one call. What a call costs beside its parts is an entry of its own.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter

from search_spaces.errors import DocumentError, LatencyTableError, SpecError, shown
from search_spaces.spec import STEM_STRIDE, ArchSpec, ClipGeometry, LayerSpec, kernel_name, same_size
from search_spaces.strict_json import digest, load
from search_spaces.typed_json import check_fingerprint, check_header, validate, write_document
from search_spaces.variant import Variant

SCHEMA = 1
KIND = "movinas.latency-table"
MAX_BYTES = 1 << 24
MAX_PART_S = 3600.0
CALL = "call"
"""The entry of what a call costs beside its parts; it may be negative, where parts cost more in larger networks."""
Unit = Literal["frame", "clip"]


def stem_key(width: int) -> str:
    """The entry of a stem; its input is the clip's."""
    return f"stem {width}"


def layer_key(layer: LayerSpec, *, in_width: int, in_size: int) -> str:
    """The entry of a layer, such as `16@86 5x3x3/2 40 se 24`: input width and size, kernel, stride, widths."""
    se = "se" if layer.se else "-"
    kernel = f"{kernel_name(layer.kernel)}/{layer.stride}"
    return f"{in_width}@{in_size} {kernel} {layer.expansion} {se} {layer.width}"


def head_key(head_width: int, *, in_width: int, in_size: int, dense_width: int) -> str:
    """The entry of a head with dense layer and classifier."""
    return f"head {in_width}@{in_size} {head_width} {dense_width}"


def keys_of(spec: ArchSpec) -> list[str]:
    """Entries of a network's parts in order: stem, every layer, head."""
    keys = [stem_key(spec.stem_width)]
    width, size = spec.stem_width, same_size(spec.clip.resolution, STEM_STRIDE)
    for block in spec.blocks:
        for layer in block.layers:
            keys.append(layer_key(layer, in_width=width, in_size=size))
            width, size = layer.width, same_size(size, layer.stride)
    head = head_key(spec.head_width, in_width=width, in_size=size, dense_width=spec.dense_width)
    return [*keys, head]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What the times were measured on; equal devices have equal times.

    Attributes:
        processor: As the system names it.
        backend: What ran the network; `native` are our own kernels, `kernels` the digest of their sources.
        threads: Of torch.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    processor: str
    device: Literal["cpu"]
    backend: Literal["native"]
    kernels: str
    dtype: Literal["fp32"]
    threads: int
    torch: str
    movinas: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """How the times were found.

    Attributes:
        networks: Timed in all; `rounds` the fewest in which any entry stood.
        calls: Of each network, undisturbed ones, of which the median counts.
        spread: Median over the entries of (greatest - least) / median between the networks it stood in.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    date: str
    command: str
    networks: int
    rounds: int
    calls: int
    seed: int
    spread: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyTable:
    """Times of parts, and what they are times of. As `Prices`, in nanoseconds.

    Attributes:
        space: Name of the space; `space_hash` the hash of its contents.
        clip: Its clip; of times per frame, the resolution counts.
        per: What is timed: a frame of a stream, or the clip in one call.
        seconds: Time of every entry.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    space: str
    space_hash: str
    variant: Variant
    num_classes: int
    clip: ClipGeometry
    per: Unit
    device: Device
    measurement: Measurement
    seconds: Mapping[str, float] = field(hash=False)

    def __post_init__(self) -> None:
        for key, value in self.seconds.items():
            low = -MAX_PART_S if key == CALL else 0
            if not low <= value <= MAX_PART_S:
                raise LatencyTableError(f"must be in [{low:g}, {MAX_PART_S:g}] seconds, but got {value}", where=key)

    def check_of(self, space_hash: str, variant: Variant, *, num_classes: int) -> None:
        """Refuse networks that the times are not of.

        Raises:
            LatencyTableError: Another space, variant, or number of classes.
        """
        self._check_form(variant, num_classes=num_classes)
        if self.space_hash != space_hash:
            raise LatencyTableError(
                f"a latency table must be of the space that is asked about, {space_hash[:16]}, but is of "
                f"{self.space}, {self.space_hash[:16]}"
            )

    def check_clip(self, clip: ClipGeometry) -> None:
        """Refuse clips that the times are not of.

        Raises:
            LatencyTableError: Another clip; of times per frame, another resolution.
        """
        if clip != self.clip and (self.per == "clip" or clip.resolution != self.clip.resolution):
            raise LatencyTableError(f"a latency table must be of the network's clip, {clip}, but is of {self.clip}")

    def latency_s(self, spec: ArchSpec, variant: Variant, *, num_classes: int) -> float:
        """Sum over a network's parts, seconds.

        Raises:
            LatencyTableError: The table is of another variant, number of classes or clip, or lacks one of the parts.
        """
        self._check_form(variant, num_classes=num_classes)
        self.check_clip(spec.clip)
        return 1e-9 * (self._ns(CALL) + sum(map(self._ns, keys_of(spec))))

    def stem(self, width: int) -> int:
        """As `Prices`."""
        return self._ns(CALL) + self._ns(stem_key(width))

    def layer(self, layer: LayerSpec, *, in_width: int, in_size: int) -> int:
        """As `Prices`."""
        return self._ns(layer_key(layer, in_width=in_width, in_size=in_size))

    def head(self, head_width: int, *, in_width: int, in_size: int, dense_width: int) -> int:
        """As `Prices`."""
        return self._ns(head_key(head_width, in_width=in_width, in_size=in_size, dense_width=dense_width))

    def _check_form(self, variant: Variant, *, num_classes: int) -> None:
        if self.variant != variant:
            raise LatencyTableError(
                f"a latency table must be of the variant that is asked about, but is of another one: "
                f"{_difference(asdict(self.variant), asdict(variant))}"
            )
        if self.num_classes != num_classes:
            raise LatencyTableError(
                f"a latency table must be of {num_classes} classes, but is of {self.num_classes}; measure one with "
                f"--classes {num_classes}"
            )

    def _ns(self, key: str) -> int:
        if key not in self.seconds:
            raise LatencyTableError(f"a latency table must have every part that is asked for, but lacks {key!r}")
        return round(self.seconds[key] * 1e9)


class Enumeration:
    """As `Prices`: free of charge, but all that is asked for is kept in `keys`."""

    def __init__(self) -> None:
        self.keys: dict[str, None] = {}

    def stem(self, width: int) -> int:
        """As `Prices`."""
        return self._kept(stem_key(width))

    def layer(self, layer: LayerSpec, *, in_width: int, in_size: int) -> int:
        """As `Prices`."""
        return self._kept(layer_key(layer, in_width=in_width, in_size=in_size))

    def head(self, head_width: int, *, in_width: int, in_size: int, dense_width: int) -> int:
        """As `Prices`."""
        return self._kept(head_key(head_width, in_width=in_width, in_size=in_size, dense_width=dense_width))

    def _kept(self, key: str) -> int:
        self.keys[key] = None
        return 0


_ADAPTER = TypeAdapter(LatencyTable)


def table_document(table: LatencyTable) -> dict[str, Any]:
    """A table as the JSON document of its file."""
    content = asdict(table)
    return {"schema": SCHEMA, "kind": KIND, "fingerprint": digest(content), **content}


def write_table(table: LatencyTable, path: Path) -> None:
    """Write a table, whole or not at all.

    Raises:
        LatencyTableError: The folder or file cannot be written.
    """
    try:
        write_document(table_document(table), path)
    except SpecError as error:
        raise LatencyTableError(error.message, path=path) from error


def read_table(path: Path) -> LatencyTable:
    """Read and check a table.

    Raises:
        LatencyTableError: The file cannot be read, breaks the limits of a document, has an unknown schema, an unknown
            or missing field, a value outside its range, or a fingerprint that is not that of its content.
    """
    try:
        document = check_header(load(path, max_bytes=MAX_BYTES), kind=KIND, schema=SCHEMA, path=path)
        content = {name: value for name, value in document.items() if name not in ("schema", "kind", "fingerprint")}
        _check_seconds(content.get("seconds"))
        table = validate(_ADAPTER, content, path=path, uncounted=("seconds",))
        check_fingerprint(
            str(document.get("fingerprint")), actual=digest(asdict(table)), of="the other fields", path=path
        )
    except (DocumentError, SpecError) as error:
        raise LatencyTableError(error.message, path=path, where=error.where) from error
    return table


def _check_seconds(seconds: object) -> None:
    for key, value in seconds.items() if isinstance(seconds, dict) else ():
        if not isinstance(value, int | float):
            raise SpecError(f"must be a valid number, but got {shown(value)}", where=f"seconds.{key}")


def _difference(found: Mapping[str, object], wanted: Mapping[str, object]) -> str:
    return ", ".join(
        f"{name} {shown(value)} and not {shown(wanted[name])}" for name, value in found.items() if value != wanted[name]
    )
