"""`movinas space show`: decisions, size and costs of a space, and where a target and a published network lie in it."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from launch import console
from launch.specs import check_classes, find_variant, with_clip_choices, with_conv_choices
from nas.problem import Problem
from search_spaces.cost import cost
from search_spaces.cost_table import cost_table
from search_spaces.errors import UsageError
from search_spaces.mean_cost import uniform_chances
from search_spaces.membership import differences, nearest_genotype
from search_spaces.movinet import PHIS, SPACES, find_space, phi_of, space_at
from search_spaces.prices import Metric
from search_spaces.published import published
from search_spaces.scaling import PUBLISHED_COEFFICIENTS
from search_spaces.space import SearchSpace, size_log10
from search_spaces.survey import Costs, growth_per_phi, percentile, sampled_costs, spread
from search_spaces.target import parse_target
from search_spaces.variant import VARIANTS, Variant

POSITIONALS = ("name",)
STATE_FORM = "paper-stream"
"""Whose state is shown for a variant that has none: the same network, made causal."""
FAR_PERCENTILE = 10.0
"""Below it, or as far from the other end, a target is far from the middle of a space."""

Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Options:
    """A search space: its decisions, its size, what its networks cost, and how near a published one is.

    Attributes:
        name: a0 to a5, phi:<number>, nano, or a JSON file.
        target: A cost, such as macs=10M/clip or latency=10ms/frame@table.json, to look up in the space.
        clip_choices: Makes the clip decisions of the space, such as frames=25:50,resolution=172:224,rate_fps=5.
        conv_choices: Makes the form of convolutions a decision of the space, as 3d:3d_2plus1d.
        variant: base, paper-stream, released-stream, or a JSON file.
        classes: Outputs of the classifier.
        samples: Random architectures for medians and percentiles.
        json: Print one JSON document.
    """

    name: str
    target: str | None = None
    clip_choices: str | None = None
    conv_choices: str | None = None
    variant: str = "base"
    classes: int = 600
    samples: int = 20_000
    json: bool = False

    def __post_init__(self) -> None:
        check_classes(self.classes)
        if not 1 <= self.samples <= 10_000_000:
            raise UsageError(f"samples must be in [1, 10000000], but got {self.samples}")


def run(options: Options) -> int:
    """Print the space.

    Raises:
        InfeasibleTargetError: After it is printed, where no architecture of the space meets the target.
    """
    space, variant, problem = _resolved(options)
    document = _document(options, space, variant, problem)
    if options.json:
        console.show_json(document)
    else:
        _show(space, document)
    if problem is not None:
        problem.check_feasible()
    return 0


def describe(options: Options) -> Document:
    """What `--json` prints."""
    return _document(options, *_resolved(options))


def _resolved(options: Options) -> tuple[SearchSpace, Variant, Problem | None]:
    space = with_conv_choices(with_clip_choices(find_space(options.name), options.clip_choices), options.conv_choices)
    variant = find_variant(options.variant)
    if options.target is None:
        return space, variant, None
    target = parse_target(options.target)
    return space, variant, Problem(space=space, variant=variant, target=target, num_classes=options.classes, seed=0)


def _document(options: Options, space: SearchSpace, variant: Variant, problem: Problem | None) -> Document:
    state_form = variant if variant.streams else VARIANTS[STATE_FORM]
    forms: dict[Metric, Variant] = {"macs": variant, "params": variant, "stream_state_bytes": state_form}
    tables = {
        metric: cost_table(space, form, metric=metric, num_classes=options.classes) for metric, form in forms.items()
    }
    costs: dict[str, Costs] = {metric: table.costs for metric, table in tables.items()}
    if problem is not None:
        costs["target"] = problem.costs
    sampled = sampled_costs(space, costs, num=options.samples)
    document: Document = {
        "name": space.name,
        "hash": space.hash,
        "size_log10": size_log10(space),
        "decisions": len(space.decisions),
        "clips": [asdict(clip) for clip in space.clips],
        "samples": options.samples,
    }
    for metric, table in tables.items():
        found = spread(space, table, sampled[metric])
        document[metric] = {"min": found.low, "median": found.median, "max": found.high, "mean": found.mean}
    if not variant.streams:
        document["stream_state_bytes"]["variant"] = STATE_FORM
    if problem is not None:
        document["target"] = _target(problem, sampled["target"])
    if options.name in PHIS:
        document["published"] = _published(options, space, variant, sampled["macs"])
    if (phi := phi_of(options.name)) is not None:
        document["growth"] = _growth(phi, options.classes)
    return document


def _target(problem: Problem, sampled_N: NDArray[np.number]) -> Document:
    value = problem.target.value
    low, high = problem.target.bounds(problem.space, problem.variant, num_classes=problem.num_classes)
    place = percentile(sampled_N, value)
    if problem.target.metric == "activations":  # a maximum over layers, whose mean no sum gives
        mean = float(sampled_N.mean())
    else:
        mean, _ = problem.mean_cost(uniform_chances(problem.space))
    return {
        "text": problem.target.text,
        "value": value,
        "feasible": low <= value <= high,
        "percentile": place,
        "far": not FAR_PERCENTILE <= place <= 100 - FAR_PERCENTILE,
        "mean_ratio": mean / value,
        "mean_miss": float(np.abs(sampled_N / value - 1).mean()),
    }


def _published(options: Options, space: SearchSpace, variant: Variant, sampled_N: NDArray[np.number]) -> Document:
    name = space.name.upper()
    spec = published(name)
    found = differences(space, spec)
    own = cost(spec, variant, num_classes=options.classes)
    nearest = space.decode(nearest_genotype(space, spec), variant)
    nearest_macs = cost(nearest.spec, nearest.variant, num_classes=options.classes).macs
    return {
        "name": name,
        "member": space.contains(spec),
        "macs": own.macs,
        "params": own.params,
        "percentile": percentile(sampled_N, own.macs),
        "exact": sum(each.exact for each in found),
        "compared": len(found),
        "nearest_macs": nearest_macs,
        "nearest_ratio": nearest_macs / own.macs,
        "differences": [asdict(each) for each in found],
    }


def _growth(phi: float, classes: int) -> Document:
    low, high = min(PHIS, key=PHIS.__getitem__), max(PHIS, key=PHIS.__getitem__)
    phis = PHIS[high] - PHIS[low]
    derived = space_at(PHIS[low]), space_at(PHIS[high])
    return {
        "phi": phi,
        "coefficients": asdict(PUBLISHED_COEFFICIENTS),
        "of_coefficients": PUBLISHED_COEFFICIENTS.growth,
        "mean_macs": growth_per_phi(*derived, phis=phis, num_classes=classes),
        "mean_macs_published_clips": growth_per_phi(SPACES[low], SPACES[high], phis=phis, num_classes=classes),
    }


def _show(space: SearchSpace, document: Document) -> None:
    clip = space.clip
    clips = f"clips of {clip.num_frames} frames x {clip.resolution} px at {clip.rate_fps:g} fps"
    if len(space.clips) > 1:
        clips = f"{len(space.clips)} different clips"
    console.show(
        f"space {space.name}: {len(space.decisions)} decisions, 10^{document['size_log10']:.1f} architectures, {clips}"
    )
    groups = Counter(
        (decision.name if decision.group == "clip" else decision.group, decision.choices)
        for decision in space.decisions
    )
    console.show_table(
        "Decisions",
        ("group", "how many", "choices"),
        [(group, number, ", ".join(map(str, choices))) for (group, choices), number in groups.items()],
    )
    rows = []
    for metric in ("macs", "params", "stream_state_bytes"):
        statistics = document[metric]
        form = f" as {statistics['variant']}" if "variant" in statistics else ""
        rows.append((f"{metric}{form}", *(f"{statistics[key]:,.0f}" for key in ("min", "median", "mean", "max"))))
    console.show_table(
        f"Costs of one clip; median of {document['samples']:,} random architectures",
        ("", "min", "median", "mean", "max"),
        rows,
    )
    if "published" in document:
        _show_published(document["published"])
    if "growth" in document:
        _show_growth(document["growth"])
    if "target" in document:
        _show_target(document["target"])


def _show_published(found: Document) -> None:
    console.show(
        f"published {found['name']}: {found['macs']:,} MACs, at percentile {found['percentile']:.1f}; the space has "
        f"{found['exact']} of its {found['compared']} numbers, and its nearest network costs "
        f"{found['nearest_ratio']:.3f} times as much"
    )
    rows = [
        (each["name"], each["found"], each["nearest"], "" if each["relative"] is None else f"{each['relative']:+.1%}")
        for each in found["differences"]
        if each["found"] != each["nearest"]
    ]
    if rows:
        console.show_table("Where they differ", ("decision", "published", "nearest", "off by"), rows)


def _show_growth(growth: Document) -> None:
    coefficients = " x ".join(
        f"{value}^2" if name in ("width", "resolution") else str(value)
        for name, value in growth["coefficients"].items()
    )
    console.show(
        f"phi {growth['phi']:g}: a unit of phi means {growth['of_coefficients']:.2f} times the cost by the "
        f"coefficients ({coefficients}); the mean MACs of the spaces grow by {growth['mean_macs']:.2f}, and by "
        f"{growth['mean_macs_published_clips']:.2f} with the published clips"
    )


def _show_target(target: Document) -> None:
    if not target["feasible"]:
        console.show(f"target {target['text']}: OUTSIDE the space")
        return
    console.show(f"target {target['text']}: at percentile {target['percentile']:.1f}")
    if target["far"]:
        console.show(
            f"That is far from the middle: random architectures cost {target['mean_ratio']:.2f} times the target on "
            f"average and miss it by {target['mean_miss']:.0%}, so that early rewards are mostly cost. A search with "
            "--search.start at-target starts with the mean cost of its architectures at the target."
        )
