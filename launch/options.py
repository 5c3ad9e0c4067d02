"""Command-line options from a typed dataclass, and back: flags, YAML files, dotted overrides.

A command's options are one frozen dataclass; nested dataclasses become dotted options (`--search.steps 300`), and any
YAML file with the same names can be given with `--config`. A run folder keeps the resolved text, which reads back.
"""

import argparse
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from jsonargparse import ArgumentParser

from search_spaces.errors import MovinasError, UsageError
from search_spaces.strict_yaml import INCLUDE, check_yaml, read_yaml

T = TypeVar("T")

MAX_ROUNDS = 5
"""How often defaults may follow from defaults."""
REQUIRED = "the following arguments are required: "


def parse(
    options: type[T],
    arguments: Sequence[str],
    *,
    prog: str,
    positionals: Sequence[str] = (),
    short: Mapping[str, str] | None = None,
    repeated: Sequence[str] = (),
    defaults: Callable[[T], Mapping[str, object]] | None = None,
) -> T:
    """Options from command-line arguments.

    Args:
        options: A dataclass whose fields are the options.
        arguments: Without the names of program and verb.
        prog: Program and verb, for help and errors.
        positionals: Fields that are given without a flag; a tuple takes one or more, or none if it has a default.
        short: Fields that have a short flag too, such as `-n`.
        repeated: Fields, tuples of text, whose flag may be given several times.
        defaults: Dotted names to what they are where nobody gave them, which may follow from what was given.

    Raises:
        UsageError: An unknown, missing or unreadable option.
    """
    parser = _parser(options, prog=prog, positionals=positionals, short=short)
    arguments = _gathered([_with_underscores(argument) for argument in arguments], repeated)
    _check_configurations(arguments)
    try:
        values = _values(options, parser, parser.parse_args(list(arguments)))
        for _ in range(MAX_ROUNDS if defaults is not None else 0):
            assert defaults is not None
            parser.set_defaults(dict(defaults(values)))
            before, values = values, _values(options, parser, parser.parse_args(list(arguments)))
            if values == before:
                break
        return values
    except argparse.ArgumentError as error:
        raise UsageError(f"{_plainly(str(error), positionals)} (see {prog} --help)") from error


def _with_underscores(argument: str) -> str:
    """An option as its field is called: `--group-by` is `--group_by`."""
    flag, separator, value = argument.partition("=")
    if not flag.startswith("--"):
        return argument
    return f"--{flag.removeprefix('--').replace('-', '_')}{separator}{value}"


def _check_configurations(arguments: Sequence[str]) -> None:
    """Refuse configuration files that hold more than options before anything reads them."""
    for argument, following in pairwise([*arguments, ""]):
        flag, separator, value = argument.partition("=")
        if len(flag) > len("--") and f"--{INCLUDE}".startswith(flag):  # flags may be abbreviated
            path = Path(value if separator else following)
            if path.is_file():
                read_yaml(path)


def _gathered(arguments: Sequence[str], repeated: Sequence[str]) -> list[str]:
    """The same arguments with all occurrences of a repeated flag as one list, at the end."""
    rest: list[str] = []
    found: dict[str, list[str]] = {}
    remaining = iter(arguments)
    for argument in remaining:
        flag, separator, value = argument.partition("=")
        name = flag.removeprefix("--")
        if name not in repeated or flag == name or value.startswith("["):
            rest.append(argument)
        elif separator:
            found.setdefault(flag, []).append(value)
        elif (following := next(remaining, None)) is None:
            rest.append(argument)
        else:
            found.setdefault(flag, []).append(following)
    return [*rest, *(f"{flag}={json.dumps(values)}" for flag, values in found.items())]


def _plainly(text: str, positionals: Sequence[str]) -> str:
    """A finding of the parser in the words of the command line."""
    missing = text.removeprefix(REQUIRED)
    if missing != text:
        names = (name.upper().rstrip("S") if name in positionals else f"--{name}" for name in missing.split(", "))
        return f"these arguments must be given, but are missing: {', '.join(names)}"
    return text.replace("<class '", "").replace("'>", "")


def to_yaml(options: object) -> str:
    """The resolved options as YAML that `from_yaml` reads."""
    parser = _parser(type(options), prog="movinas")
    text = parser.dump(parser.parse_object(_plain(options)), skip_unset=False)
    assert isinstance(text, str)
    return text


def from_yaml(options: type[T], text: str) -> T:
    """Options from the text of `to_yaml`.

    Raises:
        UsageError: The text is no YAML, or does not hold these options.
    """
    check_yaml(text)
    parser = _parser(options, prog="movinas")
    try:
        return _values(options, parser, parser.parse_string(text))
    except (argparse.ArgumentError, ValueError, TypeError, KeyError) as error:
        if isinstance(error, MovinasError):
            raise
        raise UsageError(f"a configuration must hold the options of its command, but {error}") from error


def _parser(
    options: type[Any], *, prog: str, positionals: Sequence[str] = (), short: Mapping[str, str] | None = None
) -> ArgumentParser:
    short = short or {}
    parser = ArgumentParser(
        prog=prog, description=(options.__doc__ or "").split("\n\n", maxsplit=1)[0], exit_on_error=False
    )
    parser.add_argument("--config", action="config", help="YAML file with any of these options.")
    flags = [field.name for field in dataclasses.fields(options) if field.type in (bool, "bool")]
    for name in positionals:
        field = next(field for field in dataclasses.fields(options) if field.name == name)
        several = str(field.type).startswith("tuple")
        if several:
            number: dict[str, Any] = {"nargs": "+"}
            if field.default is not dataclasses.MISSING:
                number = {"nargs": "*", "default": list(field.default)}
            parser.add_argument(name, metavar=name.upper().rstrip("S"), **number)
        else:
            parser.add_argument(name, type=field.type, metavar=name.upper())
    for name, flag in short.items():
        field = next(field for field in dataclasses.fields(options) if field.name == name)
        parser.add_argument(flag, f"--{name}", type=field.type, default=field.default)
    skip = {*positionals, *flags, *short}
    parser.add_class_arguments(options, None, as_positional=False, skip=skip, fail_untyped=True)
    for name in flags:
        if name not in positionals:
            parser.add_argument(f"--{name}", action="store_true")
    return parser


def _values(options: type[T], parser: ArgumentParser, namespace: Any) -> T:  # noqa: ANN401
    values = parser.instantiate(namespace)
    names = [field.name for field in dataclasses.fields(options)]  # type: ignore[arg-type]
    given = {name: values[name] for name in names}
    return options(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})


def _plain(value: object) -> Any:  # noqa: ANN401
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
