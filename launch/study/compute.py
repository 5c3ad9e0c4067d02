"""`movinas study compute`: search against ground truth, at equal compute.

Real searches of the micro space, each with its own supernet, whose results are looked up in the table that `study
truth` made: REINFORCE, uniform sampling with the best of N re-ranked, regularised evolution. Beside them stand-alone
training: as many architectures drawn at random inside the budget as the same number of clips can train, the best of
them taken. A clip that is only looked at counts as a third of one that is trained on.

Predictions, written before the runs: (1) every search's percentile among the architectures of equal cost lies above
that of a random one, 0.5, beyond its interval; (2) REINFORCE is at least level with the stand-alone best of N; (3) with
clean rewards (the replay) all strategies beat the best of a few random ones.

Each is judged by percentiles: (1) minus 0.5; (2) minus the mean over draws of the stand-alone best of N, for which
"level" is not told apart from zero; (3) minus that of the best of five random ones in the replay of the same seed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from launch import console
from launch.shared_weights import Statistics
from launch.study import micro
from launch.study.common import Document, Floats, StudyOptions, check, check_counts, interval, percentile, results_of
from launch.study.micro import genotype_text
from launch.study.predictions import differences, judged, show_judged
from launch.study.replay import FEW, RANDOM, random_choice, replay
from launch.study.replay import STRATEGIES as REPLAYED
from launch.study.searches import LOOKED_AT, SEARCH, WEIGHTS, SearchTask, carry_out, clips_of_search, micro_search
from launch.study.table import TruthTable, read_table
from launch.study.truth import RECIPE, TABLE, VIDEOS
from nas.audit import rank_correlations
from nas.executor import Unit
from nas.strategies import StrategyName
from results.estimate import Estimate
from search_spaces.errors import UsageError
from search_spaces.randomness import generator
from video.manifest import load_manifest

SHORT = {"ray_address": "--ray-address"}
SEARCHED: tuple[StrategyName, ...] = ("reinforce", "uniform", "evolution")
STATISTICS: Mapping[StrategyName, tuple[Statistics, ...]] = {
    "reinforce": ("batch",),
    "uniform": ("batch", "recalibrated"),  # trained alike for all architectures, so the fairest judge of statistics
    "evolution": ("batch",),
}
NUM_DRAWS = 10_000


@dataclass(frozen=True, kw_only=True)
class Options(StudyOptions):
    """Search the micro space by several strategies and look up in the ground truth what they found.

    Attributes:
        table: Of `study truth`, at the same size; None takes the one in this folder.
        seeds: Searches of each strategy, from seeds 0, 1, ...
        replays: Replays of each strategy against the stored answers.
    """

    table: Path | None = None
    seeds: int = 5
    replays: int = 20


def run(options: Options) -> int:
    """Search whatever is missing, replay, and show the percentiles."""
    check_counts(seeds=options.seeds, replays=options.replays)
    check(options)
    table = table_of(options, options.table)
    results = results_of(options, carry_out, search_units(options, table), label="searched")
    document = document_of(options, table, results)
    show(document, as_json=options.json)
    return 0


def table_of(study: StudyOptions, path: Path | None) -> TruthTable:
    """The ground truth of the study's size.

    Raises:
        DocumentError: There is none.
        UsageError: It is of other architectures.
    """
    path = path or study.out / TABLE
    table = read_table(path)
    problem = micro.problem(study.size)
    candidates = [problem.candidate(row_D) for row_D in micro.architectures(study.size)]
    if tuple(candidate.fingerprint for candidate in candidates) != table.fingerprints:
        raise UsageError(f"a table must be of the micro space at size {study.size}, but {path} is of another")
    return table


def search_units(options: Options, table: TruthTable) -> list[Unit[SearchTask]]:
    """One search per strategy and seed; seed by seed, so that an early stop leaves whole comparisons."""
    manifest, problem = VIDEOS[options.size].manifest(options, "motions"), micro.problem(options.size)
    candidates = tuple(problem.space.decode(genotype, problem.variant) for genotype in table.genotypes)
    return [
        Unit(
            name=f"motion-{strategy}-{seed}",
            task=SearchTask(
                options=micro_search(
                    options, f"motion-{strategy}-{seed}", manifest=manifest, seed=seed, strategy=strategy
                ),
                scored=candidates,
                statistics=STATISTICS[strategy],
            ),
        )
        for seed in range(options.seeds)
        for strategy in SEARCHED
    ]


def document_of(options: Options, table: TruthTable, results: dict[str, Document]) -> Document:
    """Everything that is shown, in plain data."""
    truth_N = table.truth()
    found = {strategy: [results[f"motion-{strategy}-{seed}"] for seed in range(options.seeds)] for strategy in SEARCHED}
    percentiles = {
        strategy: [percentile(truth_N[table.number(each["found"])], truth_N) for each in each_of]
        for strategy, each_of in found.items()
    }
    accuracies = {
        strategy: [float(truth_N[table.number(each["found"])]) for each in each_of]
        for strategy, each_of in found.items()
    }
    alone = {name: {"n": num, **best_of(table, num)} for name, num in trainings_alone(options).items()}
    replayed = {
        name: [percentile(float(truth_N[number]), truth_N) for number in numbers]
        for name, numbers in _replays(options, table).items()
    }
    return {
        "size": options.size,
        "architectures": len(truth_N),
        "truth": {"mean": float(truth_N.mean()), "best": float(truth_N.max()), "sd": float(truth_N.std())},
        "percentiles": percentiles,
        "accuracies": accuracies,
        "found": {
            strategy: [genotype_text(each["genotype"]) for each in each_of] for strategy, each_of in found.items()
        },
        "argmax_ratios": {strategy: [each["argmax_ratio"] for each in each_of] for strategy, each_of in found.items()},
        "tau": {
            f"{strategy}, {statistics}": [
                tau(each["scores"][statistics], truth_N, seed=seed) for seed, each in enumerate(each_of)
            ]
            for strategy, each_of in found.items()
            for statistics in STATISTICS[strategy]
        },
        "alone": alone,
        "replay": replayed,
        "predictions": _judged(percentiles, alone, replayed),
    }


def _replays(options: Options, table: TruthTable) -> dict[str, list[int]]:
    seeds = range(options.replays)
    strategies = {name: [replay(table, options.size, name, seed=seed) for seed in seeds] for name in REPLAYED}
    return strategies | {
        name: [random_choice(table, options.size, name, seed=seed) for seed in seeds] for name in RANDOM
    }


def _judged(
    percentiles: Mapping[StrategyName, list[float]],
    alone: Mapping[str, Document],
    replayed: Mapping[str, list[float]],
) -> list[Document]:
    """What became of the predictions in the docstring of this module."""
    reinforce = percentiles["reinforce"]
    return [
        *(
            judged(f"(1) {strategy} - a random architecture", [value - 0.5 for value in values], "above")
            for strategy, values in percentiles.items()
        ),
        *(
            judged(
                f"(2) reinforce - stand-alone best of {each['n']} ({name})",
                [value - each["mean"] for value in reinforce],
                "above",
            )
            for name, each in alone.items()
        ),
        *(
            judged(f"(3) replay of {name} - {FEW}", differences(replayed[name], replayed[FEW]), "above")
            for name in REPLAYED
        ),
    ]


def tau(scores: list[float], truth_N: Floats, *, seed: int) -> dict[str, float] | None:
    """Kendall's tau of shared weights' scores against the truth, with its interval and n; None where there is none."""
    found = rank_correlations(scores, truth_N, rng=generator(seed, "tau")).kendall
    if not isinstance(found, Estimate):
        return None
    return {"value": found.value, "low": found.low, "high": found.high, "num": found.num}


def trainings_alone(options: Options) -> dict[str, int]:
    """How many stand-alone trainings cost as many clips as a search, by what is counted; at least one."""
    manifest = VIDEOS[options.size].manifest(options, "motions")
    num_train = len(load_manifest(manifest).of("train"))
    config, weights = SEARCH[options.size], WEIGHTS[options.size]
    of_a_training = RECIPE.num_steps(num_train) * RECIPE.batch_size
    return {
        name: max(
            1, round(clips_of_search(config, weights, num_train_videos=num_train, looked_at=counted) / of_a_training)
        )
        for name, counted in (("trained on", 0.0), ("trained on, and a third of those looked at", LOOKED_AT))
    }


def best_of(table: TruthTable, num: int) -> dict[str, float]:
    """Percentile of the best of `num` random architectures, each trained once, over many draws: mean and quantiles.

    The best is chosen by one training on one half of the clips, as validation would; its place is by the mean of all.
    """
    rng, truth_N = generator(0, "best of"), table.truth()
    num_seeds, num_clips = table.correct_NSC.shape[1:]
    picked = []
    for _ in range(NUM_DRAWS):
        drawn = rng.choice(len(truth_N), size=min(num, len(truth_N)), replace=False)
        clips = rng.permutation(num_clips)[: num_clips // 2]
        seen = table.correct_NSC[drawn, int(rng.integers(num_seeds))][:, clips].mean(axis=1)
        picked.append(percentile(truth_N[drawn[int(seen.argmax())]], truth_N))
    low, high = np.quantile(picked, [0.025, 0.975])
    return {"mean": float(np.mean(picked)), "low": float(low), "high": float(high)}


def show(document: Document, *, as_json: bool) -> None:
    """Percentiles, ranking and the predictions."""
    if as_json:
        console.show_json(document)
        return
    truth = document["truth"]
    console.show(
        f"{document['architectures']} architectures of equal cost: accuracy {truth['mean']:.3f} in the mean, "
        f"{truth['best']:.3f} at best"
    )
    rows = [
        (
            strategy,
            interval(document["percentiles"][strategy]),
            interval(document["accuracies"][strategy]),
            interval(document["argmax_ratios"][strategy]),
        )
        for strategy in SEARCHED
    ]
    console.show_table(
        "Searches: mean [95 % interval over seeds]",
        ("strategy", "percentile of found", "its accuracy", "argmax cost/target"),
        rows,
    )
    found = {name: [each for each in taus if each is not None] for name, taus in document["tau"].items()}
    console.show_table(
        "Kendall's tau of the shared weights' scores against the ground truth",
        ("strategy, statistics", "mean over seeds", "n", "interval of the first seed"),
        [
            (
                name,
                interval([each["value"] for each in taus]),
                taus[0]["num"],
                f"[{taus[0]['low']:.2f}, {taus[0]['high']:.2f}]",
            )
            for name, taus in found.items()
            if taus
        ],
    )
    console.show_table(
        "Trained one by one with as many clips: mean and central 95 % of draws",
        ("counted", "best of", "percentile"),
        [
            (name, each["n"], f"{each['mean']:.3f} [{each['low']:.3f}, {each['high']:.3f}]")
            for name, each in document["alone"].items()
        ],
    )
    console.show_table(
        "Replay against stored answers: mean [95 % interval over seeds]",
        ("strategy", "percentile of found"),
        [(strategy, interval(values)) for strategy, values in document["replay"].items()],
    )
    show_judged(document["predictions"])
