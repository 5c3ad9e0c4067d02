"""The weight-sharing network of a whole search space."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from search_spaces.errors import SpecError, shown
from search_spaces.space import SearchSpace
from search_spaces.spec import ArchSpec, LayerSpec, parse_kernel
from search_spaces.stream_state import FRAME_COUNT
from search_spaces.variant import Variant
from supernet.layers import Bottleneck, ConvNorm, Head
from supernet.state import State
from supernet.timeline import Timeline
from supernet.video_net import build, check_clips, run

Checkpointing = Literal["none", "mixed", "all"]
"""Layers of which only the input is kept for the backward pass, which runs them a second time: none, those that run all
their kernels, or all."""


class Supernet(nn.Module):
    """Every network of a space in one set of weights (tunas.md 2).

    1x1x1 convolutions are shared by all widths, which take the leading channels; every kernel has weights of its own,
    and where the space decides on the form of convolutions, every form of it.
    Batch norm uses the statistics of the batch, always. Only the path of the spec given to `forward` is computed, and
    nothing remembers it.

    Args:
        space: The space.
        variant: How its networks are built, where the space leaves that open.
        num_classes: Outputs of the classifier.
        seed: Of the initial weights.
        rezero: Initial weight of every layer's branch; 0 as published, more where training is short.
        checkpointing: Layers that trade time for memory; results are the same.
    """

    def __init__(
        self,
        space: SearchSpace,
        variant: Variant,
        *,
        num_classes: int,
        seed: int = 0,
        rezero: float = 0.0,
        checkpointing: Checkpointing = "none",
    ) -> None:
        super().__init__()
        self.space, self.num_classes, self.checkpointing = space, num_classes, checkpointing
        self.variant = space.variants(variant)[0]
        self.convs = tuple(each.conv for each in space.variants(variant))
        self.stem, self.blocks, self.head = build(
            space.largest_widths(),
            self.variant,
            num_classes=num_classes,
            seed=seed,
            rezero=rezero,
            shared_kernels=[parse_kernel(name) for name in space.kernels],
            convs=self.convs,
        )

    def forward(
        self,
        clips_BCTHW: Tensor,
        spec: ArchSpec,
        mixed: frozenset[str] = frozenset(),
        *,
        variant: Variant | None = None,
    ) -> Tensor:
        """Logits of one architecture.

        Args:
            clips_BCTHW: Clips (B, 3, T, H, W), values in [0, 1].
            spec: An architecture of the space.
            mixed: Names of layers, such as `block2.layer1`, whose kernels are all run and averaged.
            variant: The one it was decoded in; None where the space decides on no form.

        Returns:
            Logits (B, number of classes).

        Raises:
            UsageError: Clips of another shape.
            SpecError: A variant that the supernet does not hold.
        """
        check_clips(clips_BCTHW, dimensions=(5,))
        timeline = Timeline.of(clips_BCTHW, self._held(variant))
        return self._run(clips_BCTHW, spec, mixed, timeline)

    def step(
        self,
        clips_BCTHW: Tensor,
        spec: ArchSpec,
        state: Mapping[str, Tensor] | None = None,
        mixed: frozenset[str] = frozenset(),
        *,
        variant: Variant | None = None,
    ) -> tuple[Tensor, State]:
        """Logits of one architecture after the next frames of its clips, through which no gradient goes back in time.

        Batch norm uses the statistics of these frames alone, so that clips in pieces and whole ones differ.

        Args:
            clips_BCTHW: The next frames, (B, 3, T, H, W).
            spec: As in `forward`, as are `mixed` and `variant`; all must be those of the steps before.
            state: Of the step before; None begins.
            mixed: As in `forward`.
            variant: As in `forward`.

        Returns:
            Logits (B, number of classes) of all frames until now; and the new state, cut off from its history.

        Raises:
            SpecError: As `forward`; or the variant does not stream.
            UsageError: As `forward`.
        """
        variant = self._held(variant)
        if not variant.streams:
            raise SpecError("must stream, for a clip in pieces", where="variant")
        check_clips(clips_BCTHW, dimensions=(5,))
        if state is None:
            state = {FRAME_COUNT: torch.zeros(len(clips_BCTHW), dtype=torch.int32, device=clips_BCTHW.device)}
        timeline = Timeline.of(clips_BCTHW, variant, past=state)
        logits_BK = self._run(clips_BCTHW, spec, mixed, timeline)
        return logits_BK, {name: tensor.detach() for name, tensor in timeline.future.items()}

    def _held(self, variant: Variant | None) -> Variant:
        held = self.space.variants(self.variant)
        if variant is None and len(held) == 1:
            return held[0]
        if variant is None or variant not in held:
            raise SpecError(f"must be one that the supernet holds, but got {shown(variant)}", where="variant")
        return variant

    def _run(self, clips_BCTHW: Tensor, spec: ArchSpec, mixed: frozenset[str], timeline: Timeline) -> Tensor:
        if self.checkpointing == "none" or not torch.is_grad_enabled():
            return run(self, clips_BCTHW, spec, mixed=mixed, timeline=timeline)
        return run(_Recomputed.of(self), clips_BCTHW, spec, mixed=mixed, timeline=timeline)


@dataclass(slots=True)
class _Recomputed:
    """The same parts, whose layers are run anew in the backward pass."""

    stem: ConvNorm
    blocks: nn.ModuleList
    head: Head
    variant: Variant

    @classmethod
    def of(cls, supernet: Supernet) -> "_Recomputed":
        everywhere = supernet.checkpointing == "all"
        blocks = [
            [_recomputed(cast("Bottleneck", layer), everywhere=everywhere) for layer in cast("nn.ModuleList", block)]
            for block in supernet.blocks
        ]
        return cls(supernet.stem, cast("nn.ModuleList", blocks), supernet.head, supernet.variant)


def _recomputed(module: Bottleneck, *, everywhere: bool) -> Callable[..., Tensor]:
    def forward(x_NCHW: Tensor, layer: LayerSpec, timeline: Timeline, name: str, *, mixed: bool = False) -> Tensor:
        if not (everywhere or mixed):
            return cast("Tensor", module(x_NCHW, layer, timeline, name))
        # without random numbers, for a supernet draws none
        result = checkpoint(
            module, x_NCHW, layer, timeline, name, mixed=mixed, use_reentrant=False, preserve_rng_state=False
        )
        return cast("Tensor", result)

    return forward
