"""Specification files: what was found, as JSON that people exchange.

The fingerprint is the SHA-256 of the canonical text of `arch` and `variant` alone, so a change of provenance or metrics
does not move it. What has its default is left out of that text: a field or switch that a later version adds leaves the
fingerprints of today's files as they are.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter

from search_spaces.spec import ArchSpec
from search_spaces.strict_json import digest, essence
from search_spaces.typed_json import check_fingerprint, check_header, read_document, validate, write_document
from search_spaces.variant import Variant, check_fits

SCHEMA: Literal[1] = 1
KIND: Literal["movinas.spec"] = "movinas.spec"

Choice = str | float | int | bool
"""One choice of a decision, as JSON has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a spec came from.

    Attributes:
        space: Name of the space it was found in; `space_hash` the hash of its contents.
        run: Name of the run folder; `step` the step of the search after which it was chosen.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    space: str | None = None
    space_hash: str | None = None
    run: str | None = None
    seed: int | None = None
    step: int | None = None
    target: str | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecFile:
    """The whole content of a specification file.

    Attributes:
        genotype: Choice of every active decision, where it came from a space.
        metrics: Named numbers about it, such as `quality` or `macs`.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    schema: Literal[1]
    kind: Literal["movinas.spec"]
    fingerprint: str
    arch: ArchSpec
    variant: Variant
    genotype: dict[str, Choice] | None = None
    provenance: Provenance = field(default_factory=Provenance)
    metrics: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fits(self.arch, self.variant)


_ADAPTER = TypeAdapter(SpecFile)


def fingerprint(arch: ArchSpec, variant: Variant) -> str:
    """SHA-256, 64 hexadecimal digits, of everything in architecture and variant that is not at its default."""
    return digest({"arch": essence(arch), "variant": essence(variant)})


def make_spec_file(
    arch: ArchSpec,
    variant: Variant,
    *,
    genotype: Mapping[str, Choice] | None = None,
    provenance: Provenance | None = None,
    metrics: Mapping[str, float] | None = None,
) -> SpecFile:
    """The file of an architecture, with its fingerprint."""
    return SpecFile(
        schema=SCHEMA,
        kind=KIND,
        fingerprint=fingerprint(arch, variant),
        arch=arch,
        variant=variant,
        genotype=None if genotype is None else dict(genotype),
        provenance=provenance or Provenance(),
        metrics=dict(metrics or {}),
    )


def write_spec(spec_file: SpecFile, folder: Path) -> Path:
    """Write `<fingerprint>.json` into `folder`, whole or not at all; an existing file of that name is replaced.

    Raises:
        SpecError: The folder or file cannot be written.
    """
    path = folder / f"{spec_file.fingerprint}.json"
    write_document(asdict(spec_file), path)
    return path


def read_spec(path: Path) -> SpecFile:
    """Read and check a specification file.

    Raises:
        SpecError: The file cannot be read, is no JSON within limits, has an unknown schema, an unknown, missing or
            duplicate field, a value outside its range, or a fingerprint that is not that of its content.
    """
    return parse_spec(read_document(path), path=path)


def parse_spec(document: object, *, path: Path | None = None) -> SpecFile:
    """Check a parsed document; errors as `read_spec`."""
    spec_file = validate(_ADAPTER, check_header(document, kind=KIND, schema=SCHEMA, path=path), path=path)
    actual = fingerprint(spec_file.arch, spec_file.variant)
    check_fingerprint(spec_file.fingerprint, actual=actual, of="arch and variant", path=path)
    return spec_file


def json_schema() -> dict[str, Any]:
    """JSON Schema of a specification file, as published in `docs/spec.schema.json`."""
    return _ADAPTER.json_schema()
