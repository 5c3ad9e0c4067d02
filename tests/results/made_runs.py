"""Hand-made records of small searches and retrainings."""

import math
from collections.abc import Sequence
from pathlib import Path

from results.genotypes import pack
from results.journal import Journal
from results.records import (
    CandidateRecord,
    EpochRecord,
    PolicyRecord,
    Record,
    ResultRecord,
    StartRecord,
    StepRecord,
    TrialRecord,
)
from results.run_dir import RunDir, create_run
from results.telemetry import Telemetry

TARGET = 6_000_000.0
KERNELS = ("1x3x3", "3x3x3", "5x3x3")
DECISIONS: dict[str, tuple[str | float | int | bool, ...]] = {
    **{f"block{block}.depth": tuple(range(1, 2 + block)) for block in (1, 2)},
    **{f"block{block}.width": (0.75, 1.0, 1.25) for block in (1, 2)},
    **{f"block{b}.layer{n}.kernel": KERNELS for b in (1, 2) for n in range(1, 2 + b)},
    **{f"block{b}.layer{n}.expansion": (1.5, 2.0, 3.0) for b in (1, 2) for n in range(1, 2 + b)},
    **{f"block{b}.layer{n}.se": (True, False) for b in (1, 2) for n in range(1, 2 + b)},
    "head.width": (0.75, 1.0, 1.25),
}


def start(*, steps: int = 40, class_names: tuple[str, ...] = ("run", "jump")) -> StartRecord:
    return StartRecord(
        space="nano",
        space_hash="5" * 64,
        target="macs=6M/clip",
        target_cost=TARGET,
        steps=steps,
        seed=3,
        decisions=DECISIONS,
        class_names=class_names,
        num_train_videos=120,
        num_heldout_videos=30,
    )


def genotype(number: int) -> dict[str, str | float | int | bool]:
    return {name: choices[number % len(choices)] for name, choices in DECISIONS.items() if "layer3" not in name}


def trial(number: int, share: float) -> TrialRecord:
    ratio = 1.0 + 0.5 * (1.0 - share) * math.sin(number)
    quality = 0.2 + 0.5 * share + 0.08 * math.cos(3 * number)
    return TrialRecord(
        genotype=pack(genotype(number), DECISIONS),
        fingerprint=f"{number:064x}",
        cost=ratio * TARGET,
        ratio=ratio,
        quality=quality,
        reward=quality - abs(ratio - 1.0),
    )


def step(number: int, steps: int = 40) -> StepRecord:
    share = number / steps
    return StepRecord(
        step=number,
        trials=(trial(2 * number, share), trial(2 * number + 1, share)),
        train_loss=2.0 - share,
        op_warmup=max(0.0, 1.0 - 4 * share),
        filter_warmup=max(0.0, 1.0 - 4 * share),
        learning_rate=1e-3 * (0.1 + share),
        baseline=0.3 + 0.1 * share,
        entropy={"kernel": 1.0 - 0.8 * share, "width": 1.0 - 0.4 * share, "se": 1.0 - 0.1 * share},
        argmax_fingerprint=f"{number:064x}",
        argmax_cost=TARGET * 1.01,
        argmax_ratio=1.01,
    )


def policy(number: int, steps: int = 40) -> PolicyRecord:
    probabilities = {}
    for name, choices in DECISIONS.items():
        first = 1 / len(choices) + (1 - 1 / len(choices)) * 0.9 * number / steps
        probabilities[name] = (first, *[(1 - first) / (len(choices) - 1)] * (len(choices) - 1))
    return PolicyRecord(step=number, probabilities=probabilities, argmax=genotype(0))


def candidates() -> list[CandidateRecord]:
    origins = ["argmax", *["policy"] * 5, *["random"] * 6]
    return [
        CandidateRecord(
            origin=origin,
            genotype=genotype(number),
            fingerprint=f"{number:064x}",
            cost=TARGET * (1 + 0.04 * math.sin(5 * number)),
            ratio=1 + 0.04 * math.sin(5 * number),
            quality=(0.5 if origin == "random" else 0.62) + 0.05 * math.cos(7 * number),
            num_clips=60,
        )
        for number, origin in enumerate(origins)
    ]


def result() -> ResultRecord:
    best = max(candidates(), key=lambda candidate: candidate.quality)
    return ResultRecord(
        found=best.fingerprint,
        found_cost=best.cost,
        found_ratio=best.ratio,
        found_quality=best.quality,
        argmax_fingerprint=f"{0:064x}",
        argmax_ratio=1.01,
        random_quality_mean=0.5,
        random_quality_best=0.55,
        num_random=6,
    )


def search_records(*, steps: int = 40, done: int | None = None, every: int = 10) -> list[Record]:
    """A whole search, or the first `done` steps of it."""
    num = steps if done is None else done
    records: list[Record] = [start(steps=steps)]
    for number in range(num):
        records.append(step(number, steps))
        if number % every == 0:
            records.append(policy(number, steps))
    return records if done is not None else [*records, policy(steps, steps), *candidates(), result()]


def epochs(num: int = 6) -> list[Record]:
    return [
        EpochRecord(
            epoch=number,
            step=10 * number,
            train_loss=2.0 / number,
            train_top1=1.0 - 1.0 / (number + 1),
            val_top1=None if number % 2 else 0.5 + 0.05 * min(number, 4),
        )
        for number in range(1, num + 1)
    ]


def make_run(path: Path, records: Sequence[Record] = (), *, kind: str = "search", timed: int = 0) -> RunDir:
    run = create_run(path, kind=kind, files={"config.yaml": "steps: 40\n", "env.json": '{"torch": "2.13"}'})
    with Journal.open(run.journal_path) as journal:
        for record in records:
            journal.append(record)
    telemetry = Telemetry(run.telemetry_path)
    for number in range(timed):
        seconds = {"train": 6.0, "measure": 3.0, "data": 0.5, "policy": 0.25, "journal": 0.25}
        telemetry.append("phase_times", step=number, seconds=seconds)
    return run
