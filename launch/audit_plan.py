"""`movinas audit --plan`: what an audit will take, from plans of some of its trainings."""

from collections.abc import Sequence

import numpy as np

from launch import console
from launch.plan import Plan


def show(
    plans: Sequence[Plan],
    num_architectures: int,
    num_seeds: int,
    num_evaluations: int,
    *,
    parallel: int,
    as_json: bool,
) -> int:
    """Print steps, time, memory and disk.

    Args:
        plans: Of trainings of some architectures, whose mean stands for all.
        num_architectures: Of the audit.
        num_seeds: Trainings of each.
        num_evaluations: Of each training; scoring an architecture with the shared weights takes about two of them, for
            it looks at the same clips twice and calibrates once.
        parallel: Units at once.
        as_json: Whether one JSON document is printed.
    """
    num_trainings = num_architectures * num_seeds
    training_s = num_trainings * float(np.mean([plan.seconds for plan in plans])) / parallel
    evaluation_s = float(np.mean([plan.parts_s["evaluations"] for plan in plans])) / num_evaluations
    scoring_s = num_architectures * 2 * evaluation_s / parallel
    model_bytes = 4 * float(np.mean([plan.num_params for plan in plans]))
    peak_bytes = parallel * max(plan.peak_bytes for plan in plans)
    disk_bytes = round(num_trainings * model_bytes + parallel * max(plan.disk_bytes for plan in plans))
    document = {
        "architectures": num_architectures,
        "trainings": num_trainings,
        "steps_each": plans[0].steps,
        "estimated_s": training_s + scoring_s,
        "parts_s": {"training": training_s, "scoring": scoring_s},
        "peak_memory_bytes": peak_bytes,
        "disk_bytes": disk_bytes,
    }
    if as_json:
        console.show_json(document)
        return 0
    console.show_table(
        f"Plan, from trial steps of {len(plans)} architectures on random clips; the copy of the shared weights, and "
        "reading videos for the first time, come on top",
        ("architectures", "trainings", "steps each", "training", "scoring", "peak memory", "disk"),
        [
            (
                num_architectures,
                num_trainings,
                plans[0].steps,
                console.duration(training_s),
                console.duration(scoring_s),
                f"{peak_bytes / 2**30:.2f} GiB",
                f"{disk_bytes / 2**20:.1f} MiB",
            )
        ],
    )
    return 0
