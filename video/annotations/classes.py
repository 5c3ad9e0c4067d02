"""Names of classes in files of their own: a name per line, a number with each, or a JSON object."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from search_spaces.errors import ManifestError, shown
from video.annotations.text import MAX_CLASSES, fields_of, integer, read_json, read_lines
from video.manifest import check_name


def read_class_names(path: Path) -> tuple[str, ...]:
    """Class names by class number.

    A line is a name (`riding a bike`); or all lines have a number from 0 or from 1, before the name (`12 Biking`,
    `c012 Biking`) or after a comma (`clapping,12`). A `.json` file maps each name to its number.

    Raises:
        ManifestError: Not such a file; names or numbers twice; a number left out.
    """
    if path.suffix == ".json":
        return _by_number(_numbers_of_json(read_json(path), path), path=path)
    lines = [line.strip() for _, line in read_lines(path)]
    numbered = _numbered_before(lines) or _numbered_after(lines)
    if numbered is not None:
        return _by_number(numbered, path=path)
    return _by_number(list(enumerate(lines)), path=path)


def used_numbers(numbers: Sequence[int]) -> tuple[str, ...]:
    """Names for classes that have none: their numbers, up to the highest that is used."""
    return tuple(str(number) for number in range(max(numbers, default=-1) + 1))


def name_of(number: int, class_names: Sequence[str] | None) -> str:
    """The name of a class; its number where classes have no names.

    Raises:
        ManifestError: No such class.
    """
    if class_names is None:
        return str(number)
    if number >= len(class_names):
        raise ManifestError(f"a label must be below {len(class_names)}, the number of classes, but got {number}")
    return class_names[number]


def _numbers_of_json(document: object, path: Path) -> list[tuple[int, str]]:
    if not isinstance(document, Mapping):
        raise ManifestError(f"must map class names to numbers, but got {type(document).__name__}", path=path)
    pairs = []
    for name, value in document.items():
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ManifestError(f"a class must have a number, but got {shown(value)}", path=path, where=shown(name))
        pairs.append((integer(str(value), "a class"), name))
    return pairs


def _numbered_before(lines: Sequence[str]) -> list[tuple[int, str]] | None:
    """Lines such as `12 Biking`; None if any is written otherwise, or the numbers have gaps."""
    pairs = [line.split(maxsplit=1) for line in lines]
    return _if_numbered([(pair[0].removeprefix("c"), pair[1]) for pair in pairs if len(pair) == 2], lines)


def _numbered_after(lines: Sequence[str]) -> list[tuple[int, str]] | None:
    pairs = [fields_of(line) for line in lines]
    return _if_numbered([(pair[1], pair[0]) for pair in pairs if len(pair) == 2], lines)


def _if_numbered(pairs: Sequence[tuple[str, str]], lines: Sequence[str]) -> list[tuple[int, str]] | None:
    if len(pairs) != len(lines) or not all(number.isascii() and number.isdigit() for number, _ in pairs):
        return None
    numbers = [int(number[:9]) for number, _ in pairs]
    if not numbers or sorted(numbers) != list(range(min(numbers), min(numbers) + len(numbers))) or min(numbers) > 1:
        return None
    return [(number - min(numbers), name) for number, (_, name) in zip(numbers, pairs, strict=True)]


def _by_number(pairs: Sequence[tuple[int, str]], *, path: Path) -> tuple[str, ...]:
    names = dict(pairs)
    if not pairs or len(pairs) > MAX_CLASSES or len(set(names.values())) != len(pairs):
        raise ManifestError(
            f"must name different classes, each by a number of its own, at least one and at most {MAX_CLASSES}, "
            f"but got {len(pairs)} of which {len(set(names.values()))} differ",
            path=path,
        )
    if sorted(names) != list(range(len(names))):
        raise ManifestError(
            f"must number the classes from 0 without gaps, but got {shown(sorted(names)[:8])}", path=path
        )
    for name in names.values():
        check_name("a class", name)
    return tuple(names[number] for number in range(len(names)))
