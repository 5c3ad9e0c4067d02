"""The packages of the extra `deploy`, imported where a file needs them and not before."""

import importlib
from types import ModuleType

from search_spaces.errors import UsageError


def imported(name: str) -> ModuleType:
    """A module of `onnx`, `onnxscript` or `onnxruntime`.

    Raises:
        UsageError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            f"an ONNX file needs the package {name.partition('.')[0]}, which cannot be imported ({error}); "
            "install what it takes with: pip install 'movinas[deploy]'"
        ) from error
