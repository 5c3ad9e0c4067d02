"""Families of searches: spaces, targets and seeds, a run folder each, and one front of all; what two verbs share."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from launch import console, family_table, members, search, sweeps
from launch.clips import manifest_text
from launch.compute import environment_of
from launch.executors import ExecutorOptions, check_executor
from launch.options import to_yaml
from launch.runs import absolute_init, options_of
from launch.specs import find_variant
from launch.targets import kept_targets, rooted
from nas.executor import Unit
from results.records import MemberRecord
from results.run_dir import RunDir, create_run
from search_spaces.errors import MovinasError, UsageError
from search_spaces.movinet import find_space
from search_spaces.space_json import space_document
from search_spaces.strict_json import pretty
from search_spaces.target import parse_target

SHORT = {"ray_address": "--ray-address"}
REPEATED = search.REPEATED


@dataclass(frozen=True, kw_only=True)
class Options(ExecutorOptions, search.SharedOptions):
    """Search for several targets, in several spaces, from several seeds, and put all on one Pareto front.

    Attributes:
        spaces: Such as [nano] or [a0,a1]; each is searched for every target that names no space of its own.
        targets: Such as [macs=12M/clip,macs=16M/clip], or with the one space it is for: [a0:macs=2.7G/clip].
        seeds: Each target is searched for from each.
        out: Family folder to make.
    """

    targets: tuple[str, ...]
    out: Path
    spaces: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberTask:
    """What a worker needs for one search; its folder is the search's own."""

    name: str
    options: search.Options


def run(options: Options) -> int:
    """Check every member, make the family's folder, search, and show the front."""
    tasks = member_tasks(options, options.out)
    for task in tasks:
        try:
            _, manifest = search.check(task.options)
        except MovinasError as error:
            raise error.at(where=task.name) from error
    check_executor(options)
    if options.preset is not None:
        search.show_preset(tasks[0].options)
    if options.plan:
        return _plan(options, tasks)
    options, tables = _kept(options)
    spaces = {task.options.space: find_space(task.options.space) for task in tasks}
    folder = create_run(
        options.out,
        kind="family",
        files={
            "config.yaml": to_yaml(options),
            "env.json": pretty(environment_of(options.threads)),
            "variant.json": pretty(asdict(find_variant(options.variant))),
            "manifest.jsonl": manifest_text(manifest),
            **{f"spaces/{_slug(name)}.json": pretty(space_document(space)) for name, space in spaces.items()},
            **tables,
        },
    )
    with sweeps.held_new(folder):
        execute(folder, options)
        return end(folder, as_json=options.json)


def defaults_of(options: Options) -> Mapping[str, object]:
    """As of a search, whichever member's."""
    return {} if options.preset is None else search.defaults_of(member_tasks(options, options.out)[0].options)


def execute(folder: RunDir, options: Options) -> None:
    """Search whatever the journal lacks; the caller holds the folder's lock."""
    folder = replace(folder, path=folder.path.resolve())
    tasks = member_tasks(options, folder.path, kept=True)
    done = sweeps.done_records(folder, MemberRecord)

    def units() -> Iterator[Unit[MemberTask]]:
        for task in tasks:
            if task.name not in done:
                yield Unit(name=task.name, task=task)

    sweeps.carry_out(folder, options, search_member, units(), done=done, label="searched", total=len(tasks))


def end(folder: RunDir, *, as_json: bool) -> int:
    """Write tables, specs and report of what has finished, print them, and refuse a family that lacks a member.

    Raises:
        SweepError: A search has no result.
    """
    document = table(folder)
    family_table.write(folder, document)
    family_table.show(folder, document, as_json=as_json)
    sweeps.require_complete(folder, missing=document["missing"], failed=document["failed"])
    return 0


def table(folder: RunDir) -> dict[str, Any]:
    """The family so far, as `movinas inspect --json` prints it; see `family_table.document`."""
    names = [task.name for task in member_tasks(options_of(folder, Options), folder.path, kept=True)]
    return family_table.document(folder, names)


def search_member(task: MemberTask) -> MemberRecord:
    """One search in its run folder, or the finished one found there; the unit of work."""
    run, result = members.searched(task.options)
    return family_table.member_record(run, result, name=task.name)


def member_tasks(options: Options, out: Path, *, kept: bool = False) -> list[MemberTask]:
    """The searches of a family: targets, each in its spaces, each from all seeds.

    Args:
        options: Of the family.
        out: Its folder.
        kept: Whether spaces, variant and manifest are the copies in it.

    Raises:
        UsageError: There is none, two are the same, or a target has no space.
    """
    tasks = [
        MemberTask(
            name=_name(space, target, seed), options=_member_options(options, out, space, target, seed, kept=kept)
        )
        for space, target in _pairs(options)
        for seed in options.seeds
    ]
    names = [task.name for task in tasks]
    if not names or len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise UsageError(
            f"a family must have members, each once, but got {', '.join(twice[:3])} twice"
            if twice
            else "a family must have members, but got no target or no seed"
        )
    return tasks


def _pairs(options: Options) -> Iterator[tuple[str, str]]:
    for text in options.targets:
        space, target = _split(text)
        if not space and not options.spaces:
            raise UsageError(f"a target must name its space, such as a0:{text}, where no spaces are given")
        yield from ((each, target) for each in ((space,) if space else options.spaces))


def _split(text: str) -> tuple[str, str]:
    """The space that a target names, or nothing, and the rest; both may have a colon."""
    head, equals, value = text.partition("=")
    space, _, metric = head.rpartition(":")
    return space, metric + equals + value


def _kept(options: Options) -> tuple[Options, dict[str, str]]:
    """Options that hold wherever they are read again, and the latency tables that they look up."""
    names, written = zip(*map(_split, options.targets), strict=True)
    texts, tables = kept_targets(*map(parse_target, (*written, *options.max)))
    targets = [f"{name}:{text}" if name else text for name, text in zip(names, texts, strict=False)]
    return replace(
        options,
        data=options.data.resolve(),
        out=options.out.resolve(),
        init=absolute_init(options.init),
        targets=tuple(targets),
        max=tuple(texts[len(names) :]),
    ), tables


def _member_options(options: Options, out: Path, space: str, target: str, seed: int, *, kept: bool) -> search.Options:
    shared = {each.name for each in fields(search.SharedOptions)} - {"plan", "json"}
    own: dict[str, Any] = {
        "threads": options.threads,
        "workers": options.workers,
        "space": space,
        "target": target,
        "seed": seed,
        "out": out / "members" / _name(space, target, seed),
    }
    if kept:
        own |= {
            "space": str(out / "spaces" / f"{_slug(space)}.json"),
            "variant": str(out / "variant.json"),
            "data": out / "manifest.jsonl",
            "target": rooted(target, out),
            "max": tuple(rooted(limit, out) for limit in options.max),
        }
    return search.Options(**{**{name: getattr(options, name) for name in shared}, **own})


def _name(space: str, target: str, seed: int) -> str:
    return f"{_slug(space)}_{_slug(target.removesuffix('.json'))}_seed{seed}"


def _slug(text: str) -> str:
    """As much of a text as a file's name may hold, such as `macs-12M-clip`."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", Path(text).stem if text.endswith(".json") else text).strip("-.")[:48]


def _plan(options: Options, tasks: list[MemberTask]) -> int:
    """One plan per space and target, for seeds cost the same."""
    first = {(task.options.space, task.options.target): task for task in reversed(tasks)}
    plans = {key: search.plan(task.options, *search.check(task.options)) for key, task in first.items()}
    all_plans = [plans[task.options.space, task.options.target] for task in tasks]
    seconds = sum(plan.seconds for plan in all_plans) / min(options.parallel, len(tasks))
    peak_bytes = options.parallel * max(plan.peak_bytes for plan in all_plans)
    disk_bytes = sum(plan.disk_bytes for plan in all_plans)
    if options.json:
        costs = {"estimated_s": seconds, "peak_memory_bytes": peak_bytes, "disk_bytes": disk_bytes}
        console.show_json({"searches": len(tasks), **costs, "members": [task.name for task in tasks]})
        return 0
    rows = [
        (task.name, plan.steps, console.duration(plan.seconds), f"{plan.disk_bytes / 2**20:.1f} MiB")
        for task, plan in zip(tasks, all_plans, strict=True)
    ]
    console.show_table("Plan, from trial steps on random clips", ("search", "steps", "time alone", "disk"), rows)
    console.show(
        f"{len(tasks)} searches, {options.parallel} at once: {console.duration(seconds)}, "
        f"{peak_bytes / 2**30:.2f} GiB of memory, {disk_bytes / 2**20:.1f} MiB of disk"
    )
    return 0
