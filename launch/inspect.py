"""`movinas inspect`: where a run stands, and the network it favours, layer by layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from launch import audit, audit_table, console, ensemble_train, family, family_table, scaling_table, sweep_scaling
from launch.found import found_spec, layer_rows, with_macs
from launch.retrain import Options as RetrainOptions
from launch.runs import options_of, variant_of
from results.history import read_history
from results.run_dir import RunDir, open_run
from results.summary import Architecture, RetrainSummary, SearchSummary, summarise_retrain, summarise_search
from search_spaces.errors import RunFolderError
from search_spaces.space_json import read_space
from video.manifest import load_manifest

POSITIONALS = ("run",)
BARS = "▁▂▃▄▅▆▇█"
BAD_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Options:
    """Look at a run or a sweep, while it goes on or after it ended.

    Attributes:
        run: Run or sweep folder.
        json: Print one JSON document.
    """

    run: Path
    json: bool = False


def run(options: Options) -> int:
    """Print the summary."""
    folder = open_run(options.run)
    if folder.kind == "scaling":
        scaling_table.show(folder, sweep_scaling.table(folder), as_json=options.json)
        return 0
    if folder.kind == "family":
        family_table.show(folder, family.table(folder), as_json=options.json)
        return 0
    if folder.kind == "ensemble":
        ensemble_train.show(folder, ensemble_train.table(folder), as_json=options.json)
        return 0
    if folder.kind == "audit":
        audit_table.show(folder, *audit.outcome(folder), as_json=options.json)
        return 0
    if folder.kind == "retrain":
        retraining = summarise_retrain(folder)
        total = options_of(folder, RetrainOptions).recipe.epochs
        if options.json:
            console.show_json({**retraining.to_json(), "epochs_total": total})
        else:
            _show_retrain(folder, retraining, total)
        return 0
    summary = with_macs(folder, summarise_search(folder))
    layers = current_layers(folder)
    if options.json:
        console.show_json({**summary.to_json(), "network": list(layers)})
    else:
        _show_search(folder, summary, layers)
    return 0


def current_layers(run: RunDir) -> Sequence[Mapping[str, str | int]]:
    """Layers of the selected network of a finished search, or of the likeliest one so far."""
    num_classes = load_manifest(run.manifest_path).num_classes
    try:
        found = found_spec(run)
        return layer_rows(found.arch, found.variant, num_classes=num_classes)
    except RunFolderError:
        policies = read_history(run.journal_path).policies
        if not policies:
            return []
        likeliest = read_space(run.space_path).decode(policies[-1].argmax, variant_of(run))
        return layer_rows(likeliest.spec, likeliest.variant, num_classes=num_classes)


def _show_search(run: RunDir, summary: SearchSummary, layers: Sequence[Mapping[str, str | int]]) -> None:
    running = summary.status == "running" and summary.seconds_left
    left = f", {console.duration(summary.seconds_left)} left" if running and summary.seconds_left else ""
    console.show(
        f"{run.path}: search {summary.status}, step {summary.steps_done} of {_known(summary.steps_total)}{left}, "
        f"target {_known(summary.target)}{''.join(f', at most {limit}' for limit in summary.limits)}"
    )
    rows = []
    for name, value in (
        ("quality", summary.quality),
        ("reward", summary.reward),
        ("cost_ratio", summary.cost_ratio),
    ):
        course = _sparkline([point[1] for point in summary.trends.get(name, [])])
        rows.append((name.replace("cost_ratio", "cost/target"), _number(value), course))
    console.show_table("Mean of the last tenth of the steps, and the whole course", ("", "now", "course"), rows)
    console.show_table(
        "Entropy of the policy, mean per group of decisions (1 undecided, 0 settled)",
        tuple(summary.entropy),
        [[_number(value) for value in summary.entropy.values()]] if summary.entropy else [],
    )
    shares = sorted(summary.time_shares.items(), key=lambda pair: -pair[1])
    console.show_table("Share of time", [name for name, _ in shares], [[f"{share:.1%}" for _, share in shares]])
    overhead = "unknown" if summary.overhead_share is None else f"{summary.overhead_share:.1%}"
    console.show(
        f"all but forward and backward passes: {overhead}; bad videos: {len(summary.bad_videos)}; "
        f"resumed {summary.num_resumes} times"
    )
    _show_bad_videos(summary.bad_videos)
    _show_decisions(summary)
    _show_network(summary, layers)
    _show_best(summary)


def _show_network(summary: SearchSummary, layers: Sequence[Mapping[str, str | int]]) -> None:
    if summary.argmax is not None:
        macs = "" if summary.argmax.macs is None else f"{summary.argmax.macs:,} MACs, "
        console.show(
            f"raw argmax: cost/target {summary.argmax.ratio:.3f}, "
            f"{_limits(summary, summary.argmax)}{macs}{summary.argmax.fingerprint[:16]}"
        )
    if not layers:
        return
    rows = [[f"{cell:,}" if isinstance(cell, int) else cell for cell in layer.values()] for layer in layers]
    title = "Selected network" if summary.found is not None else "Most likely network so far"
    console.show_table(title, tuple(layers[0]), rows)


def _limits(summary: SearchSummary, found: Architecture) -> str:
    pairs = zip(summary.limits, found.limit_ratios, strict=True)
    return "".join(f"cost/({limit}) {ratio:.3f}, " for limit, ratio in pairs)


def _show_decisions(summary: SearchSummary) -> None:
    attributes = list(dict.fromkeys(name for place in summary.layers for name in place.choices))
    rows = []
    for place in summary.layers:
        cells = [
            f"{place.choices[name]} {_bar(place.certainty[name])} H {place.entropy[name]:.2f}"
            if name in place.certainty
            else ""
            for name in attributes
        ]
        rows.append((place.name, *cells))
    console.show_table(
        "Decisions of the likeliest network: choice, its probability, entropy H (1 undecided, 0 settled)",
        ("", *attributes),
        rows,
    )


def _show_best(summary: SearchSummary) -> None:
    if not summary.best or summary.found is None:
        return
    chosen = summary.found.fingerprint
    shown = list(summary.best)
    if chosen not in {found.fingerprint for found in shown}:
        shown.append(summary.found)
    console.show_table(
        "Best of the final comparison",
        (
            "origin",
            "cost/target",
            *(f"cost/({limit})" for limit in summary.limits),
            "held-out quality",
            "fingerprint",
            "",
        ),
        [
            (
                found.origin,
                f"{found.ratio:.3f}",
                *(f"{ratio:.3f}" for ratio in found.limit_ratios),
                _number(found.quality),
                found.fingerprint[:16],
                "selected" if found.fingerprint == chosen else "",
            )
            for found in shown
        ],
    )
    if summary.random_quality is not None:
        console.show(
            f"random architectures of equal cost: mean quality {summary.random_quality:.3f}, "
            f"best {_number(summary.random_quality_best)}"
        )
    if summary.unlimited_quality is not None:
        console.show(
            f"random architectures at the target's cost, limits lifted: mean quality {summary.unlimited_quality:.3f}, "
            f"best {_number(summary.unlimited_quality_best)}"
        )


def _show_retrain(run: RunDir, summary: RetrainSummary, total: int) -> None:
    console.show(f"{run.path}: retraining {summary.status}, epoch {summary.epochs} of {total}, {summary.steps} steps")
    console.show_table(
        "Last epoch",
        ("loss", "train top-1", f"val {summary.metric}", f"best val {summary.metric}", "best epoch"),
        [
            (
                _number(summary.loss),
                _number(summary.train_top1),
                _number(summary.top1),
                _number(summary.best_top1),
                "" if summary.best_epoch is None else summary.best_epoch,
            )
        ],
    )
    _show_bad_videos(summary.bad_videos)


def _show_bad_videos(ids: Sequence[str]) -> None:
    if ids:
        more = f" and {len(ids) - BAD_SHOWN} more (--json names them all)" if len(ids) > BAD_SHOWN else ""
        console.show(f"{len(ids)} videos could not be decoded: {', '.join(ids[:BAD_SHOWN])}{more}")


def _known(value: object) -> str:
    return "?" if value is None else str(value)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _bar(share: float) -> str:
    return f"{BARS[min(7, int(8 * share))]}{share:4.0%}"


def _sparkline(values: Sequence[float]) -> str:
    if not values:
        return ""
    step = max(1, len(values) // 60)
    means = [sum(values[at : at + step]) / len(values[at : at + step]) for at in range(0, len(values), step)]
    low, high = min(means), max(means)
    return "".join(BARS[min(7, int(8 * (value - low) / (high - low)))] if high > low else BARS[0] for value in means)
