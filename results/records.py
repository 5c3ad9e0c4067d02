"""What happened, as values: the records of the journals of runs and sweeps, and the report of a test.

The journal holds only what seed and data determine (design decision 8); times, memory and hosts go to telemetry.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from search_spaces.scaling import Coefficients

Origin = Literal["argmax", "policy", "random"]
"""Where an architecture of the final comparison came from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """How well one architecture did on held-out clips.

    Attributes:
        quality: Top-1 accuracy in [0, 1].
        num_clips: Clips it was measured on.
    """

    quality: float
    num_clips: int

    def __post_init__(self) -> None:
        if not (0.0 <= self.quality <= 1.0 and self.num_clips > 0):
            raise ValueError(f"quality must be in [0, 1] over at least one clip, but got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """One architecture sampled in one step of the search.

    Attributes:
        genotype: Choice of every active decision, by name.
        cost: Cost in the target's unit; `ratio` is cost / target.
        quality: Accuracy on its own held-out clips, in [0, 1].
        reward: What the controller was told.
    """

    genotype: Mapping[str, str | float | int | bool]
    fingerprint: str
    cost: float
    ratio: float
    quality: float
    reward: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One step of the search: weight step, measurement, policy step.

    Attributes:
        train_loss: Mean cross-entropy of the weight step, nats.
        op_warmup: Probability that a layer ran all its kernels; `filter_warmup` that it ran at its largest.
        learning_rate: Of the controller, in this step.
        baseline: Of the reward, after this step's mean was included.
        entropy: Mean normalised entropy H / log n per group of decisions, in [0, 1].
        argmax_fingerprint: The most likely architecture after the step, with `argmax_cost` and `argmax_ratio`.
    """

    step: int
    trials: tuple[TrialRecord, ...]
    train_loss: float
    op_warmup: float
    filter_warmup: float
    learning_rate: float
    baseline: float
    entropy: Mapping[str, float]
    argmax_fingerprint: str
    argmax_cost: float
    argmax_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRecord:
    """Snapshot of the policy after the step of that number, from 0: probability of every choice of every decision.

    Attributes:
        probabilities: Decision name to one probability per choice, in the order of `StartRecord.decisions`.
        argmax: Choices of the most likely architecture, active decisions only.
    """

    step: int
    probabilities: Mapping[str, tuple[float, ...]]
    argmax: Mapping[str, str | float | int | bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRecord:
    """First record of a search: what it searches, for what.

    Attributes:
        target: The target as written, such as `macs=6M/clip`; `target_cost` in its unit.
        decisions: Decision name to its choices, in order.
        num_train_videos: Videos the weights see; `num_heldout_videos` those that rewards come from.
    """

    space: str
    space_hash: str
    target: str
    target_cost: float
    steps: int
    seed: int
    decisions: Mapping[str, tuple[str | float | int | bool, ...]]
    class_names: tuple[str, ...]
    num_train_videos: int
    num_heldout_videos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateRecord:
    """One architecture of the final comparison, measured by the trained supernet on more held-out clips."""

    origin: Origin
    genotype: Mapping[str, str | float | int | bool]
    fingerprint: str
    cost: float
    ratio: float
    quality: float
    num_clips: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRecord:
    """Last record of a search: what it found, beside random architectures of equal cost.

    Attributes:
        found: Fingerprint of the selected architecture.
        argmax_ratio: Cost / target of the raw argmax, whether or not it was selected.
        random_quality_mean: Mean quality of the random architectures; `random_quality_best` the best of them.
    """

    found: str
    found_cost: float
    found_ratio: float
    found_quality: float
    argmax_fingerprint: str
    argmax_ratio: float
    random_quality_mean: float
    random_quality_best: float
    num_random: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """One epoch of retraining.

    Attributes:
        train_loss: Mean loss over the epoch, nats; `train_top1` on the (augmented) training clips.
        val_top1: Of the averaged weights on the validation split, None where it was not evaluated.
    """

    epoch: int
    step: int
    train_loss: float
    train_top1: float
    val_top1: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TestReport:
    """Accuracy of a network on a list of videos.

    Attributes:
        top1: Share of videos whose class came first, in [0, 1]; `top5` among the first five.
        num_videos: Videos the accuracy is over; `num_failed` videos that could not be decoded, not among them.
        stream: Whether the network was stepped frame by frame.
        per_class: Class name to its top-1 accuracy.
        confusion: Rows true class, columns predicted class, counts.
    """

    __test__: ClassVar[bool] = False  # for pytest, which takes classes of this name for tests

    top1: float
    top5: float
    num_videos: int
    num_failed: int
    views: str
    class_names: tuple[str, ...]
    per_class: Mapping[str, float]
    confusion: tuple[tuple[int, ...], ...]
    stream: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingRecord:
    """One architecture trained in a sweep over scaling coefficients.

    Attributes:
        name: Of the unit; of two records with one name the first counts.
        coefficients: By which the base space was scaled.
        fingerprint: Of the architecture, drawn from the scaled space.
        macs_per_frame: Of the architecture, its clip's over its frames.
        top1: Accuracy on the validation split after the last epoch, in [0, 1].
    """

    name: str
    coefficients: Coefficients
    fingerprint: str
    macs_per_frame: float
    top1: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRecord:
    """One finished search of a family.

    Attributes:
        name: Of the unit and its run folder; of two records with one name the first counts.
        found: Fingerprint of the selected architecture; `found_ratio` its cost / target, `found_quality` its quality.
        found_macs: Multiply-adds of its clip; `found_state_bytes` what a stream of it keeps between two frames.
        random_quality: Mean quality of random architectures of equal cost.
    """

    name: str
    space: str
    target: str
    seed: int
    found: str
    found_ratio: float
    found_quality: float
    found_macs: int
    found_state_bytes: int
    argmax_ratio: float
    random_quality: float


Record = (
    StartRecord
    | StepRecord
    | PolicyRecord
    | CandidateRecord
    | ResultRecord
    | EpochRecord
    | ScalingRecord
    | MemberRecord
)
"""What a journal may hold; each line carries the name of its kind."""
