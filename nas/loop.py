"""The search: weight step, measurement, policy step, over and over; then the final comparison (tunas.md 1.2)."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from nas import controller
from nas.distill import DistillConfig
from nas.evaluator import SearchEvaluator
from nas.evolution import PopulationConfig
from nas.problem import Problem
from nas.reinforce import ControllerConfig
from nas.reward import REWARDS, RewardName
from nas.select import SelectionConfig, candidates_to_compare, random_baseline, select
from nas.start import STARTS, StartName
from nas.strategies import STRATEGIES, StrategyName, make_strategy
from nas.strategy import Belief, Strategy
from nas.warmup import WarmupConfig, warmup_probability, widen
from results.checkpoint import Checkpoint, restoring
from results.genotypes import pack
from results.records import CandidateRecord, Measurement, PolicyRecord, Record, StartRecord, StepRecord, TrialRecord
from results.run_dir import RunDir
from results.stopwatch import Stopwatch
from results.writer import RunWriter
from search_spaces.errors import UsageError
from search_spaces.randomness import generator
from search_spaces.space import Candidate, Indices

NUM_SNAPSHOTS = 100
"""Policy snapshots of a whole search, at most, beside that of its last step."""


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """How long and how a space is searched.

    Attributes:
        strategy: What chooses the architectures: reinforce (TuNAS), uniform, random, evolution or nsga2.
        steps: Steps of weights and policy.
        architectures_per_step: Sampled, trained and measured in each step.
        reward: Formula of the reward (`nas/reward.py`); `beta` its negative weight of cost.
        beta_ramp: Factor by which beta has grown at the end, exponentially while the policy learns, so that quality
            decides first and cost settles the rest; TuNAS has 1. Populations compare rewards of many steps: theirs
            keep beta as it is.
        start: Policy of the first step (`nas/start.py`): uniform, or at-target for one whose mean cost is the target.
        checkpoint_every: Steps between checkpoints.
        subclip_frames: Frames of the consecutive sub-clips that clips are trained and scored in, with stream buffers
            between them, to save memory (paper A.3); only for variants that stream. None for whole clips.
        distill: Learning from the answers of the network that the weights start from.
    """

    strategy: StrategyName = "reinforce"
    steps: int = 1000
    architectures_per_step: int = 2
    reward: RewardName = "absolute"
    beta: float = -0.3
    beta_ramp: float = 10.0
    start: StartName = "uniform"
    checkpoint_every: int = 25
    subclip_frames: int | None = None
    distill: DistillConfig = field(default_factory=DistillConfig)
    controller: ControllerConfig = field(default_factory=ControllerConfig)
    warmup: WarmupConfig = field(default_factory=WarmupConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    population: PopulationConfig = field(default_factory=PopulationConfig)

    def __post_init__(self) -> None:
        if min(self.steps, self.architectures_per_step, self.checkpoint_every) < 1:
            raise UsageError(
                f"steps, architectures_per_step and checkpoint_every must be at least 1, but got {self.steps}, "
                f"{self.architectures_per_step}, {self.checkpoint_every}"
            )
        if self.strategy not in STRATEGIES:
            raise UsageError(f"strategy must be one of {', '.join(STRATEGIES)}, but got {self.strategy!r}")
        if self.reward not in REWARDS:
            raise UsageError(f"reward must be one of {', '.join(REWARDS)}, but got {self.reward!r}")
        if self.start not in STARTS:
            raise UsageError(f"start must be one of {', '.join(STARTS)}, but got {self.start!r}")
        if self.subclip_frames is not None and self.subclip_frames < 1:
            raise UsageError(f"subclip_frames must be at least 1, but got {self.subclip_frames}")
        if not self.beta < 0:
            raise UsageError(f"beta must be negative, but got {self.beta}")
        if not 0 < self.beta_ramp < math.inf:
            raise UsageError(f"beta_ramp must be positive, but got {self.beta_ramp}")
        if max(self.warmup.op_fraction, self.warmup.filter_fraction) > self.controller.delay_fraction:
            raise UsageError(
                "warm-up must end before the policy learns, but got warmup fractions "
                f"{self.warmup.op_fraction}, {self.warmup.filter_fraction} above "
                f"controller.delay_fraction {self.controller.delay_fraction}"
            )

    def beta_in(self, step: int) -> float:
        """Weight of cost in the rewards of `step`."""
        if self.strategy != "reinforce":
            return self.beta
        return float(self.beta * self.beta_ramp ** self.controller.progress(step, num_steps=self.steps))


def run_search(
    problem: Problem,
    config: SearchConfig,
    evaluator: SearchEvaluator,
    *,
    start: StartRecord,
    run: RunDir | None,
    checkpoint: Checkpoint | None,
    stopwatch: Stopwatch,
) -> Iterator[Record]:
    """Search, or go on with a search, and yield every record after it is in the journal.

    Where several processes search together, each does all of this but what its evaluator leaves to the others: it
    proposes the same architectures, learns from the same rewards, and so ends in the same policy.

    Args:
        problem: Space, variant, budget and seed.
        config: How to search.
        evaluator: Trains and measures; at the state of a run that begins.
        start: First record of the journal.
        run: Folder whose lock the caller holds; None on every process of a search but the one that writes.
        checkpoint: Where to go on, the same on every process; None begins, whatever the journal holds.
        stopwatch: Shared with the evaluator, which books its own phases.

    Raises:
        InfeasibleTargetError: Before anything is trained, where no random architecture to compare with is found, or
            no start at the target.
        KeyboardInterrupt: The program was told to end; steps that were done are saved (see `results.saver`).
    """
    if checkpoint is None:
        random_baseline(problem, config.selection)
    strategy = make_strategy(problem, config)
    first_step = 0
    if checkpoint is not None:
        first_step = checkpoint.number
        with restoring(None if run is None else run.checkpoints_path):
            strategy.restore(checkpoint.blobs)
            evaluator.restore(checkpoint.blobs)
    with RunWriter(
        run, checkpoint, num_steps=config.steps, every=config.checkpoint_every, stopwatch=stopwatch
    ) as writer:
        if checkpoint is None:
            yield _journaled(writer, start)
        for step in range(first_step, config.steps):
            with stopwatch.phase("sample"):
                indices_KD = strategy.propose(step, config.architectures_per_step)
                candidates = [problem.candidate(indices_D) for indices_D in indices_KD]
                widened, mixed = _warm_up(problem, config, step, candidates)
            with stopwatch.phase("train"):
                loss = evaluator.train(step, widened, mixed)
            with stopwatch.phase("measure"):
                measurements = evaluator.measure(step, candidates)
                train_loss = float(loss)  # late, so that a device need not be waited for twice
            with stopwatch.phase("policy"):
                trials = _trials(problem, config, indices_KD, candidates, measurements, step=step)
                belief = strategy.learn(step, indices_KD, trials)
                records = _step_records(problem, config, belief, trials, train_loss=train_loss, step=step)
            with stopwatch.phase("journal"):
                for record in records:
                    writer.append(record, sync=False)
            writer.step_done(step + 1, lambda: {**evaluator.state(), **strategy.state()})
            writer.tell(step, stopwatch.take())
            yield from records
        with stopwatch.phase("measure"):
            compared = _compare(problem, config, strategy, evaluator)
        for candidate_record in compared:
            yield _journaled(writer, candidate_record)
        writer.tell(config.steps, stopwatch.take())
        yield _journaled(writer, select(compared, config.selection))


def _journaled(writer: RunWriter, record: Record) -> Record:
    writer.append(record)
    return record


def _warm_up(
    problem: Problem, config: SearchConfig, step: int, candidates: list[Candidate]
) -> tuple[list[Candidate], list[frozenset[str]]]:
    rng = generator(problem.seed, "warmup", step)
    widened, mixed = [], []
    for candidate in candidates:
        genotype, layers = widen(
            problem.space,
            candidate.genotype,
            rng,
            op_probability=_probability(config, step, config.warmup.op_fraction),
            filter_probability=_probability(config, step, config.warmup.filter_fraction),
        )
        widened.append(problem.space.decode(genotype, problem.variant))
        mixed.append(layers)
    return widened, mixed


def _probability(config: SearchConfig, step: int, fraction: float) -> float:
    return warmup_probability(step, num_steps=config.steps, fraction=fraction)


def _trials(
    problem: Problem,
    config: SearchConfig,
    indices_KD: Indices,
    candidates: list[Candidate],
    measurements: Sequence[Measurement],
    *,
    step: int,
) -> tuple[TrialRecord, ...]:
    costs_K, limits_KL = problem.costs(indices_KD), problem.limit_ratios(indices_KD).tolist()
    decisions = {decision.name: decision.choices for decision in problem.space.decisions}
    trials = []
    for candidate, cost, limit_ratios, measurement in zip(candidates, costs_K, limits_KL, measurements, strict=True):
        ratio = float(cost / problem.target.value)
        reward = REWARDS[config.reward](measurement.quality, ratio, config.beta_in(step), limit_ratios)
        trials.append(
            TrialRecord(
                genotype=pack(candidate.genotype, decisions),
                fingerprint=candidate.fingerprint,
                cost=float(cost),
                ratio=ratio,
                quality=measurement.quality,
                reward=reward,
                limit_ratios=tuple(limit_ratios),
            )
        )
    return tuple(trials)


def _step_records(
    problem: Problem,
    config: SearchConfig,
    belief: Belief,
    trials: tuple[TrialRecord, ...],
    *,
    train_loss: float,
    step: int,
) -> list[StepRecord | PolicyRecord]:
    cost = float(problem.costs(belief.favourite_D[None])[0])
    record = StepRecord(
        step=step,
        trials=trials,
        train_loss=train_loss,
        op_warmup=_probability(config, step, config.warmup.op_fraction),
        filter_warmup=_probability(config, step, config.warmup.filter_fraction),
        learning_rate=belief.learning_rate,
        baseline=belief.baseline,
        entropy=controller.entropies(problem.space, belief.logits_DC),
        argmax_fingerprint=problem.candidate(belief.favourite_D).fingerprint,
        argmax_cost=cost,
        argmax_ratio=cost / problem.target.value,
        argmax_limit_ratios=tuple(problem.limit_ratios(belief.favourite_D[None])[0].tolist()),
    )
    return [record, _policy_record(problem, belief, step)] if _snapshot_due(step, config.steps) else [record]


def _policy_record(problem: Problem, belief: Belief, step: int) -> PolicyRecord:
    chance_DC = controller.probabilities(belief.logits_DC)
    return PolicyRecord(
        step=step,
        probabilities={
            decision.name: tuple(float(chance) for chance in chance_C[: len(decision.choices)])
            for decision, chance_C in zip(problem.space.decisions, chance_DC, strict=True)
        },
        argmax=problem.space.genotype(belief.favourite_D),
    )


def _snapshot_due(step: int, num_steps: int) -> bool:
    every = -(-num_steps // NUM_SNAPSHOTS)
    return step % every == 0 or step + 1 == num_steps


def _compare(
    problem: Problem, config: SearchConfig, strategy: Strategy, evaluator: SearchEvaluator
) -> tuple[CandidateRecord, ...]:
    rows = candidates_to_compare(problem, strategy, config.selection)
    rows_ND = np.stack([row_D for _, row_D in rows])
    costs_N, limits_NL = problem.costs(rows_ND), problem.limit_ratios(rows_ND).tolist()
    candidates = [problem.candidate(row_D) for _, row_D in rows]
    measurements = evaluator.compare(candidates)
    return tuple(
        CandidateRecord(
            origin=origin,
            genotype=candidate.genotype,
            fingerprint=candidate.fingerprint,
            cost=float(cost),
            ratio=float(cost) / problem.target.value,
            quality=measurement.quality,
            num_clips=measurement.num_clips,
            limit_ratios=tuple(limit_ratios),
        )
        for (origin, _), candidate, cost, limit_ratios, measurement in zip(
            rows, candidates, costs_N, limits_NL, measurements, strict=True
        )
    )
