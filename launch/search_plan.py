"""`movinas search --plan`: what a search will cost, part by part."""

from collections.abc import Callable
from dataclasses import replace

from launch.compute import Compute
from launch.plan import Plan, make_plan, try_supernet
from nas.loop import SearchConfig
from nas.problem import Problem
from search_spaces.randomness import generator
from search_spaces.spec import ArchSpec, ClipGeometry
from supernet.evaluator import WeightConfig
from supernet.supernet import Supernet

NUM_TRIALS = 5
"""Random architectures that are timed."""


def plan_search(
    problem: Problem,
    config: SearchConfig,
    weights: WeightConfig,
    *,
    clip_of: Callable[[ArchSpec], ClipGeometry],
    compare_clips: int,
    compute: Compute,
) -> Plan:
    """What weight steps, rewards and the comparison take, from the times of a few architectures on random clips."""
    space, rng = problem.space, generator(problem.seed, "plan")
    supernet = Supernet(space, problem.variant, num_classes=problem.num_classes, checkpointing=weights.checkpointing)
    specs = [space.decode(space.sample(rng), problem.variant).spec for _ in range(NUM_TRIALS)]
    largest_clip = max(space.clips, key=lambda clip: clip.num_frames * clip.resolution**2)
    trial = try_supernet(
        supernet,
        [replace(space.largest_widths(), clip=largest_clip), *specs],
        batch_size=weights.batch_size,
        reward_batch_size=weights.reward_clips,
        clip_of=clip_of,
        compute=compute,
    )
    num_sampled = config.steps * config.architectures_per_step
    selection = config.selection
    num_compared = 1 + selection.num_policy * (2 if config.strategy == "nsga2" else 1)
    num_compared += selection.num_random * (2 if problem.limits else 1)
    return make_plan(
        steps=config.steps,
        parts_s={
            "weight_steps": num_sampled * trial.train_s,
            "rewards": num_sampled * trial.forward_s,
            "comparison": num_compared * trial.forward_s * compare_clips / weights.reward_clips,
        },
        trial=trial,
        num_params=sum(parameter.numel() for parameter in supernet.parameters()),
        journal_bytes=num_sampled * 64 * len(space.decisions),
    )
