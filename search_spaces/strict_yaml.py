"""YAML from outside, checked before a reader of YAML makes anything of it.

A configuration is names, numbers, texts and lists. Anchors and aliases could make a page of text fill the memory, tags
ask for types, and of a name that stands twice a reader would keep the last.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from search_spaces.errors import UsageError, shown
from search_spaces.outside import read_regular

MAX_BYTES = 1 << 18
MAX_DEPTH = 16
INCLUDE = "config"
"""The name by which one configuration would pull in another file."""
_NOT_FINITE = re.compile(r"[-+]?\.(inf|nan)", re.IGNORECASE)
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class _Mapping:
    names: set[str] = field(default_factory=set)
    at_name: bool = True


def read_yaml(path: Path) -> str:
    """The text of a YAML file that `check_yaml` has nothing against.

    Raises:
        UsageError: As `check_yaml`, or not a readable file of at most 256 KiB of UTF-8.
    """
    try:
        text = read_regular(path, max_bytes=MAX_BYTES).decode("utf-8")
        check_yaml(text)
    except OSError as error:
        raise UsageError(f"must be a readable file, but got {error.strerror}", path=path) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"must be UTF-8, but byte {error.start} is not", path=path) from error
    except UsageError as error:
        raise error.at(path=path) from error
    return text


def check_yaml(text: str) -> None:
    """Refuse YAML beyond names, numbers, texts and lists.

    Raises:
        UsageError: No YAML; more than 256 KiB or 16 levels; an anchor, alias or tag; a name twice, or that of another
            configuration; NaN or infinity; a zero byte.
    """
    if len(text) > MAX_BYTES:
        raise UsageError(f"a configuration must have at most {MAX_BYTES} bytes, but got {len(text)}")
    stack: list[_Mapping | None] = []
    try:
        for event in yaml.parse(text, Loader=_Loader):
            _check_event(event, stack)
    except yaml.YAMLError as error:
        raise UsageError(f"a configuration must hold the options of its command, but is no YAML: {error}") from error


def _check_event(event: yaml.Event, stack: list[_Mapping | None]) -> None:
    if isinstance(event, yaml.CollectionEndEvent):
        stack.pop()
    if not isinstance(event, yaml.NodeEvent):
        return
    line = event.start_mark.line + 1
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise UsageError(f"a configuration must have no anchors or aliases, but got {shown(event.anchor)}", line=line)
    if event.tag is not None:
        raise UsageError(f"a configuration must have no tags, but got {shown(event.tag)}", line=line)
    mapping = stack[-1] if stack else None
    if mapping is not None:
        if mapping.at_name:
            _check_name(event, mapping, line=line, outermost=len(stack) == 1)
        mapping.at_name = not mapping.at_name
    if isinstance(event, yaml.ScalarEvent):
        if "\0" in event.value:
            raise UsageError("a configuration must have no zero byte, but got one", line=line)
        if not event.style and _NOT_FINITE.fullmatch(event.value):
            raise UsageError(f"a number must be finite, but got {shown(event.value)}", line=line)
        return
    stack.append(_Mapping() if isinstance(event, yaml.MappingStartEvent) else None)
    if len(stack) > MAX_DEPTH:
        raise UsageError(f"a configuration must nest at most {MAX_DEPTH} deep, but got more", line=line)


def _check_name(event: yaml.NodeEvent, mapping: _Mapping, *, line: int, outermost: bool) -> None:
    if not isinstance(event, yaml.ScalarEvent):
        raise UsageError("a name must be text, but got a list or mapping", line=line)
    if event.value in mapping.names:
        raise UsageError(f"a name must stand once, but got {shown(event.value)} again", line=line)
    if outermost and event.value == INCLUDE:
        raise UsageError("a configuration must not name another one, but got config", line=line)
    mapping.names.add(event.value)
