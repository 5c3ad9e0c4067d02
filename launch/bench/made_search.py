"""A run folder like that of a long search, without the hours: what readers of journals are measured and tested on."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from results.genotypes import pack
from results.journal import Journal
from results.records import (
    CandidateRecord,
    Origin,
    PolicyRecord,
    Record,
    ResultRecord,
    StartRecord,
    StepRecord,
    TrialRecord,
)
from results.run_dir import RunDir, create_run
from results.telemetry import Telemetry
from search_spaces.cost import cost
from search_spaces.randomness import generator
from search_spaces.space import Candidate, SearchSpace
from search_spaces.space_json import space_document
from search_spaces.strict_json import pretty
from search_spaces.variant import Variant

NUM_CLASSES = 51
NUM_SNAPSHOTS = 100
NUM_DIFFERENT = 400
"""Architectures that the trials are drawn from, for costing each takes a millisecond."""
GROUPS = ("depth", "width", "kernel", "expansion", "se")


def make_search(
    path: Path, space: SearchSpace, *, num_steps: int, done: int | None = None, per_step: int = 2, seed: int = 0
) -> RunDir:
    """Make the run folder of a search whose rewards rise, whose costs approach the target and whose policy settles.

    Args:
        path: Folder to make.
        space: What is searched; the target is the median of its MACs.
        num_steps: Of the search.
        done: Steps that the journal holds; None for all, with the final comparison and the result.
        per_step: Architectures of a step.
        seed: Of all numbers.
    """
    variant = Variant()
    run = create_run(
        path,
        kind="search",
        files={
            "config.yaml": f"search:\n  steps: {num_steps}\n",
            "env.json": "{}\n",
            "space.json": pretty(space_document(space)),
            "variant.json": pretty(asdict(variant)),
        },
    )
    with Journal.open(run.journal_path) as journal:
        for record in _records(space, variant, num_steps=num_steps, done=done, per_step=per_step, seed=seed):
            journal.append(record, sync=False)
    telemetry = Telemetry(run.telemetry_path)
    telemetry.append("start", environment={})
    for step in range(num_steps if done is None else done):
        telemetry.append("phase_times", step=step, seconds={"train": 0.6, "measure": 0.3, "data": 0.05, "policy": 0.02})
    return run


def _records(
    space: SearchSpace, variant: Variant, *, num_steps: int, done: int | None, per_step: int, seed: int
) -> Iterator[Record]:
    rng = generator(seed, "made search")
    decisions = {decision.name: decision.choices for decision in space.decisions}
    genotypes = [space.genotype(row_D) for row_D in space.sample_indices(rng, NUM_DIFFERENT)]
    candidates = [space.decode(genotype, variant) for genotype in genotypes]
    macs_N = np.array([cost(each.spec, variant, num_classes=NUM_CLASSES).macs for each in candidates], dtype=float)
    packed = [pack(genotype, decisions) for genotype in genotypes]
    target = float(np.median(macs_N))
    by_distance = np.abs(macs_N / target - 1.0).argsort()
    favourite = int(by_distance[0])
    yield StartRecord(
        space=space.name,
        space_hash=space.hash,
        target=f"macs={target:.0f}/clip",
        target_cost=target,
        steps=num_steps,
        seed=seed,
        decisions=decisions,
        class_names=tuple(f"class {number}" for number in range(NUM_CLASSES)),
        num_train_videos=3570,
        num_heldout_videos=1530,
    )
    every = -(-num_steps // NUM_SNAPSHOTS)
    for step in range(num_steps if done is None else done):
        share = step / num_steps
        reach = max(8, round(NUM_DIFFERENT * (1.0 - 0.95 * share)))
        trials = []
        for _ in range(per_step):
            number = int(by_distance[rng.integers(reach)])
            quality = float(np.clip(0.05 + 0.6 * share + rng.normal(0.0, 0.05), 0.0, 1.0))
            ratio = float(macs_N[number] / target)
            trials.append(
                TrialRecord(
                    genotype=packed[number],
                    fingerprint=hashlib.sha256(packed[number].encode()).hexdigest(),
                    cost=float(macs_N[number]),
                    ratio=ratio,
                    quality=quality,
                    reward=quality - 0.3 * abs(ratio - 1.0),
                )
            )
        yield StepRecord(
            step=step,
            trials=tuple(trials),
            train_loss=4.0 - 2.5 * share,
            op_warmup=max(0.0, 1.0 - 4.0 * share),
            filter_warmup=max(0.0, 1.0 - 4.0 * share),
            learning_rate=1e-3 * (share > 0.25),
            baseline=0.05 + 0.6 * share,
            entropy={group: 1.0 - 0.7 * share * (number + 1) / len(GROUPS) for number, group in enumerate(GROUPS)},
            argmax_fingerprint=candidates[favourite].fingerprint,
            argmax_cost=float(macs_N[favourite]),
            argmax_ratio=float(macs_N[favourite] / target),
        )
        if step % every == 0 or step + 1 == num_steps:
            yield _policy(decisions, genotypes[favourite], step=step, share=share)
    if done is not None:
        return
    compared = [
        _compared(origin, candidates[number], quality, macs=float(macs_N[number]), target=target)
        for number, (origin, quality) in zip(by_distance.tolist(), _comparison(rng), strict=False)
    ]
    yield from compared
    found, random = compared[0], [each.quality for each in compared if each.origin == "random"]
    yield ResultRecord(
        found=found.fingerprint,
        found_cost=found.cost,
        found_ratio=found.ratio,
        found_quality=found.quality,
        argmax_fingerprint=found.fingerprint,
        argmax_ratio=found.ratio,
        random_quality_mean=float(np.mean(random)),
        random_quality_best=max(random),
        num_random=len(random),
    )


def _policy(
    decisions: Mapping[str, tuple[str | float | int | bool, ...]],
    favourite: Mapping[str, str | float | int | bool],
    *,
    step: int,
    share: float,
) -> PolicyRecord:
    probabilities = {}
    for name, choices in decisions.items():
        rest = (1.0 - 0.9 * share) / len(choices)
        likely = choices.index(favourite[name]) if name in favourite else 0
        probabilities[name] = tuple(rest + 0.9 * share * (index == likely) for index in range(len(choices)))
    return PolicyRecord(step=step, probabilities=probabilities, argmax=favourite)


def _comparison(rng: np.random.Generator) -> list[tuple[Origin, float]]:
    means: list[tuple[Origin, int, float]] = [("argmax", 1, 0.66), ("policy", 8, 0.62), ("random", 16, 0.55)]
    return [(origin, mean + float(rng.uniform(-0.02, 0.02))) for origin, num, mean in means for _ in range(num)]


def _compared(origin: Origin, candidate: Candidate, quality: float, *, macs: float, target: float) -> CandidateRecord:
    return CandidateRecord(
        origin=origin,
        genotype=candidate.genotype,
        fingerprint=candidate.fingerprint,
        cost=macs,
        ratio=macs / target,
        quality=quality,
        num_clips=512,
    )
