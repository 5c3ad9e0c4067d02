"""JSON from outside, read within limits; JSON of ours, written in one canonical form.

Python's reader accepts NaN, keeps the last of two equal field names, and fails with a RecursionError on deep nesting.
None of that may pass for a document here.
"""

import dataclasses
import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from search_spaces.errors import DocumentError, shown
from search_spaces.outside import open_regular

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_INTEGER = 1 << 63
# possessive, and ended by the end too, so that no text makes it look twice at anything
_STRING = re.compile(rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_DEEPER = {byte: 1 if byte in b"[{" else -1 for byte in b"[]{}"}
_LONG_INTEGER = re.compile(rb"[:,\[ ]-?[0-9]{19}")


def loads(text: str | bytes, *, max_bytes: int = MAX_BYTES) -> Any:  # noqa: ANN401
    """Parse one JSON document.

    Raises:
        DocumentError: Larger than `max_bytes`, nested deeper than 32, not UTF-8, not JSON, a field named twice,
            NaN or infinity, or an integer beyond 63 bits.
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(data) > max_bytes:
        raise DocumentError(f"a document must have at most {max_bytes} bytes, but got {len(data)}")
    _check_depth(data)
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique_fields,
            parse_constant=_refuse_constant,
            parse_int=_bounded_integer,
            parse_float=_finite_float,
        )
    except UnicodeDecodeError as error:
        raise DocumentError(f"a document must be UTF-8, but byte {error.start} is not") from error
    except json.JSONDecodeError as error:
        raise DocumentError(
            f"a document must be JSON, but got {error.msg} at line {error.lineno} column {error.colno}"
        ) from error


def load(path: Path, *, max_bytes: int = MAX_BYTES) -> Any:  # noqa: ANN401
    """Parse the JSON file at `path`; errors name it.

    Raises:
        DocumentError: The file cannot be read, or its text breaks a limit of `loads`.
    """
    try:
        with open_regular(path) as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise DocumentError(f"must be a readable file, but got {error.strerror}", path=path) from error
    try:
        return loads(data, max_bytes=max_bytes)
    except DocumentError as error:
        raise error.at(path=path) from error


def check_quickly(data: bytes) -> None:
    """Refuse JSON that `loads` would refuse for its depth, integers or names, for a reader that checks all else.

    Raises:
        DocumentError: Nested deeper than 32, a field named twice, or an integer beyond 63 bits.
    """
    if _LONG_INTEGER.search(data):
        loads(data, max_bytes=len(data))
    _check_depth(data)
    try:
        json.loads(data.decode("utf-8"), object_pairs_hook=_unique_fields)
    except DocumentError:
        raise
    except ValueError:  # whoever reads it says what else is wrong
        return


def num_values(value: object) -> int:
    """How many values a document holds: itself, and all that lie in its objects and lists."""
    if isinstance(value, dict):
        return 1 + sum(map(num_values, value.values()))
    return 1 + sum(map(num_values, value)) if isinstance(value, list) else 1


def canonical(value: object) -> str:
    """The one text of a JSON value: sorted fields, no spaces, ASCII, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(value: object) -> str:
    """SHA-256 of the canonical text of a JSON value, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def essence(value: object) -> Any:  # noqa: ANN401
    """A dataclass as plain data, without the fields that have their default.

    What is hashed in this form keeps its hash when a later version adds a field with a default.
    """
    if isinstance(value, tuple):
        return [essence(item) for item in value]
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    given = {field.name: (getattr(value, field.name), field.default) for field in dataclasses.fields(value)}
    return {name: essence(content) for name, (content, default) in given.items() if content != default}


def pretty(value: object) -> str:
    """A text that people read and compare line by line, ending in a newline."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _check_depth(data: bytes) -> None:
    brackets = _STRING.sub(b"", data).translate(None, _NO_BRACKETS)
    if max(accumulate(map(_DEEPER.__getitem__, brackets)), default=0) > MAX_DEPTH:
        raise DocumentError(f"a document must nest at most {MAX_DEPTH} deep, but got more")


def _unique_fields(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        twice = sorted(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise DocumentError(f"a field must stand once, but got {', '.join(map(shown, twice[:3]))} more than once")
    return fields


def _refuse_constant(name: str) -> Any:  # noqa: ANN401
    raise DocumentError(f"a number must be finite, but got {name}")


def _bounded_integer(text: str) -> int:
    if len(text) > 20 or abs(int(text)) >= MAX_INTEGER:
        raise DocumentError(f"an integer must have at most 63 bits, but got {text[:24]}")
    return int(text)


def _finite_float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise DocumentError(f"a number must be finite, but got {text[:24]}")
    return value
