"""The state of streams as tensors: made, and checked where it comes in from outside."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from search_spaces.errors import SpecError, StateError
from search_spaces.spec import ArchSpec
from search_spaces.stream_state import StateEntry, state_entries
from search_spaces.variant import Variant

State = dict[str, Tensor]
"""What a stream remembers, by name; the first dimension of every entry counts streams. See `state_entries`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateForm:
    """What the state of a network is made of, for frames of one size.

    Attributes:
        height: Of the frames, pixels.
        width: Likewise.
        entries: Shape, for one stream, and type of each entry.
        device: Of all.
    """

    height: int
    width: int
    entries: Mapping[str, tuple[tuple[int, ...], torch.dtype]]
    device: torch.device

    @classmethod
    def of(cls, spec: ArchSpec, variant: Variant, *, height: int, width: int, like: Tensor) -> Self:
        """The form for a network whose weights are of the type and on the device of `like`.

        Raises:
            SpecError: The network does not stream.
        """
        if not variant.streams:
            raise SpecError(
                "must be causal, with no global pool in se, for a network that streams, "
                f"but got causal {variant.causal} and se {variant.se} with a {variant.se_pool} pool",
                where="variant",
            )
        entries = state_entries(spec, variant, height=height, width=width)
        shapes = {name: (entry.shape, _dtype(entry, like.dtype)) for name, entry in entries.items()}
        return cls(height=height, width=width, entries=shapes, device=like.device)

    def zeros(self, num_streams: int) -> State:
        """The state before the first frame."""
        return {
            name: torch.zeros(num_streams, *shape, dtype=dtype, device=self.device)
            for name, (shape, dtype) in self.entries.items()
        }

    def empty(self, num_streams: int) -> State:
        """A state whose values are yet to come."""
        return {
            name: torch.empty(num_streams, *shape, dtype=dtype, device=self.device)
            for name, (shape, dtype) in self.entries.items()
        }

    def check(self, state: Mapping[str, Tensor], *, num_streams: int) -> None:
        """Refuse a state of another form.

        Raises:
            StateError: An entry is missing, unknown, or not of these streams, this frame size, or the type and place of
                the weights.
        """
        for name in (*self.entries, *sorted(state.keys() - self.entries.keys())):
            if name not in self.entries or not isinstance(state.get(name), Tensor):
                found = "is missing" if name in self.entries else "got an unknown one"
                raise StateError(f"a state must have exactly the entries of its network, but {found}", where=name)
        for name, (shape, dtype) in self.entries.items():
            given = state[name]
            if given.shape != (num_streams, *shape) or given.dtype != dtype or given.device != self.device:
                raise StateError(
                    f"must be of shape {(num_streams, *shape)} for {num_streams} streams of "
                    f"{self.height}x{self.width} pixels, {dtype} on {self.device}, "
                    f"but got {tuple(given.shape)}, {given.dtype} on {given.device}",
                    where=name,
                )


def _dtype(entry: StateEntry, weights: torch.dtype) -> torch.dtype:
    """Type of an entry's tensor; sums have at least 32 bits."""
    if entry.type == "int32":
        return torch.int32
    return weights if entry.type == "network" else torch.promote_types(weights, torch.float32)
