"""Networks that answer together: each looks at a clip of its own, their logits are averaged (paper, 3.3)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from pydantic import ConfigDict

from search_spaces.cost import Cost
from search_spaces.errors import SpecError
from search_spaces.spec import ArchSpec
from search_spaces.variant import Variant, check_fits

MAX_MEMBERS = 16

Aggregation = Literal["mean_logits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleMember:
    """One network of an ensemble and the clip it looks at.

    Attributes:
        arch: The architecture, with the member's own frames, resolution and frame rate.
        variant: How it is built.
        offset_frames: How much later its clip lies than a view says, in frames of its own rate, in [0, 1): 0.5 at half
            the frame rate is one frame of the full rate. Seconds would be rounded (1 / 5 s is no binary fraction), and
            frames of the full rate would need that rate beside them.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    arch: ArchSpec
    variant: Variant
    offset_frames: float = 0.0

    def __post_init__(self) -> None:
        check_fits(self.arch, self.variant)
        if not 0.0 <= self.offset_frames < 1.0:
            raise SpecError(f"must be in [0, 1), but got {self.offset_frames}", where="offset_frames")
        # 0 and 0.0 are equal here and must be equal in a file, which has the fingerprint of its text
        object.__setattr__(self, "offset_frames", float(self.offset_frames))


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleSpec:
    """Networks whose answers for one video are put together.

    Attributes:
        members: At least two, in the order in which a file names their trained networks.
        aggregation: `mean_logits`: the unweighted mean of the members' logits, before softmax.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    members: tuple[EnsembleMember, ...]
    aggregation: Aggregation = "mean_logits"

    def __post_init__(self) -> None:
        if not 2 <= len(self.members) <= MAX_MEMBERS:
            raise SpecError(f"must be 2 to {MAX_MEMBERS} members, but got {len(self.members)}", where="members")


def temporal_ensemble(spec: ArchSpec, variant: Variant) -> EnsembleSpec:
    """Two networks of one architecture at half its frame rate, which see its frames alternately (paper, 3.3).

    Args:
        spec: The architecture at the full frame rate; its clip lasts as long as the members' clips.
        variant: Of both members, as it is: a pool window counts frames, so it reaches back twice as long.

    Raises:
        SpecError: The clip has an odd number of frames.
    """
    clip = spec.clip
    if clip.num_frames % 2:
        raise SpecError(f"must be even to be halved, but got {clip.num_frames}", where="arch.clip.num_frames")
    halved = replace(spec, clip=replace(clip, num_frames=clip.num_frames // 2, rate_fps=clip.rate_fps / 2))
    return EnsembleSpec(
        members=tuple(
            EnsembleMember(arch=halved, variant=variant, offset_frames=offset_frames) for offset_frames in (0.0, 0.5)
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleCost:
    """Cost of an ensemble for one video: sums over its members, but for the peak.

    Attributes:
        macs: Multiply-adds of convolutions and linear layers.
        paper_gflops: The paper's GFLOPs, in units of 1e9.
        params: Trainable numbers.
        peak_activation_bytes: The largest of the members', which run one after another.
        stream_buffer_bytes: Bytes of stream buffers.
        stream_state_bytes: Bytes of all state between two steps of a stream, which every member keeps.
    """

    macs: int
    paper_gflops: float
    params: int
    peak_activation_bytes: int
    stream_buffer_bytes: int
    stream_state_bytes: int


def ensemble_cost(costs: Iterable[Cost]) -> EnsembleCost:
    """Cost of an ensemble of members with these costs."""
    costs = tuple(costs)
    return EnsembleCost(
        macs=sum(cost.macs for cost in costs),
        paper_gflops=sum(cost.paper_gflops for cost in costs),
        params=sum(cost.params for cost in costs),
        peak_activation_bytes=max(cost.peak_activation_bytes for cost in costs),
        stream_buffer_bytes=sum(cost.stream_buffer_bytes for cost in costs),
        stream_state_bytes=sum(cost.stream_state_bytes for cost in costs),
    )
