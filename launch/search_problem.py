"""What a search is asked, from its options or its run folder, and whatever can be wrong with it."""

from launch.clips import hold_out, require_single_label, videos_of
from launch.initial import read_source, start_from, teacher_of
from launch.runs import variant_of
from launch.search_clips import clip_geometry
from launch.search_options import Options, check_division
from launch.specs import find_variant, with_clip_choices, with_conv_choices
from nas.problem import Problem
from nas.select import random_baseline
from nas.start import STARTS
from results.run_dir import RunDir
from search_spaces.errors import UsageError
from search_spaces.movinet import find_space
from search_spaces.randomness import derive_seed
from search_spaces.space_json import read_space
from search_spaces.target import parse_target
from supernet.supernet import Supernet
from video.manifest import Manifest, load_manifest


def check(options: Options) -> tuple[Problem, Manifest]:
    """Find whatever can be wrong before the first step; nothing is written.

    Raises:
        UsageError: An option, as do the errors of space, target, variant and manifest.
        InfeasibleTargetError: The target cannot be met in the space.
    """
    if not 0 < options.held_out < 1 or options.compare_clips < 2:
        raise UsageError(
            f"held_out must be in (0, 1) and compare_clips at least 2, but got {options.held_out} and "
            f"{options.compare_clips}"
        )
    check_division(options)
    space = with_conv_choices(with_clip_choices(find_space(options.space), options.clip_choices), options.conv_choices)
    target, limits = parse_target(options.target), tuple(map(parse_target, options.max))
    variant = find_variant(options.variant)
    clip_geometry(options.proxy, space.clip)
    if options.proxy and len(space.clips) > 1:
        raise UsageError(f"a space that decides on its clip must have no proxy, but got {options.proxy!r}")
    manifest = load_manifest(options.data)
    require_single_label(manifest, path=options.data)
    items = videos_of(manifest, "train", path=options.data)
    hold_out(items, fraction=options.held_out, seed=options.seed)
    problem = Problem(
        space=space,
        variant=variant,
        target=target,
        limits=limits,
        num_classes=manifest.num_classes,
        seed=options.seed,
    )
    if options.search.subclip_frames is not None and not variant.streams:
        raise UsageError(
            "search.subclip_frames must go with a variant that streams, such as paper-stream or released-stream, "
            f"but got {options.variant}"
        )
    source = read_source(options.init)
    teacher_of(source, options.search.distill, class_names=manifest.class_names)
    if source is not None:
        start_from(source, new_supernet(options, problem), class_names=manifest.class_names)
    problem.check_feasible()
    random_baseline(problem, options.search.selection)
    STARTS[options.search.start](problem)
    return problem, manifest


def problem_of(run: RunDir, options: Options) -> Problem:
    """The problem of a run folder, from the copies it keeps."""
    return Problem(
        space=read_space(run.space_path),
        variant=variant_of(run),
        target=parse_target(options.target, folder=run.path),
        limits=tuple(parse_target(limit, folder=run.path) for limit in options.max),
        num_classes=load_manifest(run.manifest_path).num_classes,
        seed=options.seed,
    )


def new_supernet(options: Options, problem: Problem) -> Supernet:
    """The supernet as it is drawn, before anything is trained or inherited."""
    return Supernet(
        problem.space,
        problem.variant,
        num_classes=problem.num_classes,
        seed=derive_seed(options.seed, "supernet"),
        rezero=options.weights.rezero_init,
        checkpointing=options.weights.checkpointing,
    )
