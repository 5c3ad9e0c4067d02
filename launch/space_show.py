"""`movinas space show`: decisions, size and costs of a space, and where a target lies in it."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from launch import console
from launch.specs import check_classes, find_variant
from nas.problem import Problem
from search_spaces.cost_table import Metric, cost_table
from search_spaces.movinet import find_space
from search_spaces.randomness import generator
from search_spaces.space import SearchSpace, size_log10
from search_spaces.target import parse_target
from search_spaces.variant import Variant

POSITIONALS = ("name",)
NUM_SAMPLES = 20_000


@dataclass(frozen=True, kw_only=True)
class Options:
    """A search space: its decisions, its size, what its networks cost.

    Attributes:
        name: a0 to a5, phi:<number>, nano, or a JSON file.
        target: A cost, such as macs=10M/clip, to look up in the space.
        variant: base, paper-stream, released-stream, or a JSON file.
        classes: Outputs of the classifier.
        json: Print one JSON document.
    """

    name: str
    target: str | None = None
    variant: str = "base"
    classes: int = 600
    json: bool = False

    def __post_init__(self) -> None:
        check_classes(self.classes)


def run(options: Options) -> int:
    """Print the space."""
    space, variant = find_space(options.name), find_variant(options.variant)
    metrics: tuple[Metric, ...] = ("macs", "params", "stream_state_bytes") if variant.streams else ("macs", "params")
    document: dict[str, object] = {
        "name": space.name,
        "hash": space.hash,
        "size_log10": size_log10(space),
        "decisions": len(space.decisions),
        **{metric: _statistics(space, variant, metric, options.classes) for metric in metrics},
    }
    if options.target is not None:
        problem = Problem(
            space=space,
            variant=variant,
            target=parse_target(options.target),
            num_classes=options.classes,
            seed=0,
        )
        low, _, high, percentile = problem.statistics()
        value = problem.target.value
        document["target"] = {
            "text": options.target,
            "value": value,
            "feasible": low <= value <= high,
            "percentile": percentile,
        }
    if options.json:
        console.show_json(document)
        return 0
    _show(space, document, metrics)
    return 0


def _statistics(space: SearchSpace, variant: Variant, metric: Metric, classes: int) -> dict[str, float]:
    table = cost_table(space, variant, metric=metric, num_classes=classes)
    low, high = table.bounds()
    samples_N = table.costs(space.sample_indices(generator(0, "cost statistics"), NUM_SAMPLES))
    return {"min": low, "median": float(np.median(samples_N)), "max": high}


def _show(space: SearchSpace, document: dict[str, object], metrics: tuple[Metric, ...]) -> None:
    clip = space.clip
    console.show(
        f"space {space.name}: {len(space.decisions)} decisions, 10^{document['size_log10']:.1f} architectures, "
        f"clips of {clip.num_frames} frames x {clip.resolution} px at {clip.rate_fps:g} fps"
    )
    groups = Counter((decision.group, decision.choices) for decision in space.decisions)
    console.show_table(
        "Decisions",
        ("group", "how many", "choices"),
        [(group, number, ", ".join(map(str, choices))) for (group, choices), number in groups.items()],
    )
    rows = []
    for metric in metrics:
        statistics = document[metric]
        assert isinstance(statistics, dict)
        rows.append((metric, *(f"{statistics[key]:,.0f}" for key in ("min", "median", "max"))))
    console.show_table(
        f"Costs of one clip; median of {NUM_SAMPLES:,} random architectures", ("", "min", "median", "max"), rows
    )
    target = document.get("target")
    if isinstance(target, dict):
        where = f"at percentile {target['percentile']:.1f}" if target["feasible"] else "OUTSIDE the space"
        console.show(f"target {target['text']}: {where}")
