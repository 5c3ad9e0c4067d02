"""JSON documents of a kind and schema, checked against a dataclass; an error names the place of what is wrong."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from search_spaces.errors import DocumentError, MovinasError, SpecError, shown
from search_spaces.strict_json import canonical, load, num_values, pretty

T = TypeVar("T")

MAX_VALUES = 1 << 14
"""Numbers, texts, lists and objects of a document; a spec of 16 blocks of 64 layers with its genotype has 13,000."""


def read_document(path: Path) -> Any:  # noqa: ANN401
    """Parse the JSON file at `path`.

    Raises:
        SpecError: The file cannot be read, or is no JSON within the limits of `strict_json`.
    """
    try:
        return load(path)
    except DocumentError as error:
        raise SpecError(error.message, path=path, where=error.where) from error


def check_header(document: object, *, kind: str, schema: int, path: Path | None) -> dict[str, Any]:
    """The same document, if it is an object of this kind and schema.

    Raises:
        SpecError: It is not.
    """
    if not isinstance(document, dict):
        raise SpecError(f"must be an object, but got {shown(document)}", path=path)
    if document.get("kind") != kind:
        raise SpecError(f"must be {kind!r}, but got {shown(document.get('kind'))}", path=path, where="kind")
    if type(found := document.get("schema")) is not int or found != schema:
        raise SpecError(f"must be {schema}, but got {shown(found)}", path=path, where="schema")
    return document


def validate(
    adapter: TypeAdapter[T],
    document: object,
    *,
    path: Path | None,
    uncounted: Collection[str] = (),
    max_values: int = MAX_VALUES,
) -> T:
    """The value that a document describes.

    Args:
        adapter: Of its type.
        document: As JSON has it.
        path: Where it was read, for errors.
        uncounted: Fields that may be of any size, whose contents the caller has checked.
        max_values: How many values the rest may have: every wrong one costs a kilobyte before the first is told.

    Raises:
        SpecError: An unknown or missing field, a value of another type or outside its range, or too many values.
    """
    counted = document
    if isinstance(document, dict):
        counted = {name: content for name, content in document.items() if name not in uncounted}
    if (found := num_values(counted)) > max_values:
        raise SpecError(f"a document must hold at most {max_values} values, but got {found}", path=path)
    try:
        return adapter.validate_json(canonical(document))
    except ValidationError as error:
        raise _spec_error(error, path=path) from error


def check_fingerprint(stated: str, *, actual: str, of: str, path: Path | None) -> None:
    """Refuse a fingerprint that is not that of the content.

    Raises:
        SpecError: `stated` is not `actual`, the fingerprint of `of`.
    """
    if stated != actual:
        raise SpecError(f"must be that of {of}, {actual}, but got {shown(stated)}", path=path, where="fingerprint")


def write_document(document: Mapping[str, object], path: Path) -> None:
    """Write a document, whole or not at all; an existing file is replaced, and folders are made as needed.

    Raises:
        SpecError: The folder or file cannot be written.
    """
    temporary = path.with_name(f".{path.stem}.tmp-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        try:
            with temporary.open("x", encoding="utf-8") as file:
                file.write(pretty(document))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise SpecError(f"must be a writable file, but got {error.strerror}", path=path) from error


def _spec_error(error: ValidationError, *, path: Path | None) -> SpecError:
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
