"""The resolved options of a run as plain data, for those who want one of them and not the command's types; its data."""

import hashlib
from collections.abc import Mapping
from typing import Any

import yaml

from results.run_dir import RunDir
from search_spaces.errors import UsageError
from search_spaces.strict_yaml import read_yaml

_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Makes plain data alone; the one in C where PyYAML was built with it."""


def read_config(run: RunDir) -> Mapping[str, Any]:
    """The options by name, those of a group as a mapping; empty where `config.yaml` does not read."""
    try:
        found = yaml.load(read_yaml(run.config_path), Loader=_LOADER)
    except (UsageError, ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def option(run: RunDir, *names: str) -> Any:  # noqa: ANN401
    """One option, such as `option(run, "recipe", "epochs")`; None where there is none of that name."""
    value: Any = read_config(run)
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def manifest_digest(run: RunDir) -> str | None:
    """SHA-256 of the list of videos in a run's folder; None where there is none."""
    try:
        with run.manifest_path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
