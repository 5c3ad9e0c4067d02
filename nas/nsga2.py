"""NSGA-II by Optuna: a front over quality, multiply-adds and, of networks that stream, bytes of state.

Every generation is bred by a study of its own, which is told the parents and the children of the one before; so the
state of a search is one pool and a queue, and no generator lives longer than a generation.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import NSGAIISampler

from nas.controller import Floats
from nas.evolution import PopulationConfig, completed
from nas.population import Population, rows_of
from nas.problem import Problem
from nas.strategy import Belief, Finalists
from results.pareto import non_dominated
from results.records import TrialRecord
from search_spaces.cost_table import cost_table
from search_spaces.prices import Metric
from search_spaces.randomness import derive_seed, generator
from search_spaces.space import Indices
from search_spaces.strict_json import canonical, loads

STATE = "nsga2.json"
MINIMIZE, MAXIMIZE = optuna.study.StudyDirection.MINIMIZE, optuna.study.StudyDirection.MAXIMIZE

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Nsga2:
    """Implements `nas.strategy.SearchStrategy`.

    Objectives are quality, to be great, and costs, to be small; limits, and the target as one more, are constraints.
    The last random architectures of the steps before `first_step` are the first parents.

    Args:
        problem: Space, budget and seed.
        config: Of the population; each generation is of its size, rounded up to whole steps.
        first_step: From when on proposals are of generations.
        per_step: Proposals of every step.
        tolerance: By what share the target may be exceeded.
    """

    def __init__(
        self, problem: Problem, config: PopulationConfig, *, first_step: int, per_step: int, tolerance: float
    ) -> None:
        self._problem, self._first_step, self._tolerance = problem, first_step, tolerance
        self._size = -(-config.size // per_step) * per_step
        self._generation = 0
        self._queue_ND: Indices = np.zeros((0, len(problem.space.decisions)), dtype=np.int8)
        # the parents, then their children
        self._pool = Population(problem.space, size=2 * self._size)
        self._distributions: dict[str, BaseDistribution] = {
            decision.name: CategoricalDistribution(range(len(decision.choices))) for decision in problem.space.decisions
        }

    def propose(self, step: int, num: int) -> Indices:
        """See `Strategy`."""
        if step < self._first_step or len(self._pool) < self._size:
            return self._problem.space.sample_indices(generator(self._problem.seed, "nsga2", "random", step), num)
        if len(self._queue_ND) == 0:
            self._breed()
        return self._queue_ND[:num]

    def learn(self, step: int, indices_KD: Indices, trials: Sequence[TrialRecord]) -> Belief:
        """See `Strategy`."""
        del step
        self._queue_ND = self._queue_ND[len(indices_KD) :]
        self._pool.add(indices_KD, trials)
        return self._pool.belief()

    def finalists(self, num: int, tolerance: float) -> Finalists:
        """See `Strategy`; inside the budget as in `Evolution`, and the front of the last two populations."""
        rng = generator(self._problem.seed, "selection")
        values_NK = np.column_stack([self._pool.qualities_N, *(-costs_N for costs_N in self._costs())])
        rows_ND = self._pool.rows_ND[non_dominated(values_NK)]
        inside_ND, num_own = completed(self._problem, self._pool.best_first(), rng, num=num, tolerance=tolerance)
        return Finalists(
            favourite_D=self._pool.favourite(),
            inside_ND=inside_ND,
            num_own=num_own,
            front_ND=np.unique(rows_ND, axis=0)[:num],
        )

    def state(self) -> Mapping[str, bytes]:
        """See `Resumable`."""
        document = {"generation": self._generation, "queue": self._queue_ND.tolist()}
        return {STATE: canonical(document).encode(), **self._pool.state()}

    def restore(self, blobs: Mapping[str, bytes]) -> None:
        """See `Resumable`."""
        document = loads(blobs[STATE], max_bytes=len(blobs[STATE]))
        self._generation = int(document["generation"])
        self._queue_ND = rows_of(self._problem.space, document["queue"])
        self._pool.restore(blobs)

    def _costs(self) -> list[Floats]:
        """The costs among the objectives, each (N,)."""
        problem = self._problem
        metrics: list[Metric] = ["macs", "stream_state_bytes"] if problem.variant.streams else ["macs"]
        tables = [
            cost_table(problem.space, problem.variant, metric=metric, num_classes=problem.num_classes)
            for metric in metrics
        ]
        return [table.costs(self._pool.rows_ND).astype(np.float64) for table in tables]

    def _breed(self) -> None:
        """Fill the queue with a generation of children; of the pool, their parents stay."""
        if self._generation == 0:
            self._pool.keep(range(len(self._pool) - self._size, len(self._pool)))
        seed = derive_seed(self._problem.seed, "nsga2", self._generation) % 2**32
        sampler = NSGAIISampler(population_size=self._size, seed=seed)
        costs = self._costs()
        study = optuna.create_study(directions=[MAXIMIZE, *(MINIMIZE for _ in costs)], sampler=sampler)
        names = list(self._distributions)
        excess_N = self._problem.ratios(self._pool.rows_ND) - 1.0 - self._tolerance
        over_NL = self._problem.limit_ratios(self._pool.rows_ND) - 1.0
        for number, row_D in enumerate(self._pool.rows_ND):
            study.enqueue_trial(dict(zip(names, map(int, row_D), strict=True)))
            trial = study.ask(self._distributions)
            # which is noted by itself only where others came before
            sampler.get_trial_generation(study, study.get_trials(deepcopy=False)[-1])
            trial.set_constraint("target", float(excess_N[number]))
            for limit, over in zip(self._problem.limits, over_NL[number], strict=True):
                trial.set_constraint(limit.text, float(over))
            study.tell(trial, [float(self._pool.qualities_N[number]), *(float(costs_N[number]) for costs_N in costs)])
        children = [study.ask(self._distributions).params for _ in range(self._size)]
        parents = sampler.get_parent_population(study, len(self._pool) // self._size)
        self._generation += 1
        self._pool.keep(sorted(parent.number for parent in parents))
        rows_ND = np.array([[child[name] for name in names] for child in children], dtype=np.int8)
        self._queue_ND = self._problem.space.canonical(rows_ND)
