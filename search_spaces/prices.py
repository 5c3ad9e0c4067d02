"""What each part of a network costs under one metric: the entries that tables of costs are built of."""

from dataclasses import dataclass
from typing import Literal, Protocol

from search_spaces.cost import BYTES, DataType, PartCost, head_cost, layer_cost, stem_cost
from search_spaces.spec import ClipGeometry, LayerSpec
from search_spaces.stream_state import state_bytes
from search_spaces.variant import Variant

Metric = Literal[
    "macs", "paper_half_macs", "params", "stream_buffer_bytes", "stream_state_bytes", "peak_activation_bytes"
]


class Prices(Protocol):
    """The cost of any part of a space's networks, an integer in the metric's unit."""

    def stem(self, width: int) -> int:
        """The stem, with whatever a network costs beside its parts."""
        ...

    def layer(self, layer: LayerSpec, *, in_width: int, in_size: int) -> int:
        """A layer for so many channels and pixels of height and width."""
        ...

    def head(self, head_width: int, *, in_width: int, in_size: int, dense_width: int) -> int:
        """The head with dense layer and classifier."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """Prices by the arithmetic of `cost.py`.

    Attributes:
        metric: What is counted; `paper_half_macs` are twice the paper's FLOPs.
        dtype: Type of stream buffers and activations.
    """

    variant: Variant
    metric: Metric
    num_classes: int
    clip: ClipGeometry
    dtype: DataType

    def stem(self, width: int) -> int:
        """As `Prices`."""
        return self._value(stem_cost(width, clip=self.clip))

    def layer(self, layer: LayerSpec, *, in_width: int, in_size: int) -> int:
        """As `Prices`."""
        return self._value(
            layer_cost(layer, self.variant, in_width=in_width, in_size=in_size, num_frames=self.clip.num_frames)
        )

    def head(self, head_width: int, *, in_width: int, in_size: int, dense_width: int) -> int:
        """As `Prices`."""
        return self._value(
            head_cost(
                self.variant,
                in_width=in_width,
                head_width=head_width,
                dense_width=dense_width,
                in_size=in_size,
                num_frames=self.clip.num_frames,
                num_classes=self.num_classes,
            )
        )

    def _value(self, part: PartCost) -> int:
        if self.metric == "macs":
            return part.macs
        if self.metric == "paper_half_macs":
            return 2 * part.macs + part.extra_half_macs
        if self.metric == "params":
            return part.params
        if self.metric == "peak_activation_bytes":
            return BYTES[self.dtype] * part.peak_activations
        buffer_bytes, whole_bytes = state_bytes(part.state, bytes_per_element=BYTES[self.dtype])
        return buffer_bytes if self.metric == "stream_buffer_bytes" else whole_bytes
