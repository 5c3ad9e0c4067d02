"""The strategies of a search, by name."""

import math
from typing import TYPE_CHECKING, Literal

from nas.evolution import Evolution
from nas.policy_search import PolicySearch
from nas.problem import Problem
from nas.random_search import RandomSearch
from nas.strategy import SearchStrategy

if TYPE_CHECKING:
    from nas.loop import SearchConfig

StrategyName = Literal["reinforce", "uniform", "random", "evolution", "nsga2"]
STRATEGIES: tuple[StrategyName, ...] = ("reinforce", "uniform", "random", "evolution", "nsga2")


def make_strategy(problem: Problem, config: "SearchConfig") -> SearchStrategy:
    """The strategy that `config.strategy` names, at its beginning."""
    first_step = math.ceil(config.controller.delay_fraction * config.steps)
    tolerance, population = config.selection.tolerance, config.population
    match config.strategy:
        case "reinforce":
            return PolicySearch(problem, config.controller, num_steps=config.steps, start=config.start)
        case "uniform" | "random":
            return RandomSearch(
                problem,
                draws="uniform" if config.strategy == "uniform" else "inside",
                tolerance=config.selection.random_tolerance,
                window=population.size,
            )
        case "evolution":
            return Evolution(problem, population, first_step=first_step)
        case "nsga2":
            from nas.nsga2 import Nsga2  # noqa: PLC0415 -- Optuna takes a second to import, which no other strategy needs

            return Nsga2(
                problem,
                population,
                first_step=first_step,
                per_step=config.architectures_per_step,
                tolerance=tolerance,
            )
