"""The options of an existing run, and how to go on with it."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import TypeVar

from launch.options import from_yaml
from results.run_dir import RunDir, lock
from search_spaces.errors import MovinasError, RunFolderError, UsageError

T = TypeVar("T")


def options_of(run: RunDir, options: type[T]) -> T:
    """The resolved options in a run folder.

    Raises:
        RunFolderError: The configuration is missing or does not read.
    """
    try:
        return from_yaml(options, run.config_path.read_text("utf-8"))
    except OSError as error:
        raise RunFolderError(f"must hold config.yaml, but got {error.strerror}", path=run.path) from error
    except (UsageError, UnicodeDecodeError) as error:
        raise RunFolderError(f"must hold a readable configuration, but {error}", path=run.config_path) from error


@contextlib.contextmanager
def new(run: RunDir) -> Iterator[RunDir]:
    """Work in a run folder just made; it goes again where bad input ends the work before the first checkpoint."""
    try:
        with lock(run):
            yield run
    except MovinasError:
        if not any(run.checkpoints_path.iterdir()):
            shutil.rmtree(run.path)
        raise
