"""Tensors as bytes and back, without pickle: safetensors, also for the state of an optimizer."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from search_spaces.errors import WeightsError, shown
from search_spaces.outside import read_regular

MAX_FILE_BYTES = 1 << 33
"""The largest network that `search_spaces.ceilings` allows, twice over."""
MOST_NAMED = 3
"""How many tensors of a kind an error names."""


def to_bytes(tensors: Mapping[str, Tensor], *, texts: Mapping[str, str] | None = None) -> bytes:
    """Named tensors, and texts for the header, as one safetensors blob; equal ones give equal bytes."""
    contiguous = {name: tensor.detach().contiguous().cpu() for name, tensor in sorted(tensors.items())}
    return save(contiguous, metadata=None if texts is None else dict(texts))


def from_bytes(blob: bytes) -> dict[str, Tensor]:
    """Named tensors of a safetensors blob.

    Raises:
        WeightsError: The blob is no safetensors.
    """
    try:
        return load(blob)
    except (SafetensorError, ValueError, KeyError, RuntimeError, OverflowError, AttributeError) as error:
        raise WeightsError(f"weights must be safetensors, but got {error}") from error


def read_tensors(path: Path, *, max_bytes: int = MAX_FILE_BYTES) -> dict[str, Tensor]:
    """Named tensors of a safetensors file.

    Raises:
        WeightsError: Not a readable file, one of more than `max_bytes`, or no safetensors.
    """
    try:
        return from_bytes(read_regular(path, max_bytes=max_bytes))
    except OSError as error:
        raise WeightsError(f"must be a readable file, but got {error.strerror}", path=path) from error
    except WeightsError as error:
        raise error.at(path=path) from error


def load_exactly(net: nn.Module, tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Load weights into a network, all of them or none.

    Raises:
        WeightsError: A tensor is missing, unknown, or of another shape.
    """
    require_shapes({name: tensor.shape for name, tensor in net.state_dict().items()}, tensors, source=source)
    require_real(tensors, source=source)
    net.load_state_dict(dict(tensors))


def require_shapes(expected: Mapping[str, Sequence[int]], tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Refuse tensors that are not exactly those expected.

    The message of the error names three of each kind and counts the others; its attributes name all.

    Raises:
        WeightsError: A tensor is missing, unknown, or of another shape.
    """
    missing = [name for name in expected if name not in tensors]
    unexpected = [name for name in sorted(tensors) if name not in expected]
    misshaped = [
        name for name, shape in expected.items() if name in tensors and tuple(tensors[name].shape) != tuple(shape)
    ]
    named = [f"{name} is missing" for name in missing[:MOST_NAMED]]
    named += [f"{printable_name(name)} is unknown" for name in unexpected[:MOST_NAMED]]
    named += [
        f"{name} must be {tuple(expected[name])} but is {tuple(tensors[name].shape)}" for name in misshaped[:MOST_NAMED]
    ]
    if not named:
        return
    num_more = len(missing) + len(unexpected) + len(misshaped) - len(named)
    counts = f"{len(missing)} missing, {len(unexpected)} unknown, {len(misshaped)} of another shape"
    more = f" and {num_more} more ({counts})" if num_more else ""
    raise WeightsError(
        f"weights must fit the network, but in {source} {'; '.join(named)}{more}",
        missing=missing,
        unexpected=unexpected,
        misshaped=misshaped,
    )


def require_real(tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Refuse complex tensors, which a network of real numbers would take half of.

    Raises:
        WeightsError: There is one.
    """
    for name, tensor in tensors.items():
        if tensor.is_complex():
            raise WeightsError(
                f"weights must be real numbers, but in {source} {printable_name(name)} is {tensor.dtype}"
            )


def printable_name(name: str) -> str:
    """The name of a tensor as a message shows it; a file may hold any."""
    return name if name.isprintable() and len(name) <= 80 else shown(name)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimizer as `<parameter number>.<name>`; schedules are functions of the step and not in it."""
    return {
        f"{number}.{name}": value if isinstance(value, Tensor) else torch.tensor(value)
        for number, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` took; parameters without state stay without.

    Raises:
        WeightsError: State of a parameter that the optimizer does not have, or of another shape than its parameter.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        known = re.fullmatch("[0-9]{1,9}", number) is not None and int(number) < len(parameters)
        if not known or tensor.shape not in (parameters[int(number)].shape, torch.Size([])):
            raise WeightsError(
                f"state of an optimizer must be of one of {len(parameters)} parameters and of its shape, but got "
                f"{printable_name(key)} of {tuple(tensor.shape)}"
            )
        state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
