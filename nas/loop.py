"""The search: weight step, measurement, policy step, over and over; then the final comparison (tunas.md 1.2)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from nas import controller
from nas.evaluator import SearchEvaluator
from nas.problem import Problem
from nas.reinforce import ControllerConfig, Reinforce
from nas.reward import REWARDS, RewardName
from nas.select import SelectionConfig, candidates_to_compare, random_baseline, select
from nas.start import STARTS, StartName
from nas.warmup import WarmupConfig, warmup_probability, widen
from results.checkpoint import Checkpoint, save_checkpoint
from results.journal import Journal
from results.records import CandidateRecord, Measurement, PolicyRecord, Record, StartRecord, StepRecord, TrialRecord
from results.run_dir import RunDir
from results.stopwatch import Stopwatch
from results.telemetry import Telemetry
from search_spaces.errors import UsageError
from search_spaces.randomness import generator
from search_spaces.space import Candidate, Indices

NUM_SNAPSHOTS = 100
"""Policy snapshots of a whole search, at most, beside that of its last step."""


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """How long and how a space is searched.

    Attributes:
        steps: Steps of weights and policy.
        architectures_per_step: Sampled, trained and measured in each step.
        reward: Formula of the reward (`nas/reward.py`); `beta` its negative weight of cost.
        start: Policy of the first step (`nas/start.py`): uniform, or at-target for one whose mean cost is the target.
        checkpoint_every: Steps between checkpoints.
    """

    steps: int = 1000
    architectures_per_step: int = 2
    reward: RewardName = "absolute"
    beta: float = -0.3
    start: StartName = "uniform"
    checkpoint_every: int = 25
    controller: ControllerConfig = field(default_factory=ControllerConfig)
    warmup: WarmupConfig = field(default_factory=WarmupConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)

    def __post_init__(self) -> None:
        if min(self.steps, self.architectures_per_step, self.checkpoint_every) < 1:
            raise UsageError(
                f"steps, architectures_per_step and checkpoint_every must be at least 1, but got {self.steps}, "
                f"{self.architectures_per_step}, {self.checkpoint_every}"
            )
        if self.reward not in REWARDS:
            raise UsageError(f"reward must be one of {', '.join(REWARDS)}, but got {self.reward!r}")
        if self.start not in STARTS:
            raise UsageError(f"start must be one of {', '.join(STARTS)}, but got {self.start!r}")
        if not self.beta < 0:
            raise UsageError(f"beta must be negative, but got {self.beta}")
        if max(self.warmup.op_fraction, self.warmup.filter_fraction) > self.controller.delay_fraction:
            raise UsageError(
                "warm-up must end before the policy learns, but got warmup fractions "
                f"{self.warmup.op_fraction}, {self.warmup.filter_fraction} above "
                f"controller.delay_fraction {self.controller.delay_fraction}"
            )


def run_search(
    problem: Problem,
    config: SearchConfig,
    evaluator: SearchEvaluator,
    *,
    start: StartRecord,
    run: RunDir,
    checkpoint: Checkpoint | None,
    stopwatch: Stopwatch,
) -> Iterator[Record]:
    """Search, or go on with a search, and yield every record after it is safe in the journal.

    Args:
        problem: Space, variant, target and seed.
        config: How to search.
        evaluator: Trains and measures; at the state of a run that begins.
        start: First record of the journal.
        run: Folder whose lock the caller holds.
        checkpoint: Where to go on; None begins, whatever the journal holds.
        stopwatch: Shared with the evaluator, which books its own phases.

    Raises:
        InfeasibleTargetError: Before anything is trained, where no random architecture to compare with is found, or
            no start at the target.
    """
    if checkpoint is None:
        random_baseline(problem, config.selection)
    policy = Reinforce(
        problem.space, config.controller, num_steps=config.steps, logits_DC=STARTS[config.start](problem)
    )
    telemetry = Telemetry(run.telemetry_path)
    first_step = 0
    if checkpoint is not None:
        first_step = checkpoint.number
        policy.restore(checkpoint.blobs)
        evaluator.restore(checkpoint.blobs)
    with Journal.open(run.journal_path, keep=checkpoint.num_records if checkpoint else 0) as journal:
        if checkpoint is None:
            yield _journaled(journal, start)
        for step in range(first_step, config.steps):
            with stopwatch.phase("sample"):
                indices_KD = policy.sample(generator(problem.seed, "policy", step), config.architectures_per_step)
                candidates = [problem.candidate(indices_D) for indices_D in indices_KD]
                widened, mixed = _warm_up(problem, config, step, candidates)
            with stopwatch.phase("train"):
                loss = evaluator.train(step, widened, mixed)
            with stopwatch.phase("measure"):
                measurements = evaluator.measure(step, candidates)
                train_loss = float(loss)  # late, so that a device need not be waited for twice
            with stopwatch.phase("policy"):
                trials = _trials(problem, config, indices_KD, candidates, measurements)
                policy.update(step, indices_KD, [trial.reward for trial in trials])
                records = _step_records(problem, config, policy, trials, train_loss=train_loss, step=step)
            with stopwatch.phase("journal"):
                for record in records:
                    journal.append(record)
            if (step + 1) % config.checkpoint_every == 0 or step + 1 == config.steps:
                with stopwatch.phase("checkpoint"):
                    blobs = {**evaluator.state(), **policy.state()}
                    save_checkpoint(run.checkpoints_path, step + 1, blobs, num_records=journal.num_records)
            telemetry.append("phase_times", step=step, seconds=stopwatch.take())
            yield from records
        with stopwatch.phase("measure"):
            compared = _compare(problem, config, policy, evaluator)
        for candidate_record in compared:
            yield _journaled(journal, candidate_record)
        telemetry.append("phase_times", step=config.steps, seconds=stopwatch.take())
        yield _journaled(journal, select(compared, config.selection))


def _journaled(journal: Journal, record: Record) -> Record:
    journal.append(record)
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
) -> tuple[TrialRecord, ...]:
    costs_K = problem.costs(indices_KD)
    return tuple(
        TrialRecord(
            genotype=candidate.genotype,
            fingerprint=candidate.fingerprint,
            cost=float(cost),
            ratio=float(cost / problem.target.value),
            quality=measurement.quality,
            reward=REWARDS[config.reward](measurement.quality, float(cost / problem.target.value), config.beta),
        )
        for candidate, cost, measurement in zip(candidates, costs_K, measurements, strict=True)
    )


def _step_records(
    problem: Problem,
    config: SearchConfig,
    policy: Reinforce,
    trials: tuple[TrialRecord, ...],
    *,
    train_loss: float,
    step: int,
) -> list[StepRecord | PolicyRecord]:
    argmax_D = controller.most_likely(problem.space, policy.logits_DC)
    cost = float(problem.costs(argmax_D[None])[0])
    record = StepRecord(
        step=step,
        trials=trials,
        train_loss=train_loss,
        op_warmup=_probability(config, step, config.warmup.op_fraction),
        filter_warmup=_probability(config, step, config.warmup.filter_fraction),
        learning_rate=policy.learning_rate(step),
        baseline=policy.baseline,
        entropy=controller.entropies(problem.space, policy.logits_DC),
        argmax_fingerprint=problem.candidate(argmax_D).fingerprint,
        argmax_cost=cost,
        argmax_ratio=cost / problem.target.value,
    )
    return [record, _policy_record(problem, policy, step)] if _snapshot_due(step, config.steps) else [record]


def _policy_record(problem: Problem, policy: Reinforce, step: int) -> PolicyRecord:
    chance_DC = controller.probabilities(policy.logits_DC)
    return PolicyRecord(
        step=step,
        probabilities={
            decision.name: tuple(float(chance) for chance in chance_C[: len(decision.choices)])
            for decision, chance_C in zip(problem.space.decisions, chance_DC, strict=True)
        },
        argmax=problem.space.genotype(controller.most_likely(problem.space, policy.logits_DC)),
    )


def _snapshot_due(step: int, num_steps: int) -> bool:
    every = -(-num_steps // NUM_SNAPSHOTS)
    return step % every == 0 or step + 1 == num_steps


def _compare(
    problem: Problem, config: SearchConfig, policy: Reinforce, evaluator: SearchEvaluator
) -> tuple[CandidateRecord, ...]:
    rows = candidates_to_compare(problem, policy.logits_DC, config.selection)
    costs_N = problem.costs(np.stack([row_D for _, row_D in rows]))
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
        )
        for (origin, _), candidate, cost, measurement in zip(rows, candidates, costs_N, measurements, strict=True)
    )
