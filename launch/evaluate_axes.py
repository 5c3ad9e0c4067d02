"""Accuracy of `movinas evaluate` against frame number, number of frames and frame rate (paper: C.4, C.5, Figure 6)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from launch.clips import ClipConfig
from launch.compute import Compute
from launch.trained import clips_of, predictions_of, shared
from results.records import AccuracyPoint, Axis, TestReport
from retrain.by_frame import FrameKind, frame_logits, points_by_frame
from retrain.ensemble import Ensemble, mean_logits
from retrain.evaluate import report_of
from retrain.model_file import ModelCard
from search_spaces.errors import UsageError
from video.clips import View
from video.manifest import VideoItem

FRAME_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Of the network's number of frames, by default."""
RATE_FACTORS = (0.5, 1.0, 2.0)
"""Of the network's frame rate, by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisConfig:
    """What accuracy is drawn against.

    Attributes:
        by: Nothing, the number of the frame, how many frames a clip has, or its frame rate.
        frames: Numbers of frames; empty for the usual ones.
        rates: Frame rates; likewise.
        views: As written on the command line.
    """

    by: Axis | None
    frames: tuple[int, ...]
    rates: tuple[float, ...]
    views: str

    def check(self, ensemble: Ensemble) -> None:
        """Refuse what does not go together.

        Raises:
            UsageError: Numbers without their axis or not above 0, views that leave no choice of frames, or members
                whose frames do not come at the same pace.
        """
        if (self.frames and self.by != "frames") or (self.rates and self.by != "rate"):
            raise UsageError(
                f"frames must go with by frames, and rates with by rate, but got by={self.by}, "
                f"frames={list(self.frames)}, rates={list(self.rates)}"
            )
        if min(self.frames, default=1) < 1 or min(self.rates, default=1.0) <= 0:
            raise UsageError(
                f"frames must be at least 1 and rates above 0, but got {list(self.frames)}, {list(self.rates)}"
            )
        if self.by == "frame" and self.views != "1x1":
            raise UsageError(f"by frame must go with views 1x1, but got {self.views}")
        if self.by == "frames" and self.views.startswith("whole"):
            raise UsageError(f"by frames must go with clips of some length, but got views {self.views}")
        heads = [member.card.variant.temporal_head for member in ensemble.members]
        if self.by == "frame" and any(head is not None and head.window is None for head in heads):
            raise UsageError("by frame must be of networks without a bidirectional temporal head, but got one")
        paces = {(member.card.num_frames, member.card.rate_fps) for member in ensemble.members}
        if self.by == "frame" and len(paces) > 1:
            raise UsageError(
                "by frame must be of networks with equally many frames at one rate, but got "
                f"{', '.join(f'{frames} at {rate_fps:g} fps' for frames, rate_fps in sorted(paces))}"
            )

    def changes(self, card: ModelCard) -> list[tuple[float, float]]:
        """Factors by which number of frames and frame rate change, for each point; `card` is the first member's."""
        if self.by == "frames":
            numbers = self.frames or tuple(max(1, round(factor * card.num_frames)) for factor in FRAME_FACTORS)
            return [(number / card.num_frames, 1.0) for number in dict.fromkeys(numbers)]
        rates = self.rates or tuple(factor * card.rate_fps for factor in RATE_FACTORS)
        return [(rate_fps / card.rate_fps, rate_fps / card.rate_fps) for rate_fps in dict.fromkeys(rates)]


def points_of(
    axis: AxisConfig,
    ensemble: Ensemble,
    report: TestReport,
    *,
    items: Sequence[VideoItem],
    config: ClipConfig,
    compute: Compute,
    batch_size: int,
    stream: bool,
) -> tuple[AccuracyPoint, ...]:
    """The points of an axis, none without one.

    Args:
        axis: What is varied; it was checked.
        ensemble: The networks.
        report: What came of them as they are, which need not be measured again.
        items: The videos.
        config: How they are read.
        compute: Where the networks run.
        batch_size: Clips per batch.
        stream: Whether clips are stepped through frame by frame.
    """
    if axis.by is None:
        return ()
    if axis.by == "frame":
        heads = [member.card.variant.temporal_head for member in ensemble.members]
        kinds: list[FrameKind] = [] if any(heads) else ["alone"]
        if all(member.card.variant.streams for member in ensemble.members):
            kinds.append("so_far")
        return tuple(
            point
            for kind in kinds
            for point in _by_frame(kind, ensemble, items, config, compute, batch_size=batch_size)
        )
    points = []
    for more_frames, faster in axis.changes(ensemble.members[0].card):
        changed = _changed(ensemble, more_frames, faster)
        measured = report
        if changed.members[0].card != ensemble.members[0].card:
            predictions = predictions_of(
                changed, items, config, compute, views=axis.views, batch_size=batch_size, stream=stream
            )
            measured = report_of(predictions, space=ensemble.label_space, views=axis.views)
        card = changed.members[0].card
        points.append(
            AccuracyPoint(
                num_frames=card.num_frames,
                rate_fps=card.rate_fps,
                top1=measured.top1,
                top5=measured.top5,
                mean_average_precision=measured.mean_average_precision,
                num_videos=measured.num_videos,
                num_failed=measured.num_failed,
            )
        )
    return tuple(points)


def _changed(ensemble: Ensemble, more_frames: float, faster: float) -> Ensemble:
    """The same networks on clips of other numbers of frames and rates; offsets stay a share of a frame."""
    return Ensemble(
        members=tuple(
            replace(
                member,
                card=replace(
                    member.card,
                    num_frames=max(1, round(member.card.num_frames * more_frames)),
                    rate_fps=member.card.rate_fps * faster,
                ),
            )
            for member in ensemble.members
        )
    )


def _by_frame(
    kind: FrameKind,
    ensemble: Ensemble,
    items: Sequence[VideoItem],
    config: ClipConfig,
    compute: Compute,
    *,
    batch_size: int,
) -> tuple[AccuracyPoint, ...]:
    share, card = shared(compute, ensemble), ensemble.members[0].card
    members = [
        frame_logits(
            member.net.to(compute.device),
            clips_of(member, items, config, (View(),), batch_size=batch_size, compute=share),
            kind,
            device=compute.device,
            amp_dtype=compute.amp_dtype,
        )
        for member in ensemble.members
    ]
    return points_by_frame(
        mean_logits(members),
        kind,
        num_videos=len(items),
        space=ensemble.label_space,
        num_frames=card.num_frames,
        rate_fps=card.rate_fps,
    )
