"""What happened, as values: the records of the journals of runs and sweeps, and the report of a test.

The journal holds only what seed and data determine (design decision 8); times, memory and hosts go to telemetry.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from search_spaces.scaling import Coefficients

Origin = Literal["argmax", "policy", "stand-in", "front", "random", "unlimited"]
"""Where an architecture of the final comparison came from: the strategy's favourite (of a policy its argmax), what else
it proposes inside the budget, random ones that stand in where it proposes too few, its front over several costs, random
draws inside the budget, and random draws at the target's cost that need not keep the limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """How well one architecture did on held-out clips.

    Attributes:
        quality: Top-1 accuracy, or the mean probability of the true class, in [0, 1].
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
        genotype: As `results.genotypes.pack` writes it; journals of earlier times hold the choice of every active
            decision by name.
        cost: Cost in the target's unit; `ratio` is cost / target.
        quality: On its own held-out clips, in [0, 1].
        reward: What the strategy was told.
        limit_ratios: Cost / limit of every limit, in the order of `StartRecord.limits`.
    """

    genotype: str | Mapping[str, str | float | int | bool]
    fingerprint: str
    cost: float
    ratio: float
    quality: float
    reward: float
    limit_ratios: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One step of the search: weight step, measurement, policy step.

    Attributes:
        train_loss: Mean cross-entropy of the weight step, nats.
        op_warmup: Probability that a layer ran all its kernels; `filter_warmup` that it ran at its largest.
        learning_rate: Of the controller, in this step; 0 of a strategy without one.
        baseline: Of the reward, after this step's mean was included; of a population, its mean.
        entropy: Mean normalised entropy H / log n per group of decisions, in [0, 1].
        argmax_fingerprint: The most likely architecture after the step, or the best of a population, with
            `argmax_cost`, `argmax_ratio` and `argmax_limit_ratios`.
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
    argmax_limit_ratios: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRecord:
    """Snapshot of the policy after the step of that number, from 0: probability of every choice of every decision.

    Of a population, their shares in it.

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
        init: What the shared weights started from: scratch, or a kind of source and the SHA-256 of its weights.
        limits: Costs never to be exceeded, as written, such as `state=2MiB@fp16`.
        strategy: Name of what chose the architectures.
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
    limits: tuple[str, ...] = ()
    strategy: str = "reinforce"
    init: str = "scratch"


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
    limit_ratios: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRecord:
    """Last record of a search: what it found, beside random architectures of equal cost.

    Attributes:
        found: Fingerprint of the selected architecture.
        argmax_ratio: Cost / target of the raw argmax, whether or not it was selected.
        random_quality_mean: Mean quality of the random architectures; `random_quality_best` the best of them.
        found_limit_ratios: Cost / limit of every limit, never above 1; `argmax_limit_ratios` those of the raw argmax.
        unlimited_quality_mean: Mean quality of random architectures at the target's cost that need not keep the limits,
            None without limits; what it is above `random_quality_mean` is the price of the limits.
            `unlimited_quality_best` the best of them.
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
    found_limit_ratios: tuple[float, ...] = ()
    argmax_limit_ratios: tuple[float, ...] = ()
    unlimited_quality_mean: float | None = None
    unlimited_quality_best: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """One epoch of retraining.

    Attributes:
        epoch: From 0.
        train_loss: Mean loss over the epoch, nats; `train_top1` on the (augmented) training clips.
        val_top1: Of the averaged weights on the validation split, None where it was not evaluated.
        metric: What `val_top1` is: top-1, of several heads action top-1, of several labels mAP.
    """

    epoch: int
    step: int
    train_loss: float
    train_top1: float
    val_top1: float | None
    metric: str = "top-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadReport:
    """Accuracy in one of several heads, such as verbs: as in `TestReport`."""

    top1: float
    top5: float
    class_names: tuple[str, ...]
    per_class: Mapping[str, float]
    confusion: tuple[tuple[int, ...], ...]


Axis = Literal["frame", "frames", "rate"]
"""What accuracy is drawn against: the frame's number in the clip (paper, C.4), how many frames a clip has (C.5), the
frame rate at which a clip is taken (Figure 6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyPoint:
    """Accuracy at one place of an axis.

    Attributes:
        frame: Number of the frame, from 0; None where all frames were seen.
        kind: Of a frame: `alone`, dense layer and classifier on its own features (paper, C.4), or `so_far`, what a
            stream says after it. `clip` where all frames were seen.
        num_frames: Frames of a clip, `rate_fps` apart.
        top1: As in `TestReport`, like `top5`, `mean_average_precision`, `num_videos` and `num_failed`.
    """

    frame: int | None = None
    kind: Literal["clip", "alone", "so_far"] = "clip"
    num_frames: int
    rate_fps: float
    top1: float
    top5: float
    mean_average_precision: float | None = None
    num_videos: int
    num_failed: int

    @property
    def quality(self) -> float:
        """As in `TestReport`."""
        return self.top1 if self.mean_average_precision is None else self.mean_average_precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """The embeddings of one clip's frames on two axes, in the order of time.

    Attributes:
        label: True class; of several the first.
    """

    label: int
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingReport:
    """How a network's embeddings of successive frames move, over windows of a test's clips (`retrain.grw`).

    Attributes:
        layer: What was measured: `embedding` of the temporal head, or a layer's normalised frame means.
        window: Frames of a window; `num_windows` how many there were.
        acceleration_ratio: Mean |a| over mean |v|.
        order_nll: Negative log-likelihood of the true order of frames, nats.
        order_accuracy: Share of windows whose true order is the most likely one.
        scaled_order_nll: As `order_nll`, of embeddings scaled to a mean V of 1, which compares networks of any scale.
        velocity: V, mean over windows of sum |v|^2 / (2 sigma^2).
        explained: Share of the embeddings' variance that the two principal axes of `trajectories` show, in [0, 1].
    """

    layer: str
    window: int
    num_windows: int
    acceleration_ratio: float
    order_nll: float
    order_accuracy: float
    scaled_order_nll: float
    velocity: float
    explained: float
    trajectories: tuple[Trajectory, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TestReport:
    """Accuracy of a network on a list of videos.

    Attributes:
        top1: Share of videos whose class came first, in [0, 1]; `top5` among the first five. Of several labels, one of
            them; of several heads, the class of each (an action is a verb and a noun).
        num_videos: Videos the accuracy is over; `num_failed` videos that could not be decoded, not among them.
        stream: Whether the network was stepped frame by frame.
        per_class: Class name to its top-1 accuracy; of several labels, to its average precision. `per_class_videos`
            how many of the videos have the class.
        confusion: Rows true class, columns predicted class, counts; empty with several labels or heads.
        mean_average_precision: Mean of `per_class` where videos may have several labels, None elsewhere.
        heads: Each head by itself, where there are several.
        by: What `points` are drawn against, None without any.
        embeddings: Of a network with a temporal head, or trained with GRW-smoothing.
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
    mean_average_precision: float | None = None
    per_class_videos: Mapping[str, int] = field(default_factory=dict)
    heads: Mapping[str, HeadReport] = field(default_factory=dict)
    by: Axis | None = None
    points: tuple[AccuracyPoint, ...] = ()
    embeddings: EmbeddingReport | None = None

    @property
    def quality(self) -> float:
        """What a network is chosen by: mean average precision where there is one, or else top-1 accuracy."""
        return self.top1 if self.mean_average_precision is None else self.mean_average_precision


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedRecord:
    """One trained network of an ensemble.

    Attributes:
        name: Of the unit and its run folder; of two records with one name the first counts.
        fingerprint: Of architecture and variant.
        offset_frames: How much later its clip lies, in frames of its own rate.
        val_top1: On the validation split, None without one; `metric` says what it is, as in `EpochRecord`.
    """

    name: str
    fingerprint: str
    seed: int
    offset_frames: float
    val_top1: float | None
    metric: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedRecord:
    """One architecture of an audit, scored with the shared weights of the search.

    Attributes:
        name: Of the unit; of two records with one name the first counts.
        fingerprint: Of architecture and variant.
        batch: Quality on the search's held-out clips with batch statistics, in [0, 1]; `recalibrated` with running
            statistics of the extracted network.
        num_clips: Clips it was measured on.
    """

    name: str
    fingerprint: str
    batch: float
    recalibrated: float
    num_clips: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One architecture of an audit, trained stand-alone from one seed.

    Attributes:
        name: Of the unit and its run folder; of two records with one name the first counts.
        fingerprint: Of architecture and variant, as the search decodes them.
        top1: Accuracy after the last epoch on the search's held-out clips, in [0, 1].
    """

    name: str
    fingerprint: str
    seed: int
    top1: float


Record = (
    StartRecord
    | StepRecord
    | PolicyRecord
    | CandidateRecord
    | ResultRecord
    | EpochRecord
    | ScalingRecord
    | MemberRecord
    | TrainedRecord
    | SharedRecord
    | AuditRecord
)
"""What a journal may hold; each line carries the name of its kind."""
