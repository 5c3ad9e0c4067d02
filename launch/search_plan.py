"""`movinas search --plan`: what a search will cost, part by part."""

import math
from collections.abc import Callable
from dataclasses import replace

from launch.compute import Compute
from launch.plan import Plan, make_plan, try_supernet
from nas.loop import SearchConfig
from nas.problem import Problem
from search_spaces.randomness import generator
from search_spaces.spec import ArchSpec, ClipGeometry, layer_name
from supernet.evaluator import WeightConfig
from supernet.supernet import Supernet

NUM_TRIALS = 5
"""Random architectures that are timed."""


def search_plan(
    problem: Problem,
    config: SearchConfig,
    weights: WeightConfig,
    *,
    clip_of: Callable[[ArchSpec], ClipGeometry],
    compare_clips: int,
    compute: Compute,
    ranks: int = 1,
) -> Plan:
    """Time a few architectures on random clips, and say what weight steps, rewards and the comparison will take.

    The widest of them is what the first step runs, with all kernels where these warm up: nothing takes more memory. Its
    share of the time falls to nothing while the weights warm up. Of several ranks each does its share at the same time.
    """
    space, rng = problem.space, generator(problem.seed, "plan")
    supernet = Supernet(space, problem.variant, num_classes=problem.num_classes, checkpointing=weights.checkpointing)
    candidates = [space.decode(space.sample(rng), problem.variant) for _ in range(NUM_TRIALS)]
    largest_clip = max(space.clips, key=lambda clip: clip.num_frames * clip.resolution**2)
    widest = replace(candidates[0], spec=replace(space.largest_widths(), clip=largest_clip))
    warmup = config.warmup
    trial, widest_s = try_supernet(
        supernet,
        candidates,
        widest=widest,
        mixed=_every_layer(widest.spec) if warmup.op_fraction > 0 else frozenset(),
        batch_size=weights.batch_size,
        reward_batch_size=weights.reward_clips,
        clip_of=clip_of,
        subclip_frames=config.subclip_frames,
        compute=compute,
    )
    num_sampled = config.steps * config.architectures_per_step
    num_run = num_sampled / ranks
    widened = max(warmup.op_fraction, warmup.filter_fraction) / 2
    selection = config.selection
    num_compared = 1 + selection.num_policy * (2 if config.strategy == "nsga2" else 1)
    num_compared += selection.num_random * (2 if problem.limits else 1)
    return make_plan(
        steps=config.steps,
        parts_s={
            "weight_steps": num_run * ((1 - widened) * trial.train_s + widened * widest_s),
            "rewards": num_run * trial.forward_s,
            "comparison": math.ceil(num_compared / ranks) * trial.forward_s * compare_clips / weights.reward_clips,
        },
        trial=trial,
        num_params=sum(parameter.numel() for parameter in supernet.parameters()),
        journal_bytes=num_sampled * 64 * len(space.decisions),
        ranks=ranks,
    )


def _every_layer(spec: ArchSpec) -> frozenset[str]:
    return frozenset(
        layer_name(block, position) for block, found in enumerate(spec.blocks) for position in range(len(found.layers))
    )
