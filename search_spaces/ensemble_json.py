"""Ensemble files: which networks answer together and, once they are trained, where they lie.

The fingerprint is that of the ensemble alone, in the form in which specification files have theirs; where trained
networks lie and where the ensemble came from do not move it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter

from search_spaces.ensemble import EnsembleSpec
from search_spaces.errors import SpecError, shown
from search_spaces.spec_json import Provenance, SpecFile, parse_spec
from search_spaces.strict_json import digest, essence
from search_spaces.typed_json import (
    MAX_VALUES,
    check_fingerprint,
    check_header,
    read_document,
    validate,
    write_document,
)

SCHEMA: Literal[1] = 1
KIND: Literal["movinas.ensemble"] = "movinas.ensemble"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleFile:
    """The whole content of an ensemble file.

    Attributes:
        models: Folder of the trained network of each member, in their order, relative to the folder of the file;
            None before they are trained.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    schema: Literal[1]
    kind: Literal["movinas.ensemble"]
    fingerprint: str
    models: tuple[str, ...] | None = None
    ensemble: EnsembleSpec
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        if self.models is None:
            return
        if len(self.models) != (num_members := len(self.ensemble.members)):
            raise SpecError(f"must be one folder per member, {num_members}, but got {len(self.models)}", where="models")
        for number, model in enumerate(self.models):
            if not model or "\0" in model:
                raise SpecError(f"must be a folder, but got {shown(model)}", where=f"models[{number}]")


_ADAPTER = TypeAdapter(EnsembleFile)


def ensemble_fingerprint(ensemble: EnsembleSpec) -> str:
    """SHA-256, 64 hexadecimal digits, of everything in an ensemble that is not at its default."""
    return digest(essence(ensemble))


def make_ensemble_file(
    ensemble: EnsembleSpec, *, models: Sequence[str] | None = None, provenance: Provenance | None = None
) -> EnsembleFile:
    """The file of an ensemble, with its fingerprint.

    Raises:
        SpecError: Another number of models than of members.
    """
    return EnsembleFile(
        schema=SCHEMA,
        kind=KIND,
        fingerprint=ensemble_fingerprint(ensemble),
        models=None if models is None else tuple(models),
        ensemble=ensemble,
        provenance=provenance or Provenance(),
    )


def write_ensemble(ensemble_file: EnsembleFile, folder: Path) -> Path:
    """Write `<fingerprint>.json` into `folder`, whole or not at all; an existing file of that name is replaced.

    Raises:
        SpecError: The folder or file cannot be written.
    """
    path = folder / f"{ensemble_file.fingerprint}.json"
    write_document(asdict(ensemble_file), path)
    return path


def read_ensemble(path: Path) -> EnsembleFile:
    """Read and check an ensemble file.

    Raises:
        SpecError: As `spec_json.read_spec`; also another number of models than of members.
    """
    return parse_ensemble(read_document(path), path=path)


def read_spec_or_ensemble(path: Path) -> SpecFile | EnsembleFile:
    """Read and check a specification file or an ensemble file, whichever it says it is.

    Raises:
        SpecError: As `read_ensemble`; what is of neither kind is refused as a specification.
    """
    document = read_document(path)
    if isinstance(document, dict) and document.get("kind") == KIND:
        return parse_ensemble(document, path=path)
    return parse_spec(document, path=path)


def parse_ensemble(document: object, *, path: Path | None = None) -> EnsembleFile:
    """Check a parsed document; errors as `read_ensemble`."""
    checked = check_header(document, kind=KIND, schema=SCHEMA, path=path)
    ensemble_file = validate(_ADAPTER, checked, path=path, max_values=2 * MAX_VALUES)
    actual = ensemble_fingerprint(ensemble_file.ensemble)
    check_fingerprint(ensemble_file.fingerprint, actual=actual, of="ensemble", path=path)
    return ensemble_file


def json_schema() -> dict[str, Any]:
    """JSON Schema of an ensemble file, as published in `docs/ensemble.schema.json`."""
    return _ADAPTER.json_schema()
