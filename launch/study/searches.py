"""Searches as units of a study: what each found, what its policy came to believe, and how it does on fresh clips."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from launch import members, search
from launch.shared_weights import Statistics, shared_scores
from launch.study import micro
from launch.study.common import Document, Size, StudyOptions, checkpoints_of, kept, origin_of_run, refuse_other_run
from nas.loop import SearchConfig
from nas.reinforce import ControllerConfig
from nas.select import SelectionConfig
from results.history import SearchHistory, read_history
from results.records import CandidateRecord
from results.run_dir import RunDir
from search_spaces.movinet import find_space
from search_spaces.space import Candidate, SearchSpace
from search_spaces.space_json import read_space, space_document
from search_spaces.spec import ClipGeometry, parse_kernel
from search_spaces.variant import Variant
from supernet.evaluator import WeightConfig
from video.manifest import load_manifest

SEARCH: Mapping[Size, SearchConfig] = {
    "cpu": SearchConfig(
        steps=200,
        architectures_per_step=4,
        checkpoint_every=100,
        controller=ControllerConfig(delay_fraction=0.5),
        selection=SelectionConfig(tolerance=micro.TOLERANCE, random_tolerance=micro.TOLERANCE),
    ),
    "gpu": SearchConfig(
        steps=4000,
        architectures_per_step=4,
        checkpoint_every=500,
        selection=SelectionConfig(tolerance=micro.TOLERANCE, random_tolerance=micro.TOLERANCE),
    ),
}
"""Of the micro space; everything else as a user's search has it by default. In 200 steps shared weights know nothing
before the 80th: a policy that learns from then on what a quarter of the steps taught takes noise for quality."""
LOOKED_AT = 1 / 3
"""What a clip costs that is only looked at, of one that is trained on: a forward pass of three."""
HELD_OUT, MAX_COMPARED = 0.3, 512
"""Share of the training videos, and most of them in the final comparison, as a search has them by default."""
LARGE = replace(find_space("a0"), name="a0-16x112", clip=ClipGeometry(num_frames=16, resolution=112, rate_fps=16.0))
"""The space of A0 on smaller clips, for a GPU."""
LARGE_TARGETS = ("macs=300M/clip", "macs=370M/clip", "macs=550M/clip")
"""The middle one is to such clips what 2.7 G are to those of A0."""
LARGE_SEARCH = SearchConfig(steps=4000, architectures_per_step=4, checkpoint_every=500)
WEIGHTS: Mapping[Size, WeightConfig] = {
    "cpu": WeightConfig(batch_size=8, reward_multiple=2, quality="probability"),
    "gpu": WeightConfig(batch_size=32),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTask:
    """One search.

    Attributes:
        options: Of the search.
        scored: Architectures to score with the shared weights when it has ended, such as those of a ground truth.
        statistics: Of batch norm in those scores.
    """

    options: search.Options
    scored: tuple[Candidate, ...] = ()
    statistics: tuple[Statistics, ...] = ("batch",)

    def origin(self) -> object:
        """See `common.Task`."""
        scored = [candidate.fingerprint for candidate in self.scored]
        return [origin_of_run(self.options), scored, self.statistics]

    def leftovers(self) -> Iterable[Path]:
        """See `common.Task`."""
        return checkpoints_of(self.options.out)


def micro_search(
    study: StudyOptions,
    name: str,
    *,
    manifest: Path,
    seed: int,
    target: str | None = None,
    weights: WeightConfig | None = None,
    **changes: object,
) -> search.Options:
    """A search of the micro space in a run folder of that name.

    Args:
        study: Of the study.
        name: Of the run's folder under `searches`.
        manifest: Of its videos.
        seed: Of the search.
        target: None takes the target of the ground truth.
        weights: None takes those of the study's size.
        changes: Of the search's configuration, such as strategy="evolution".
    """
    config = replace(SEARCH[study.size], **changes)  # type: ignore[arg-type]
    return options_of_search(
        study,
        name,
        space=micro.space(study.size),
        manifest=manifest,
        seed=seed,
        target=target or micro.TARGETS[study.size],
        config=config,
        weights=weights or WEIGHTS[study.size],
    )


def options_of_search(
    study: StudyOptions,
    name: str,
    *,
    space: SearchSpace,
    manifest: Path,
    seed: int,
    target: str,
    config: SearchConfig,
    weights: WeightConfig,
) -> search.Options:
    """A search in the study's folder, where its space is kept as a file."""
    return search.Options(
        space=str(kept(study, f"{space.name}.json", space_document(space))),
        target=target,
        out=study.out / "searches" / name,
        data=manifest,
        seed=seed,
        search=config,
        weights=weights,
        clips=study.clips,
        device=study.device,
        threads=study.threads,
        workers=study.workers,
        amp=study.amp,
    )


def carry_out(task: SearchTask) -> Document:
    """Search, or go on with a search, and say what came of it."""
    refuse_other_run(task.options)
    run, result = members.searched(task.options)
    history = read_history(run.journal_path)
    found = next(record for record in history.candidates if record.fingerprint == result.found)
    randoms = [record for record in history.candidates if record.origin == "random"]
    test_items = load_manifest(run.manifest_path).of("test")
    space = read_space(run.space_path)
    fresh = shared_scores(
        run,
        [space.decode(record.genotype, Variant()) for record in (found, *randoms)],
        statistics="batch",
        threads=task.options.threads,
        device=task.options.device,
        items=test_items,
    )
    chances = temporal_chances(history, space)
    document: Document = {
        "found": result.found,
        "genotype": dict(found.genotype),
        "found_ratio": result.found_ratio,
        "found_quality": result.found_quality,
        "argmax": result.argmax_fingerprint,
        "argmax_ratio": result.argmax_ratio,
        "random_quality_mean": result.random_quality_mean,
        "randoms": [record.fingerprint for record in randoms],
        "fresh_found": fresh[0].quality,
        "fresh_random": [measurement.quality for measurement in fresh[1:]],
        "temporal_first": chances[0],
        "temporal": float(np.mean(chances)),
        "own": num_own(history.candidates),
    }
    if task.scored:
        document["scores"] = scores(run, task)
    return document


def scores(run: RunDir, task: SearchTask) -> dict[str, list[float]]:
    """Qualities of the scored architectures on the search's held-out clips, by each kind of statistics."""
    return {
        statistics: [
            measurement.quality
            for measurement in shared_scores(
                run, task.scored, statistics=statistics, threads=task.options.threads, device=task.options.device
            )
        ]
        for statistics in task.statistics
    }


def temporal_chances(history: SearchHistory, space: SearchSpace) -> list[float]:
    """Probability of a kernel longer than one frame at the end of a search, of every layer that may be there."""
    policy = history.policies[-1]
    temporal = np.array([parse_kernel(kernel)[0] > 1 for kernel in space.kernels])
    layers = [decision.name for decision in space.decisions if decision.group == "kernel"]
    return [float(np.asarray(policy.probabilities[name])[temporal].sum()) for name in layers]


def num_own(candidates: Sequence[CandidateRecord]) -> int:
    """How many of the compared architectures the strategy proposed by itself inside the budget."""
    return sum(record.origin == "policy" for record in candidates)


def clips_of_search(
    config: SearchConfig, weights: WeightConfig, *, num_train_videos: int, looked_at: float = LOOKED_AT
) -> float:
    """Clips that a search costs, in clips trained on.

    Args:
        config: Of the search.
        weights: Of the search.
        num_train_videos: Of which the search holds out its default share, for rewards and the final comparison.
        looked_at: What a clip counts that is only looked at.
    """
    num = config.steps * config.architectures_per_step
    num_compared = config.selection.num_policy + config.selection.num_random + 1
    num_looks = num * weights.reward_clips + num_compared * min(MAX_COMPARED, round(HELD_OUT * num_train_videos))
    return num * weights.batch_size + looked_at * num_looks
