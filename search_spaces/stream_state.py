"""What a streaming network remembers between two steps, by arithmetic: names, shapes and types of its state."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from search_spaces.spec import STEM_STRIDE, ArchSpec, LayerSpec, layer_name, same_size
from search_spaces.variant import Variant, check_fits

StateType = Literal["network", "float32", "int32"]
"""Type of an entry; `network` is that of the network's weights."""
FRAME_COUNT = "frame_count"
SHIFT_SHARE = 8
"""One channel in so many is shifted in time (TSM)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateEntry:
    """One tensor of a stream's state.

    Attributes:
        shape: For one stream; the number of streams comes before it.
        type: Its type.
    """

    shape: tuple[int, ...]
    type: StateType

    def num_bytes(self, *, bytes_per_element: int) -> int:
        """Size for one stream, where the network's type has so many bytes per element."""
        return math.prod(self.shape) * (bytes_per_element if self.type == "network" else 4)


def state_entries(spec: ArchSpec, variant: Variant, *, height: int, width: int) -> dict[str, StateEntry]:
    """Every entry by name, in the order of the network.

    `<layer>.stream_buffer` holds the last frames that a temporal convolution, or shift, looks back at: (frames, H, W,
    channels), and (frames, H W, channels) for `2plus1d`. `<layer>.pool` and `head.pool` belong to the means over time:
    the sum so far (channels,), or the last frames (frames, channels) of a window. `head.layer1.stream_buffer` and so on
    hold the last keys beside the last values that a temporal head attends to, (frames, 2 channels). `frame_count` () is
    the number of frames seen.

    Args:
        spec: The architecture.
        variant: How it is built; empty where it does not stream.
        height: Of the input, pixels.
        width: Likewise.
    """
    check_fits(spec, variant)
    entries: dict[str, StateEntry] = {}
    rows, columns = same_size(height, STEM_STRIDE), same_size(width, STEM_STRIDE)
    for number, block in enumerate(spec.blocks):
        for position, layer in enumerate(block.layers):
            for name, entry in layer_state(layer, variant, height=rows, width=columns).items():
                entries[f"{layer_name(number, position)}.{name}"] = entry
            rows, columns = same_size(rows, layer.stride), same_size(columns, layer.stride)
    return entries | head_state(spec.head_width, variant)


def layer_state(layer: LayerSpec, variant: Variant, *, height: int, width: int) -> dict[str, StateEntry]:
    """Entries of one layer, by short name, for an input of this size; see `state_entries`."""
    entries: dict[str, StateEntry] = {}
    if not variant.streams:
        return entries
    frames, channels = layer.kernel[0] - 1, layer.expansion
    if variant.temporal_shift:
        frames, channels = 1, layer.expansion // SHIFT_SHARE
    elif variant.conv != "3d":  # the buffer lies between the two convolutions
        height, width = same_size(height, layer.stride), same_size(width, layer.stride)
    if frames and channels:
        pixels = (height * width,) if variant.conv == "2plus1d" else (height, width)
        entries["stream_buffer"] = StateEntry(shape=(frames, *pixels, channels), type="network")
    if layer.se and variant.se_over_time:
        entries |= _pool_state(layer.expansion, variant)
    return entries


def head_state(head_width: int, variant: Variant) -> dict[str, StateEntry]:
    """Entries of the head, and the number of frames seen, which belongs to the whole network."""
    if not variant.streams:
        return {}
    entries: dict[str, StateEntry] = {}
    head, width = variant.temporal_head, head_width
    if head is not None:
        assert head.window is not None
        shape, width = (head.window - 1, 2 * head.embed_dim), head.embed_dim
        for number in range(1, head.depth + 1 if head.window > 1 else 1):
            entries[f"head.layer{number}.stream_buffer"] = StateEntry(shape=shape, type="network")
    entries |= {f"head.{name}": entry for name, entry in _pool_state(width, variant).items()}
    return {**entries, FRAME_COUNT: StateEntry(shape=(), type="int32")}


def state_bytes(entries: Mapping[str, StateEntry], *, bytes_per_element: int) -> tuple[int, int]:
    """Bytes of the stream buffers, and of the whole state, for one stream."""
    sizes = {name: entry.num_bytes(bytes_per_element=bytes_per_element) for name, entry in entries.items()}
    return sum(size for name, size in sizes.items() if name.endswith("stream_buffer")), sum(sizes.values())


def _pool_state(channels: int, variant: Variant) -> dict[str, StateEntry]:
    if variant.pool_window is None:
        return {"pool": StateEntry(shape=(channels,), type="float32")}
    if variant.pool_window == 1:
        return {}
    return {"pool": StateEntry(shape=(variant.pool_window - 1, channels), type="float32")}
