"""How a spec is built into a network: every switch that is not part of the architecture."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict

from search_spaces.errors import SpecError
from search_spaces.spec import ArchSpec, kernel_name
from search_spaces.temporal_head import TemporalHead

MAX_POOL_WINDOW = 1 << 14

Convolution = Literal["3d", "3d_2plus1d", "2plus1d"]
SqueezeKind = Literal["none", "2d", "3d", "2plus3d"]
SqueezePool = Literal["global", "cumulative"]
Activation = Literal["swish", "hard_swish"]
TemporalPooling = Literal["mean", "softmax"]
Gate = Literal["sigmoid", "hard_sigmoid", "legacy_hard_sigmoid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Switches of construction; the defaults are the published `base` networks (movinet.md 1, YAML files).

    Attributes:
        conv: Of depthwise kernels longer than one frame. `3d`: one convolution. `3d_2plus1d`: one over space, norm,
            activation, then one over time. `2plus1d`: the same function on tensors of at most four dimensions.
        causal: Whether temporal convolutions look at the present and the past alone; otherwise they are centred.
        temporal_shift: An eighth of the channels comes from the frame before (and, where not causal, another eighth
            from the frame after) as input of each depthwise convolution (TSM; paper 3.2); only for kernels without
            extent in time.
        se: What squeeze-and-excitation pools: `3d` over time and space, `2d` each frame, `2plus3d` both beside each
            other; `none` leaves it out.
        se_pool: Over which time `3d` and `2plus3d` pool: the whole clip, or for each frame what came until then.
        positional_encoding: Add sines of the frame's number to what is pooled, weighted by a trained scalar.
        pool_window: Frames over which cumulative pools and the head's pool reach back; None for all. A stream that
            does not end needs this or `pool_decay`: a mean of all frames gives the t-th the weight 1 / t.
        pool_decay: Weight of a frame in those pools relative to the next one, in (0, 1); None for 1.
        temporal_pooling: How the head puts frames together. `mean`: of their features, before the dense layer.
            `softmax`: dense layer and classifier see every frame, and for each class the logits of frames are weighted
            by a softmax over time, for several classes that show at different times (Charades; paper, B.1).
        activation: After every normalised convolution but projections and skips, and in squeeze-and-excitation.
        gate: Of squeeze-and-excitation; `hard_sigmoid` is relu6(x + 3) / 6, the legacy one clip(0.2 x + 0.5, 0, 1).
        head_activation: Of the dense layer before the classifier.
        temporal_head: A light transformer over time in place of the dense layer, whose width is then not used; with a
            window where the network streams. None for the published head.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    conv: Convolution = "3d"
    causal: bool = False
    temporal_shift: bool = False
    se: SqueezeKind = "3d"
    se_pool: SqueezePool = "global"
    positional_encoding: bool = False
    pool_window: int | None = None
    pool_decay: float | None = None
    temporal_pooling: TemporalPooling = "mean"
    activation: Activation = "swish"
    gate: Gate = "sigmoid"
    head_activation: Activation = "swish"
    temporal_head: TemporalHead | None = None

    def __post_init__(self) -> None:
        if self.se_pool == "cumulative" and self.se in ("none", "2d"):
            raise SpecError(
                f"cumulative needs se 3d or 2plus3d, which pool over time, but got {self.se}", where="se_pool"
            )
        if self.positional_encoding and not self.se_per_frame:
            raise SpecError(
                f"needs squeeze-and-excitation of each frame, but got se {self.se} and se_pool {self.se_pool}",
                where="positional_encoding",
            )
        if self.pool_window is not None and not 1 <= self.pool_window <= MAX_POOL_WINDOW:
            raise SpecError(f"must be in [1, {MAX_POOL_WINDOW}], but got {self.pool_window}", where="pool_window")
        if self.pool_decay is not None and not 0.0 < self.pool_decay < 1.0:
            raise SpecError(f"must be in (0, 1), but got {self.pool_decay}", where="pool_decay")
        if self.pool_window is not None and self.pool_decay is not None:
            raise SpecError(f"must be None beside pool_window, but got {self.pool_decay}", where="pool_decay")
        for name in ("pool_window", "pool_decay"):
            if getattr(self, name) is not None and not self.streams:
                raise SpecError("needs a network that streams: causal, with no pool over the whole clip", where=name)
        if self.temporal_head is not None and self.temporal_pooling == "softmax":
            raise SpecError("must be None beside temporal_pooling softmax, but got a head", where="temporal_head")
        if self.streams and self.temporal_head is not None and self.temporal_head.window is None:
            raise SpecError(
                "must be a number of frames where the network streams, for a bidirectional head sees frames that are "
                "yet to come, but got None",
                where="temporal_head.window",
            )

    @property
    def se_per_frame(self) -> bool:
        """Whether squeeze-and-excitation gives every frame a gate of its own."""
        return self.se in ("2d", "2plus3d") or (self.se == "3d" and self.se_pool == "cumulative")

    @property
    def se_over_time(self) -> bool:
        """Whether squeeze-and-excitation pools over time."""
        return self.se in ("3d", "2plus3d")

    @property
    def se_num_pools(self) -> int:
        """How many pools squeeze-and-excitation sees beside each other."""
        return 2 if self.se == "2plus3d" else 1

    @property
    def streams(self) -> bool:
        """Whether no output depends on a later frame, so that the network can be run piece by piece."""
        over_clip = self.temporal_pooling == "softmax" or (self.se_over_time and self.se_pool == "global")
        return self.causal and not over_clip


VARIANTS: dict[str, Variant] = {
    "base": Variant(
        conv="3d",
        causal=False,
        temporal_shift=False,
        se="3d",
        se_pool="global",
        positional_encoding=False,
        pool_window=None,
        pool_decay=None,
        temporal_pooling="mean",
        activation="swish",
        gate="sigmoid",
        head_activation="swish",
        temporal_head=None,
    ),
    "paper-stream": Variant(
        conv="3d",
        causal=True,
        temporal_shift=False,
        se="3d",
        se_pool="cumulative",
        positional_encoding=True,
        pool_window=None,
        pool_decay=None,
        temporal_pooling="mean",
        activation="hard_swish",
        gate="hard_sigmoid",
        head_activation="hard_swish",
        temporal_head=None,
    ),
    "released-stream": Variant(
        conv="3d_2plus1d",
        causal=True,
        temporal_shift=False,
        se="2plus3d",
        se_pool="cumulative",
        positional_encoding=False,
        pool_window=None,
        pool_decay=None,
        temporal_pooling="mean",
        activation="hard_swish",
        gate="hard_sigmoid",
        head_activation="swish",
        temporal_head=None,
    ),
}
"""Presets. `published.released_stream` has what single published networks change of `released-stream`."""


def check_fits(spec: ArchSpec, variant: Variant) -> None:
    """Refuse a variant that a spec cannot be built in.

    Raises:
        SpecError: A temporal shift beside a kernel with extent in time.
    """
    if not variant.temporal_shift:
        return
    for number, block in enumerate(spec.blocks):
        for position, layer in enumerate(block.layers):
            if layer.kernel[0] > 1:
                raise SpecError(
                    "must have no extent in time where the variant has a temporal shift, "
                    f"but got {kernel_name(layer.kernel)}",
                    where=f"arch.blocks[{number}].layers[{position}].kernel",
                )
