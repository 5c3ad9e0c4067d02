"""Optuna chooses candidates by what was trained before: an alternative to the random draw of the paper.

Optuna holds nothing that is kept: a study is made anew from the records of the journal, in their order.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import optuna

from nas.scaling_sweep import scores
from results.records import ScalingRecord
from search_spaces.randomness import derive_seed
from search_spaces.scaling import CANDIDATE_VALUES, Coefficients

NUM_RANDOM = 8
"""Candidates before the sampler's model of what is good begins to choose."""
STEP = 0.05
NAMES = ("depth", "width", "resolution", "frame_rate")


def suggested(
    every: Sequence[Coefficients],
    *,
    num: int,
    num_architectures: int,
    seed: int,
    done: Mapping[str, ScalingRecord],
    begun: Sequence[Coefficients],
) -> Iterator[Coefficients]:
    """Candidates, each as good as the trainings that `done` holds by then allow.

    The sampler knows nothing of the constraint on the product: what it suggests is moved to the nearest candidate that
    was not chosen before, and it is told of the result there.

    Args:
        every: All candidates.
        num: How many in all.
        num_architectures: Of each; a candidate's result is known when all are done.
        seed: Of the sampler.
        done: Records by name; may grow while the candidates are taken.
        begun: Those chosen before, which come first; of some, all trainings may be done.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=derive_seed(seed, "tpe", len(begun)) % 2**32, n_startup_trials=NUM_RANDOM)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    low, high = CANDIDATE_VALUES[0], CANDIDATE_VALUES[-1]
    distributions: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.FloatDistribution(low, high, step=STEP) for name in NAMES
    }
    yield from begun
    told: set[Coefficients] = set()
    chosen = list(begun)
    while len(chosen) < num:
        for score in scores(done.values(), num_architectures=num_architectures):
            if score.coefficients not in told:
                told.add(score.coefficients)
                params = dict(zip(NAMES, values_of(score.coefficients), strict=True))
                study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=score.mean))
        trial = study.ask(distributions)
        study.tell(trial, state=optuna.trial.TrialState.FAIL)  # the one that is told is the candidate near it
        chosen.append(_nearest(every, [trial.params[name] for name in NAMES], taken=chosen))
        yield chosen[-1]


def values_of(coefficients: Coefficients) -> tuple[float, float, float, float]:
    """In the order of the paper: depth, width, resolution, frame rate."""
    return coefficients.depth, coefficients.width, coefficients.resolution, coefficients.frame_rate


def _nearest(every: Sequence[Coefficients], wanted: Sequence[float], *, taken: Sequence[Coefficients]) -> Coefficients:
    free = [each for each in every if each not in taken]
    distances = [float(np.abs(np.subtract(values_of(each), wanted)).sum()) for each in free]
    return free[int(np.argmin(distances))]
