"""`movinas study truth`: every architecture of the micro space at its target, trained by itself.

Each is trained from several seeds with the recipe of `movinas retrain` and asked about the same test clips; the table
holds every answer, so that whoever wants to know what a search would have been told can replay it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from launch import console
from launch.compute import environment_of
from launch.study import micro
from launch.study.common import Document, Size, StudyOptions, check, results_of
from launch.study.micro import genotype_text
from launch.study.table import TruthTable, write_table
from launch.study.training import Training, trained_and_asked
from launch.study.videos import MotionVideos
from nas.audit import ceiling
from nas.executor import Unit
from retrain.recipe import Recipe
from search_spaces.errors import UsageError
from search_spaces.randomness import generator
from search_spaces.space import Candidate
from search_spaces.space_json import space_document
from video.manifest import load_manifest

SHORT = {"ray_address": "--ray-address"}
RECIPE = Recipe(epochs=4, batch_size=32, evaluations=1, checkpoint_every=10_000)
"""Four passes: enough to tell architectures apart, too few for all of them to learn everything."""
VIDEOS: Mapping[Size, MotionVideos] = {
    "cpu": MotionVideos(videos_per_class=150, size=56, num_frames=12, rate_fps=8, split="0.54,0.06,0.4", seed=1),
    "gpu": MotionVideos(videos_per_class=1000, size=128, num_frames=24, rate_fps=16, split="0.7,0.05,0.25", seed=1),
}
TABLE = "micro-truth.json.gz"
NAME_DIGITS = 16


@dataclass(frozen=True, kw_only=True)
class Options(StudyOptions):
    """Train all architectures of the micro space that cost what its target says, and keep every answer.

    Attributes:
        seeds: Trainings of each architecture, from seeds 0, 1, ...
    """

    seeds: int = 2


def run(options: Options) -> int:
    """Train whatever is missing, write the table, and say how far two seeds agree."""
    if options.seeds < 2:
        raise UsageError(f"seeds must be at least 2, for seeds are compared, but got {options.seeds}")
    check(options)
    manifest = VIDEOS[options.size].manifest(options, "motions")
    problem = micro.problem(options.size)
    candidates = [problem.candidate(row_D) for row_D in micro.architectures(options.size)]
    tasks = [
        Training(
            name=_name(candidate, seed),
            candidate=candidate,
            seed=seed,
            manifest=manifest,
            recipe=RECIPE,
            study=options,
            kept=False,
        )
        for seed in range(options.seeds)
        for candidate in candidates
    ]
    results = results_of(
        options,
        train_and_test,
        [Unit(name=task.name, task=task) for task in tasks],
        label="trained",
    )
    correct_NSC = [
        [_bits(results[_name(candidate, seed)]) for seed in range(options.seeds)] for candidate in candidates
    ]
    table = TruthTable(
        fingerprints=tuple(candidate.fingerprint for candidate in candidates),
        genotypes=tuple(candidate.genotype for candidate in candidates),
        correct_NSC=np.array(correct_NSC),
        macs_N=np.array([problem.full_cost(candidate).macs for candidate in candidates]),
        provenance={
            "command": f"movinas study truth --size {options.size} --seeds {options.seeds}",
            "environment": environment_of(options.threads),
            "space": space_document(problem.space),
            "target": problem.target.text,
            "tolerance": micro.TOLERANCE,
            "recipe": asdict(RECIPE),
            "videos": asdict(VIDEOS[options.size]),
            "test_clips": [item.id for item in load_manifest(manifest).of("test")],
        },
    )
    write_table(table, options.out / TABLE)
    show(options.out / TABLE, table, as_json=options.json)
    return 0


def train_and_test(task: Training) -> Document:
    """Train one architecture and ask it about the test clips."""
    _, card, predictions = trained_and_asked(task)
    right_N = predictions.probabilities_NK.argmax(axis=1) == predictions.labels_N
    right_N &= ~predictions.failed_N
    return {"correct": "".join("1" if right else "0" for right in right_N), "val_top1": card.val_top1}


def show(path: Path, table: TruthTable, *, as_json: bool) -> None:
    """The table in a few figures, and the ceiling of every ranking: how far two trainings agree."""
    truth_N, accuracies_NS = table.truth(), table.accuracies()
    agreement = ceiling(list(accuracies_NS.T), rng=generator(0, "ceiling"))
    quantiles = np.quantile(truth_N, [0.0, 0.25, 0.5, 0.75, 1.0]).tolist()
    if as_json:
        console.show_json(
            {
                "table": str(path),
                "architectures": len(truth_N),
                "seeds": accuracies_NS.shape[1],
                "clips": table.correct_NSC.shape[2],
                "accuracy_quantiles": quantiles,
                "ceiling": asdict(agreement),
            }
        )
        return
    console.show(f"{len(truth_N)} architectures, {accuracies_NS.shape[1]} trainings each: {path}")
    console.show(f"accuracy, mean of the trainings: {', '.join(f'{each:.3f}' for each in quantiles)} (quartiles)")
    console.show(f"between two seeds: Kendall {agreement.kendall}; Spearman {agreement.spearman}")
    best = sorted(zip(truth_N, table.genotypes, strict=True), key=lambda pair: -pair[0])[:5]
    console.show_table("Best", ("accuracy", "kernel/expansion"), [(f"{a:.3f}", genotype_text(g)) for a, g in best])


def _name(candidate: Candidate, seed: int) -> str:
    return f"{candidate.fingerprint[:NAME_DIGITS]}-{seed}"


def _bits(result: Document) -> list[bool]:
    return [answer == "1" for answer in result["correct"]]
