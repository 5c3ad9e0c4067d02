"""`movinas study mechanisms`: searches of the micro space with one mechanism knocked out at a time, same seeds.

Predictions, written before the runs: (1) MnasNet's soft reward, with its own exponent of -0.07, overshoots: the raw
argmax costs more than the target by over 5 % where the full search lands within 5 %; (2) without either warm-up the
shared weights rank worse (lower tau against the ground truth); (3) a frozen controller, whose policy stays uniform,
finds worse than the full search does; (4) so does a small validation batch.

Each is judged by differences between a knock-out and the full search of the same seed and target: (1) by the ratio of
the raw argmax to the target, and the 5 % by the means; (2) by tau; (3) and (4) by the percentile of what was found in
the ground truth and by its gain over random architectures on fresh clips. The gain is by the shared weights of each
search itself, and so says how well these were trained, too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from launch import console
from launch.study import micro
from launch.study.common import Document, Size, StudyOptions, check, check_counts, interval, percentile, results_of
from launch.study.compute import table_of, tau
from launch.study.predictions import Side, differences, judged, plain, show_judged
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
ON_TARGET = 0.05
MEASURES: Final[Mapping[str, str]] = {
    "argmax_ratio": "argmax/target",
    "argmax_error": "|argmax/target - 1|",
    "gain": "gain on fresh clips",
    "percentile": "percentile",
    "tau": "tau",
}
"""Names of what knock-outs and the full search are compared by, to what tables call them; gain: found - random."""
PREDICTIONS: Final[tuple[tuple[int, str, str, Side], ...]] = (
    (1, "soft-reward", "argmax_ratio", "above"),
    (2, "no-op-warmup", "tau", "below"),
    (2, "no-filter-warmup", "tau", "below"),
    (3, FROZEN, "percentile", "below"),
    (3, FROZEN, "gain", "below"),
    (4, SMALL, "percentile", "below"),
    (4, SMALL, "gain", "below"),
)
"""Number in the docstring, kind, measure, and the side of zero of its difference to the full search."""


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
    truth_N, targets = table.truth(), targets_of(options.size)
    kinds = {}
    for kind in kinds_of(options.size):
        found = {target: [results[f"{target}-{kind}-{seed}"] for seed in range(options.seeds)] for target in targets}
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
    beside = {kind: {target: _beside_full(kinds, kind, target) for target in targets} for kind in kinds if kind != FULL}
    return {
        "size": options.size,
        "targets": targets,
        "kinds": kinds,
        "differences": {
            kind: {
                target: {measure: plain(interval(values), values) for measure, values in by_measure.items()}
                for target, by_measure in by_target.items()
            }
            for kind, by_target in beside.items()
        },
        "predictions": [
            judged(
                f"({number}) {kind}: {MEASURES[measure]}, {text}",
                beside[kind][target][measure],
                side,
                also=measure != "argmax_ratio" or _overshoots(kinds, kind, target),
            )
            for number, kind, measure, side in PREDICTIONS
            for target, text in targets.items()
            if measure in beside[kind][target]
        ],
    }


def _measured(kind: Document, target: str) -> dict[str, list[float | None]]:
    """By measure a value per seed, None where there is none; of the truth, at the target where it is known."""
    ratios = kind["argmax_ratios"][target]
    found = {
        "argmax_ratio": ratios,
        "argmax_error": [abs(ratio - 1) for ratio in ratios],
        "gain": kind["gains"][target],
    }
    if target == "motion":
        taus = [None if each is None else each["value"] for each in kind["tau"]]
        found |= {"percentile": kind["percentiles"], "tau": taus}
    return found


def _beside_full(kinds: Document, kind: str, target: str) -> dict[str, list[float]]:
    """By measure the differences to the full search of the same seed and target; a frozen policy has no argmax."""
    mine, full = _measured(kinds[kind], target), _measured(kinds[FULL], target)
    names = [name for name in mine if kind != FROZEN or not name.startswith("argmax")]
    return {name: differences(mine[name], full[name]) for name in names}


def _overshoots(kinds: Document, kind: str, target: str) -> bool:
    """Whether the mean argmax is over 5 % above the target, where the full search is within 5 % in the mean."""
    errors = _measured(kinds[FULL], target)["argmax_error"]
    above = np.mean(kinds[kind]["argmax_ratios"][target]) > 1 + ON_TARGET
    return bool(above and np.mean([error for error in errors if error is not None]) <= ON_TARGET)


def show(document: Document, *, as_json: bool) -> None:
    """A row per kind, then paired differences to the full search, then what became of the predictions."""
    if as_json:
        console.show_json(document)
        return
    kinds, targets = document["kinds"], document["targets"]
    console.show_table(
        "Mean [95 % interval over seeds]",
        ("kind", *(f"argmax/target, {text}" for text in targets.values()), "percentile", "tau", "P(temporal)"),
        [
            (
                kind,
                *("" if kind == FROZEN else interval(each["argmax_ratios"][target]) for target in targets),
                interval(each["percentiles"]),
                interval([each_tau["value"] for each_tau in each["tau"] if each_tau is not None]),
                interval(each["temporal"]),
            )
            for kind, each in kinds.items()
        ],
    )
    for title, measures, shown in (
        ("any target", ("argmax_ratio", "argmax_error", "gain"), tuple(targets)),
        ("the ground truth", ("percentile", "tau"), ("motion",)),
    ):
        console.show_table(
            f"Beside the full search of the same seed, by {title}: mean difference [95 % interval over seeds]",
            ("kind", "target", *(MEASURES[measure] for measure in measures)),
            [
                (
                    kind,
                    targets[target],
                    *(
                        interval(by_target[target][measure]["values"]) if measure in by_target[target] else ""
                        for measure in measures
                    ),
                )
                for kind, by_target in document["differences"].items()
                for target in shown
            ],
        )
    show_judged(document["predictions"])
