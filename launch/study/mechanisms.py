"""`movinas study mechanisms`: searches of the micro space with one mechanism knocked out at a time, same seeds.

Predictions, written before the runs: (1) MnasNet's soft reward, with its own exponent of -0.07, overshoots: the raw
argmax costs more than the target by over 5 % where the full search lands within 5 %; (2) without either warm-up the
shared weights rank worse (lower tau against the ground truth); (3) a frozen controller, whose policy stays uniform,
finds worse than the full search does; (4) so does a small validation batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from launch import console
from launch.study import micro
from launch.study.common import Document, Size, StudyOptions, check, check_counts, interval, percentile, results_of
from launch.study.compute import table_of, tau
from launch.study.searches import SEARCH, WEIGHTS, SearchTask, carry_out, micro_search
from launch.study.table import TruthTable
from launch.study.truth import VIDEOS
from nas.executor import Unit
from nas.warmup import WarmupConfig

SHORT = {"ray_address": "--ray-address"}
FULL = "reinforce"
SMALL = "small-batch"
FROZEN = "frozen"
SMALL_BATCH = 2
"""Held-out clips of a reward, where they are few."""
NEVER = 0.9999
"""Of the steps, before which the policy stays as it is: more than all but the last."""
OTHER_TARGETS: Mapping[Size, str] = {"cpu": "macs=7.5M/clip", "gpu": "macs=80M/clip"}
"""Above the median of the space; the ground truth's is below it."""


def kinds_of(size: Size) -> dict[str, dict[str, Any]]:
    """Kinds of search to what they change of the full one's configuration."""
    return {
        FULL: {},
        "soft-reward": {"reward": "mnas", "beta": -0.07, "beta_ramp": 1.0},
        "no-op-warmup": {"warmup": WarmupConfig(op_fraction=0.0)},
        "no-filter-warmup": {"warmup": WarmupConfig(filter_fraction=0.0)},
        FROZEN: {"controller": replace(SEARCH[size].controller, delay_fraction=NEVER)},
        SMALL: {},
    }


@dataclass(frozen=True, kw_only=True)
class Options(StudyOptions):
    """Search with one mechanism knocked out at a time, at two targets.

    Attributes:
        table: Of `study truth`, at the same size; None takes the one in this folder.
        seeds: Searches of each kind and target, from seeds 0, 1, ..., the same for all.
    """

    table: Path | None = None
    seeds: int = 3


def run(options: Options) -> int:
    """Search whatever is missing, and show each knock-out beside the full search."""
    check_counts(seeds=options.seeds)
    check(options)
    table = table_of(options, options.table)
    results = results_of(options, carry_out, search_units(options, table), label="searched")
    show(document_of(options, table, results), as_json=options.json)
    return 0


def targets_of(size: Size) -> dict[str, str]:
    """Names of the two targets to what they are; the first is that of the ground truth."""
    return {"motion": micro.TARGETS[size], "motion-other": OTHER_TARGETS[size]}


def search_units(options: Options, table: TruthTable) -> list[Unit[SearchTask]]:
    """One search per seed, target and kind; those of the full search are the same as in `study compute`."""
    manifest, problem = VIDEOS[options.size].manifest(options, "motions"), micro.problem(options.size)
    candidates = tuple(problem.space.decode(genotype, problem.variant) for genotype in table.genotypes)
    small = replace(WEIGHTS[options.size], reward_batch_size=SMALL_BATCH)
    units = []
    for seed in range(options.seeds):
        for target_name, target in targets_of(options.size).items():
            for kind, changes in kinds_of(options.size).items():
                name = f"{target_name}-{kind}-{seed}"
                search_options = micro_search(
                    options,
                    name,
                    manifest=manifest,
                    seed=seed,
                    target=target,
                    weights=small if kind == SMALL else None,
                    **changes,
                )
                scored = candidates if target == problem.target.text else ()  # elsewhere nobody knows the truth
                units.append(Unit(name=name, task=SearchTask(options=search_options, scored=scored)))
    return units


def document_of(options: Options, table: TruthTable, results: Mapping[str, Document]) -> Document:
    """Everything that is shown, in plain data."""
    truth_N = table.truth()
    kinds = {}
    for kind in kinds_of(options.size):
        found = {
            target: [results[f"{target}-{kind}-{seed}"] for seed in range(options.seeds)]
            for target in targets_of(options.size)
        }
        kinds[kind] = {
            "argmax_ratios": {target: [each["argmax_ratio"] for each in each_of] for target, each_of in found.items()},
            "own": {target: [each["own"] for each in each_of] for target, each_of in found.items()},
            "gains": {
                target: [each["fresh_found"] - float(np.mean(each["fresh_random"])) for each in each_of]
                for target, each_of in found.items()
            },
            "percentiles": [percentile(truth_N[table.number(each["found"])], truth_N) for each in found["motion"]],
            "tau": [tau(each["scores"]["batch"], truth_N, seed=seed) for seed, each in enumerate(found["motion"])],
            "temporal": [each["temporal"] for each in found["motion"]],
        }
    return {
        "size": options.size,
        "targets": targets_of(options.size),
        "kinds": kinds,
    }


def show(document: Document, *, as_json: bool) -> None:
    """A row per kind, then paired differences to the full search."""
    if as_json:
        console.show_json(document)
        return
    kinds: dict[str, Document] = document["kinds"]
    console.show_table(
        "Mean [95 % interval over seeds]",
        (
            "kind",
            *(f"argmax/target, {text}" for text in document["targets"].values()),
            "percentile",
            "tau",
            "P(temporal)",
        ),
        [
            (
                kind,
                *("" if kind == FROZEN else interval(each["argmax_ratios"][target]) for target in document["targets"]),
                interval(each["percentiles"]),
                interval(_numbers(each["tau"])),
                interval(each["temporal"]),
            )
            for kind, each in kinds.items()
        ],
    )
    full = kinds[FULL]

    def difference(kind: str, values: str) -> str:
        pairs = zip(kinds[kind][values], full[values], strict=True)
        whole = [_numbers(list(pair)) for pair in pairs if None not in pair]
        return str(interval([mine - others for mine, others in whole])) if whole else "none"

    console.show_table(
        "Beside the full search, by seed: mean difference [95 % interval]",
        ("kind", "percentile", "tau"),
        [(kind, difference(kind, "percentiles"), difference(kind, "tau")) for kind in kinds if kind != FULL],
    )


def _numbers(values: list[Any]) -> list[float]:
    return [float(value["value"] if isinstance(value, dict) else value) for value in values if value is not None]
