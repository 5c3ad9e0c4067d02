"""Space files: a search space as JSON that people write and exchange."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from search_spaces.errors import SpaceError, SpecError
from search_spaces.space import SearchSpace
from search_spaces.typed_json import check_header, read_document, validate

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
        document = check_header(read_document(path), kind=KIND, schema=SCHEMA, path=path)
        content = {name: value for name, value in document.items() if name not in ("kind", "schema")}
        return validate(_ADAPTER, content, path=path)
    except SpecError as error:
        raise SpaceError(error.message, path=path, where=error.where) from error
