"""`movinas search`: find a network at a cost target; and what `resume` runs again."""

from dataclasses import asdict, replace

from launch import console
from launch.clips import hold_out, manifest_text, videos_of
from launch.compute import environment_of, resolved, set_up
from launch.found import found_spec
from launch.options import to_yaml
from launch.plan import Plan, show_plan
from launch.rank_job import follow
from launch.rank_start import are_elsewhere, resolved_on_ranks, start_ranks
from launch.ranks import local_number, torchrun_ranks
from launch.run_report import write_report
from launch.runs import absolute_init, held_new
from launch.search_clips import clip_geometry
from launch.search_options import (
    REPEATED,
    SHORT,
    Options,
    SharedOptions,
    check_division,
    defaults_of,
    preset_lines,
)
from launch.search_plan import search_plan
from launch.search_problem import check, problem_of
from launch.search_rank import lead, search_as_rank
from launch.targets import kept_targets
from nas.problem import Problem
from results.history import read_history
from results.records import ResultRecord
from results.run_dir import RunDir, create_run
from results.telemetry import Telemetry
from search_spaces.space_json import space_document
from search_spaces.spec_json import write_spec
from search_spaces.strict_json import pretty
from supernet.distributed import ALONE, Ranks
from video.manifest import Manifest

__all__ = [
    "REPEATED",
    "SHORT",
    "Options",
    "SharedOptions",
    "check",
    "defaults_of",
    "execute",
    "finish",
    "plan",
    "problem_of",
    "run",
    "search",
    "show_preset",
    "show_result",
]


def run(options: Options) -> int:
    """Search and say what was found."""
    speaks = local_number("RANK", 0) == 0  # of the processes of torchrun, the first
    if options.preset is not None and speaks:
        show_preset(options)
    if options.plan:
        return show_plan(plan(options, *check(options)), as_json=options.json) if speaks else 0
    with torchrun_ranks() as ranks:
        if ranks.is_first:
            folder, result = search(options, ranks)
            show_result(folder, result, as_json=options.json)
        else:
            follow(ranks)
    return 0


def show_preset(options: Options) -> None:
    """Print how the preset's values came about, and which of them were given otherwise."""
    for line in preset_lines(options):
        console.log(f"preset {options.preset}: {line}")


def search(options: Options, ranks: Ranks = ALONE) -> tuple[RunDir, ResultRecord]:
    """Check everything, make the run folder, and search.

    Args:
        options: As given.
        ranks: Of torchrun, of which this is the first.
    """
    problem, manifest = check(options)
    (target, *limits), tables = kept_targets(problem.target, *problem.limits)
    kept = replace(
        resolved_on_ranks(options, ranks, check=check_division),
        data=options.data.resolve(),
        init=absolute_init(options.init),
        target=target,
        max=tuple(limits),
    )
    folder = create_run(
        options.out,
        kind="search",
        files={
            "config.yaml": to_yaml(kept),
            "env.json": pretty(environment_of(kept.threads, ranks=kept.ranks)),
            "space.json": pretty(space_document(problem.space)),
            "variant.json": pretty(asdict(problem.variant)),
            "manifest.jsonl": manifest_text(manifest),
            **tables,
        },
    )
    with held_new(folder):
        return folder, execute(folder, kept, ranks)


def execute(run: RunDir, options: Options, ranks: Ranks = ALONE) -> ResultRecord:
    """Search in a run folder whose lock the caller holds, from its newest checkpoint on."""
    if are_elsewhere(options, ranks):
        folder = run.path.resolve()
        start_ranks(search_as_rank, (folder, options), options, folder=folder)
    else:
        lead(run, options, ranks)
    finish(run)
    Telemetry(run.telemetry_path).append("end")
    result = read_history(run.journal_path).result
    assert result is not None
    return result


def finish(run: RunDir) -> None:
    """Write what is derived from a finished journal: the found spec and the report; again, if need be."""
    write_spec(found_spec(run), run.specs_path)
    write_report(run)


def plan(options: Options, problem: Problem, manifest: Manifest) -> Plan:
    """What the search will take, from trial steps here."""
    options = replace(options, ranks=local_number("WORLD_SIZE", options.ranks))
    check_division(options)
    here = options if options.executor == "ray" else resolved(options, ranks=options.ranks)
    items = videos_of(manifest, "train", path=options.data)
    _, held = hold_out(items, fraction=options.held_out, seed=options.seed)
    return search_plan(
        problem,
        options.search,
        options.weights,
        clip_of=lambda spec: clip_geometry(options.proxy, spec.clip),
        compare_clips=min(options.compare_clips, len(held)),
        compute=set_up(here),
        ranks=options.ranks,
    )


def show_result(run: RunDir, result: ResultRecord, *, as_json: bool) -> None:
    """Print what a search found, beside random architectures of equal cost."""
    spec_path = run.specs_path / f"{result.found}.json"
    if as_json:
        console.show_json(
            {"run": str(run.path), "spec": str(spec_path), "report": str(run.report_path), **asdict(result)}
        )
        return
    history = read_history(run.journal_path)
    assert history.start is not None
    limits = history.start.limits
    nothing = ("",) * len(limits)
    found = [f"{ratio:.3f}" for ratio in result.found_limit_ratios]
    argmax = [f"{ratio:.3f}" for ratio in result.argmax_limit_ratios]
    mean, best = f"random, mean of {result.num_random}", f"random, best of {result.num_random}"
    rows = [
        ("selected", f"{result.found_ratio:.3f}", *found, f"{result.found_quality:.3f}", result.found[:16]),
        ("raw argmax", f"{result.argmax_ratio:.3f}", *argmax, "", result.argmax_fingerprint[:16]),
        (mean, "", *nothing, f"{result.random_quality_mean:.3f}", ""),
        (best, "", *nothing, f"{result.random_quality_best:.3f}", ""),
    ]
    if result.unlimited_quality_mean is not None and result.unlimited_quality_best is not None:
        rows.append((f"{mean}, limits lifted", "", *nothing, f"{result.unlimited_quality_mean:.3f}", ""))
        rows.append((f"{best}, limits lifted", "", *nothing, f"{result.unlimited_quality_best:.3f}", ""))
    console.show_table(
        "Held-out quality of the supernet's networks, inside the budget",
        ("", "cost/target", *(f"cost/({limit})" for limit in limits), "quality", "fingerprint"),
        rows,
    )
    if any(each.origin == "stand-in" and each.fingerprint == result.found for each in history.candidates):
        console.log(
            "the search proposed too few architectures inside the budget, and the selected one is a random one that it "
            "finds likely; more steps, or a budget nearer to the middle of the space, would help"
        )
    console.show(f"spec    {spec_path}\nrun     {run.path}\nreport  {run.report_path}")
