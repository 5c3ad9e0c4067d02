"""The options of an existing run, and how to go on with it."""

from typing import TypeVar

from launch.options import from_yaml
from results.run_dir import RunDir
from search_spaces.errors import RunFolderError, UsageError

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
