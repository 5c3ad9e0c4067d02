"""`movinas study retrained`: what a search found against random architectures of equal cost, all trained alike.

On generated motions, at three targets: one search each, the architecture it found, and random ones within 2 % of the
target, every one trained from several seeds with the same recipe. On videos of your own, such as a folder of real
clips: the same at one target, on repeated splits (`--splits`), each with a search of its own, for a search must not see
test clips; `--seeds` trainings of every architecture on each of them.

Prediction, written before the runs: what was found lies above the median of the random ones at every target, and its
mean percentile over all of them above 0.5 beyond its interval.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from launch import console, data_index
from launch.study.common import (
    Document,
    Floats,
    Size,
    StudyOptions,
    check,
    check_counts,
    interval,
    percentile,
    results_of,
)
from launch.study.searches import (
    LARGE,
    LARGE_SEARCH,
    LARGE_TARGETS,
    WEIGHTS,
    SearchTask,
    carry_out,
    clips_of_search,
    options_of_search,
)
from launch.study.training import Training, trained_and_asked
from launch.study.videos import MotionVideos, manifest_in
from nas.executor import Unit
from nas.loop import SearchConfig
from nas.problem import Problem
from nas.reinforce import ControllerConfig
from nas.select import SelectionConfig, random_baseline
from nas.warmup import WarmupConfig
from retrain.evaluate import report_of
from retrain.recipe import Recipe
from search_spaces.movinet import find_space
from search_spaces.space import Candidate, SearchSpace
from search_spaces.target import parse_target
from search_spaces.variant import Variant
from supernet.evaluator import WeightConfig
from video.manifest import load_manifest

SHORT = {"ray_address": "--ray-address"}
NUM_DRAWS = 2000
FLATTERED = "*"
"""Mark of what `best_of` makes of one training each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is searched and trained at a size."""

    space: SearchSpace
    targets: tuple[str, ...]
    target_of_real: str
    videos: MotionVideos
    search: SearchConfig
    weights: WeightConfig
    recipe: Recipe
    real_recipe: Recipe


SETTINGS: Mapping[Size, Setting] = {
    "cpu": Setting(
        space=find_space("nano"),
        targets=("macs=8M/clip", "macs=10M/clip", "macs=13M/clip"),
        target_of_real="macs=10M/clip",
        videos=MotionVideos(videos_per_class=150, size=56, num_frames=12, rate_fps=8, split="0.54,0.06,0.4", seed=2),
        search=SearchConfig(
            steps=800,
            checkpoint_every=100,
            controller=ControllerConfig(delay_fraction=0.5),
            warmup=WarmupConfig(op_fraction=0.05, filter_fraction=0.15),
        ),
        weights=WeightConfig(reward_multiple=2),
        recipe=Recipe(epochs=4, batch_size=32, evaluations=1, checkpoint_every=10_000),
        real_recipe=Recipe(batch_size=16, evaluations=1, checkpoint_every=10_000),
    ),
    "gpu": Setting(
        space=LARGE,
        targets=LARGE_TARGETS,
        target_of_real=LARGE_TARGETS[1],
        videos=MotionVideos(videos_per_class=1000, size=128, num_frames=24, rate_fps=16, split="0.7,0.05,0.25", seed=2),
        search=LARGE_SEARCH,
        weights=WEIGHTS["gpu"],
        recipe=Recipe(epochs=10, batch_size=64, evaluations=1, checkpoint_every=10_000),
        real_recipe=Recipe(batch_size=16, evaluations=1, checkpoint_every=10_000),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Options(StudyOptions):
    """Retrain what searches found beside random architectures of equal cost.

    Attributes:
        source: Folder per class of videos of your own; None for generated motions.
        randoms: Random architectures beside each that was found.
        seeds: Trainings of every architecture.
        splits: Of your own videos: splits, each with a search of its own.
    """

    source: Path | None = None
    randoms: int = 10
    seeds: int = 3
    splits: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One search, and the trainings that it is judged by.

    Attributes:
        name: Of its search; `seed` of that search.
        train_seeds: One training per seed of each architecture.
    """

    name: str
    target: str
    manifest: Path
    seed: int
    recipe: Recipe
    train_seeds: tuple[int, ...]


def run(options: Options) -> int:
    """Search, train whatever is missing, and show where the found ones lie among the random ones."""
    check_counts(randoms=options.randoms, seeds=options.seeds, splits=options.splits)
    check(options)
    comparisons = comparisons_of(options)
    searched = results_of(options, carry_out, [_search_unit(options, each) for each in comparisons], label="searched")
    trainings = {
        name: training
        for each in comparisons
        for name, training in _trainings(options, each, searched[each.name]).items()
    }
    units = [Unit(name=name, task=training) for name, training in trainings.items()]
    trained = results_of(options, train_and_test, units, label="trained")
    rows = [_row(options, each, searched[each.name], trained) for each in comparisons]
    show(rows, as_json=options.json)
    return 0


def comparisons_of(options: Options) -> list[Comparison]:
    """What is searched: three targets of generated motions, or one target on several splits of real videos."""
    setting = SETTINGS[options.size]
    if options.source is None:
        manifest = setting.videos.manifest(options, "retrained-motions")
        return [
            Comparison(
                name=f"retrained-{target.partition('=')[2].replace('/', '-')}",
                target=target,
                manifest=manifest,
                seed=0,
                recipe=setting.recipe,
                train_seeds=tuple(range(options.seeds)),
            )
            for target in setting.targets
        ]
    name = options.source.resolve().name
    return [
        Comparison(
            name=f"retrained-{name}-split{split}",
            target=setting.target_of_real,
            manifest=_split(options, options.source, name, split),
            seed=split,
            recipe=setting.real_recipe,
            train_seeds=tuple(range(options.seeds)),
        )
        for split in range(options.splits)
    ]


def train_and_test(task: Training) -> Document:
    """Train one network and measure it on the test split."""
    ensemble, _, predictions = trained_and_asked(task)
    report = report_of(predictions, space=ensemble.label_space, views="1x1")
    return {"top1": report.top1, "num_videos": report.num_videos}


def show(rows: Sequence[Document], *, as_json: bool) -> None:
    """A row per search, then all together."""
    percentiles = [row["percentile"] for row in rows]
    gains = [float(np.mean(row["found"]) - np.mean(row["randoms"])) for row in rows]
    chance = by_chance(percentiles, num=min(len(row["randoms"]) for row in rows))
    if as_json:
        document = {"percentile": str(interval(percentiles)), "gain": str(interval(gains)), "by_chance": chance}
        console.show_json({"comparisons": list(rows), **document})
        return
    console.show_table(
        "Retrained: what was found, and random architectures of equal cost",
        ("search", "found", "random: mean", "median", "best", "percentile", "n", "best of N alone", "cost/target"),
        [
            (
                row["name"],
                interval(row["found"]),
                f"{np.mean(row['randoms']):.3f}",
                f"{np.median(row['randoms']):.3f}",
                f"{max(row['randoms']):.3f}",
                f"{row['percentile']:.2f} [{row['low']:.2f}, {row['high']:.2f}]",
                len(row["randoms"]),
                f"{row['alone']['top1']:.3f} (N={row['alone']['n']}){FLATTERED if len(row['found']) == 1 else ''}",
                f"{row['found_ratio']:.3f}",
            )
            for row in rows
        ],
    )
    if any(len(row["found"]) == 1 for row in rows):
        console.show(
            f"{FLATTERED} flattered: of one training each, the best is chosen by what it is judged by (--seeds)"
        )
    console.show(
        f"percentile of what was found, over searches: {interval(percentiles)}; random ones in its place would be as "
        f"high with a probability of {chance:.3f}\nfound - mean of random, over searches: {interval(gains)}"
    )


def _search_unit(options: Options, comparison: Comparison) -> Unit[SearchTask]:
    setting = SETTINGS[options.size]
    search_options = options_of_search(
        options,
        comparison.name,
        space=setting.space,
        manifest=comparison.manifest,
        seed=comparison.seed,
        target=comparison.target,
        config=setting.search,
        weights=setting.weights,
    )
    return Unit(name=comparison.name, task=SearchTask(options=search_options))


def _candidates(options: Options, comparison: Comparison, searched: Document) -> list[Candidate]:
    """The found architecture, then random ones of its cost, the same whatever was found."""
    space = SETTINGS[options.size].space
    problem = Problem(
        space=space,
        variant=Variant(),
        target=parse_target(comparison.target),
        num_classes=load_manifest(comparison.manifest).num_classes,
        seed=1,  # not those that the search compared itself with
    )
    rows_ND = random_baseline(problem, SelectionConfig(num_random=options.randoms))
    return [space.decode(searched["genotype"], Variant()), *(problem.candidate(row_D) for row_D in rows_ND)]


def _trainings(options: Options, comparison: Comparison, searched: Document) -> dict[str, Training]:
    return {
        (name := _name(comparison, candidate, seed)): Training(
            name=name,
            candidate=candidate,
            seed=seed,
            manifest=comparison.manifest,
            recipe=comparison.recipe,
            study=options,
            kept=True,
        )
        for seed in comparison.train_seeds
        for candidate in _candidates(options, comparison, searched)
    }


def _row(options: Options, comparison: Comparison, searched: Document, trained: Mapping[str, Document]) -> Document:
    """Accuracies of a comparison; its percentile has Jeffreys' interval of a share."""
    found, *randoms = (
        [trained[_name(comparison, candidate, seed)]["top1"] for seed in comparison.train_seeds]
        for candidate in _candidates(options, comparison, searched)
    )
    means_N, num_alone = np.array([np.mean(each) for each in randoms]), num_trainings(options, comparison)
    beaten = percentile(float(np.mean(found)), means_N) * len(means_N)
    low, high = stats.beta.ppf([0.025, 0.975], beaten + 0.5, len(means_N) - beaten + 0.5)
    return {
        "name": comparison.name,
        "target": comparison.target,
        "genotype": searched["genotype"],
        "found_ratio": searched["found_ratio"],
        "found": found,
        "randoms": means_N.tolist(),
        "percentile": percentile(float(np.mean(found)), means_N),
        "alone": {"n": num_alone, "top1": best_of(np.array(randoms), num_alone)},
        "low": float(low),
        "high": float(high),
    }


def num_trainings(options: Options, comparison: Comparison) -> int:
    """Stand-alone trainings that cost as many clips as the search did."""
    setting, manifest = SETTINGS[options.size], load_manifest(comparison.manifest)
    num_train = len(manifest.of("train"))
    searched = clips_of_search(setting.search, setting.weights, num_train_videos=num_train)
    return max(1, round(searched / (comparison.recipe.num_steps(num_train) * comparison.recipe.batch_size)))


def best_of(top1_NS: Floats, num: int) -> float:
    """Accuracy, in the mean over draws, of the best of `num` random architectures by one training, in the others.

    With one training each it is chosen by what it is judged by, which flatters it; where there are fewer than `num`, it
    is the best of all.
    """
    num_nets, num_seeds = top1_NS.shape
    rng, found = np.random.default_rng(0), []
    for _ in range(NUM_DRAWS):
        drawn = rng.choice(num_nets, size=min(num, num_nets), replace=False)
        seed = int(rng.integers(num_seeds))
        others = [other for other in range(num_seeds) if other != seed or num_seeds == 1]
        found.append(top1_NS[drawn[top1_NS[drawn, seed].argmax()], others].mean())
    return float(np.mean(found))


def by_chance(percentiles: Sequence[float], *, num: int) -> float:
    """Probability that architectures drawn like the `num` random ones would have percentiles as high in the mean."""
    ranks_SN = np.random.default_rng(0).integers(num + 1, size=(len(percentiles), 100_000)) / num
    return float((ranks_SN.mean(axis=0) >= np.mean(percentiles) - 1e-9).mean())


def _name(comparison: Comparison, candidate: Candidate, seed: int) -> str:
    return f"{comparison.manifest.stem}-{candidate.fingerprint[:16]}-{seed}"


def _split(options: Options, source: Path, name: str, seed: int) -> Path:
    """A split of real videos of its own: 60 % to search and train on, 5 % to validate, the rest to test."""

    def make(path: Path) -> None:
        data_index.index(data_index.Options(source=source, out=path, split="0.6,0.05,0.35", redraw=True, seed=seed))

    return manifest_in(options, f"{name}-split{seed}", make)
