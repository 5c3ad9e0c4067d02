"""Specification files: what was found, as JSON that people exchange.

The fingerprint is the SHA-256 of the canonical text of `arch` and `variant` alone, so a change of provenance or metrics
does not move it. What has its default is left out of that text: a field or switch that a later version adds leaves the
fingerprints of today's files as they are.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from search_spaces.errors import DocumentError, MovinasError, SpecError, shown
from search_spaces.spec import ArchSpec
from search_spaces.strict_json import canonical, essence, load, pretty
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

    Raises:
        SpecError: The architecture cannot be built in this variant.
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
    text = canonical({"arch": essence(arch), "variant": essence(variant)})
    return hashlib.sha256(text.encode()).hexdigest()


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
    temporary = folder / f".{spec_file.fingerprint}.tmp-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(pretty(asdict(spec_file)))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise SpecError(f"must be a writable file, but got {error.strerror}", path=path) from error
    return path


def read_spec(path: Path) -> SpecFile:
    """Read and check a specification file.

    Raises:
        SpecError: The file cannot be read, is no JSON within limits, has an unknown schema, an unknown, missing or
            duplicate field, a value outside its range, or a fingerprint that is not that of its content.
    """
    try:
        document = load(path)
    except DocumentError as error:
        raise SpecError(error.message, path=path, where=error.where) from error
    return parse_spec(document, path=path)


def parse_spec(document: Any, *, path: Path | None = None) -> SpecFile:  # noqa: ANN401
    """Check a parsed document; errors as `read_spec`."""
    if not isinstance(document, dict):
        raise SpecError(f"must be an object, but got {shown(document)}", path=path)
    if document.get("kind") != KIND:
        raise SpecError(f"must be {KIND!r}, but got {shown(document.get('kind'))}", path=path, where="kind")
    if type(schema := document.get("schema")) is not int or schema != SCHEMA:
        raise SpecError(f"must be {SCHEMA}, but got {shown(schema)}", path=path, where="schema")
    try:
        spec_file = _ADAPTER.validate_json(canonical(document))
    except ValidationError as error:
        raise spec_error(error, path=path) from error
    actual = fingerprint(spec_file.arch, spec_file.variant)
    if spec_file.fingerprint != actual:
        raise SpecError(
            f"must be that of arch and variant, {actual}, but got {shown(spec_file.fingerprint)}",
            path=path,
            where="fingerprint",
        )
    return spec_file


def spec_error(error: ValidationError, *, path: Path | None) -> SpecError:
    """The first finding of a validation as one line with its place, such as `arch.blocks[3].layers[1].kernel`."""
    finding = error.errors(include_url=False)[0]
    loc = finding["loc"][:2] if finding["loc"][:1] == ("genotype",) else finding["loc"]  # beyond: the kinds of a choice
    places = [_place(part) for part in loc]
    cause = finding.get("ctx", {}).get("error")
    if isinstance(cause, MovinasError):
        message = cause.message
        places += [cause.where] if cause.where else []
    elif finding["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        message = "must be a known field, but got an unknown one"
    elif finding["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
        message = "must be given, but is missing"
    else:
        message = f"{finding['msg'][0].lower()}{finding['msg'][1:]}, but got {shown(finding['input'])}"
    where = "".join(place if place.startswith("[") else f".{place}" for place in places)
    return SpecError(message, path=path, where=where.removeprefix(".") or None)


def _place(part: int | str) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return part if part.isprintable() and len(part) <= 80 else f"[{shown(part)}]"


def json_schema() -> dict[str, Any]:
    """JSON Schema of a specification file, as published in `docs/spec.schema.json`."""
    return _ADAPTER.json_schema()
