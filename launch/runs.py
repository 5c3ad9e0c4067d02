"""What a run folder keeps of its command, and how a new one is held."""

import contextlib
import dataclasses
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from launch import console
from launch.options import from_yaml
from launch.specs import find_variant
from results.checkpoint import load_newest, restoring
from results.run_dir import Environment, RunDir, environment_differences, lock, open_run
from retrain.model_file import ModelCard, is_model_folder
from search_spaces.errors import (
    DocumentError,
    MovinasError,
    RankLostError,
    RunFolderError,
    SpecError,
    UsageError,
    WeightsError,
)
from search_spaces.outside import read_regular
from search_spaces.space_json import read_space
from search_spaces.strict_json import load
from search_spaces.strict_yaml import MAX_BYTES as MAX_YAML_BYTES
from search_spaces.variant import Variant
from supernet.evaluator import WEIGHTS
from supernet.supernet import Supernet
from supernet.tensors import from_bytes, load_exactly
from video.manifest import load_manifest

T = TypeVar("T")
MAX_KEPT_BYTES = 1 << 33
"""Of a file that a run keeps a copy of; the largest is a manifest."""


def options_of(run: RunDir, options: type[T]) -> T:
    """The resolved options in a run folder.

    Raises:
        RunFolderError: The configuration is missing or does not read.
    """
    try:
        text = read_regular(run.config_path, max_bytes=MAX_YAML_BYTES).decode("utf-8")
        return from_yaml(options, text)
    except OSError as error:
        raise RunFolderError(f"must hold config.yaml, but got {error.strerror}", path=run.path) from error
    except (UsageError, UnicodeDecodeError) as error:
        raise RunFolderError(f"must hold a readable configuration, but {error}", path=run.config_path) from error


def require_same(run: RunDir, options: object, *, files: Mapping[str, str], aside: Collection[str]) -> None:
    """Refuse to go on with a run under another configuration.

    Args:
        run: Its folder.
        options: Resolved.
        files: Names of files of the run to the texts they must have; errors call them by their stem.
        aside: Dotted names of options that may differ, for the results do not depend on them.

    Raises:
        UsageError: Something differs; the text names the option.
        RunFolderError: The run's own configuration does not read.
    """
    before, now = _named_values(options_of(run, type(options))), _named_values(options)
    for name, value in now.items():
        if name not in aside and before[name] != value:
            raise UsageError(
                f"{run.path} goes on with the options it was begun with, but {name} was {before[name]} and is now "
                f"{value}; keep it, or choose another --out"
            )
    for name, text in files.items():
        if _text_of(run.path / name) != text:
            raise UsageError(
                f"{run.path} goes on with the {Path(name).stem} it was begun with, but got another; keep it, or choose "
                "another --out"
            )


def _text_of(path: Path) -> str | None:
    """What a file of a run says; None where it cannot be read."""
    try:
        return read_regular(path, max_bytes=MAX_KEPT_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _named_values(options: object, prefix: str = "") -> dict[str, object]:
    """Values of options by their dotted names."""
    values: dict[str, object] = {}
    for field in dataclasses.fields(options):  # type: ignore[arg-type]
        name, value = f"{prefix}{field.name}", getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            values |= _named_values(value, f"{name}.")
        else:
            values[name] = value
    return values


def tell_differences(run: RunDir, now: Environment) -> None:
    """Log what of the environment is not as it was when the run was begun."""
    try:
        before = load(run.env_path)
    except DocumentError as error:
        console.log(f"the run's first environment is unknown: {error}")
        return
    if not isinstance(before, dict):
        console.log(f"the run's first environment is unknown: {run.env_path} holds no object")
        return
    for line in environment_differences(before, now):
        console.log(f"environment differs, so results may: {line}")


def absolute_init(init: str) -> str:
    """What weights start from, with an absolute path, as a run folder keeps it."""
    source, _, name = init.partition(":")
    return f"{source}:{Path(name).resolve()}" if name else init


def variant_of(run: RunDir) -> Variant:
    """How the networks of a search are built, from the copy its folder keeps.

    Raises:
        SpecError: The copy is missing or damaged.
    """
    return find_variant(str(run.variant_path))


def load_supernet(run: RunDir) -> Supernet:
    """The shared weights of a search as they are in its newest checkpoint.

    Raises:
        WeightsError: There is none, or they are damaged.
    """
    checkpoint = load_newest(run.checkpoints_path, set_aside=False)
    if checkpoint is None:
        raise WeightsError("a search must have a checkpoint to start from, but has none", path=run.path)
    supernet = Supernet(
        read_space(run.space_path),
        variant_of(run),
        num_classes=load_manifest(run.manifest_path).num_classes,
    )
    with restoring(run.checkpoints_path):
        load_exactly(supernet, from_bytes(checkpoint.blobs[WEIGHTS]), source=str(run.checkpoints_path))
    return supernet


def model_folder(path: Path) -> Path:
    """The folder of a network: `path` itself where it is one, otherwise that of a retraining.

    Raises:
        RunFolderError: `path` is neither.
    """
    return path if is_model_folder(path) else open_run(path, kind="retrain").model_path


def require_streams(card: ModelCard, *, path: Path, where: str | None = None) -> None:
    """Refuse a network that does not stream, before anything is decoded.

    Args:
        card: What is known of it.
        path: Where it was asked for: a run, the folder of a network, or an ensemble file.
        where: Which member of an ensemble it is.

    Raises:
        SpecError: It does not stream.
    """
    if not card.variant.streams:
        raise SpecError(
            "must be a network that streams, but this one also looks at later frames; to get one that streams, "
            "retrain its spec with --variant released-stream",
            path=path,
            where=where,
        )


@contextlib.contextmanager
def held_new(run: RunDir) -> Iterator[None]:
    """Hold a run just made; it goes again where bad input ends the work before the first checkpoint."""
    with lock(run):
        try:
            yield
        except MovinasError as error:
            if not isinstance(error, RankLostError) and not any(run.checkpoints_path.iterdir()):
                shutil.rmtree(run.path)
            raise
