"""Space files: a search space as JSON that people write and exchange."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from search_spaces.errors import DocumentError, SpaceError, shown
from search_spaces.space import SearchSpace
from search_spaces.spec_json import spec_error
from search_spaces.strict_json import canonical, load

SCHEMA = 1
KIND = "movinas.space"

_ADAPTER = TypeAdapter(SearchSpace)


def space_document(space: SearchSpace) -> dict[str, Any]:
    """A space as the JSON document of a space file."""
    return {"schema": SCHEMA, "kind": KIND, **asdict(space)}


def read_space(path: Path) -> SearchSpace:
    """Read and check a space file.

    Raises:
        SpaceError: The file cannot be read, breaks the limits of a document, has an unknown schema or field, or a
            value outside its range.
    """
    try:
        document = load(path)
    except DocumentError as error:
        raise SpaceError(error.message, path=path) from error
    if not isinstance(document, dict):
        raise SpaceError(f"must be an object, but got {shown(document)}", path=path)
    if (kind := document.pop("kind", None)) != KIND:
        raise SpaceError(f"must be {KIND!r}, but got {shown(kind)}", path=path, where="kind")
    if type(schema := document.pop("schema", None)) is not int or schema != SCHEMA:
        raise SpaceError(f"must be {SCHEMA}, but got {shown(schema)}", path=path, where="schema")
    try:
        return _ADAPTER.validate_json(canonical(document))
    except ValidationError as error:
        found = spec_error(error, path=path)
        raise SpaceError(found.message, path=path, where=found.where) from error
