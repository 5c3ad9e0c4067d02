"""Strategies against stored answers: a search of seconds, with noise but without weights that have to be trained.

A measurement asks one of the stored trainings of an architecture about a fresh draw of clips. Only architectures of the
table can be measured, so a strategy's proposals are taken from it in their order until enough of them lie in the table;
where none does, the nearest of the table by the number of choices that differ stand in. Beside them random choice,
which learns nothing: from a few architectures, and from as many measurements as a strategy has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from launch.study import micro
from launch.study.common import Size
from launch.study.searches import SEARCH
from launch.study.table import TruthTable
from nas.reward import REWARDS
from nas.strategies import StrategyName, make_strategy
from nas.strategy import SearchStrategy
from results.records import TrialRecord
from search_spaces.randomness import generator
from search_spaces.space import Indices, population

STRATEGIES: Final[tuple[StrategyName, ...]] = ("reinforce", "uniform", "evolution")
CLIPS_PER_REWARD = 32
CLIPS_COMPARED = 256
PROPOSALS = 256
FEW, ALL = "random, best of 5", "random, best of all measured"
NUM_FEW = 5
"""As many as can be trained by themselves with the clips of a search."""
RANDOM: Final[Mapping[str, int | None]] = {FEW: NUM_FEW, ALL: None}
"""Names of random choice to how many architectures it is from; None for as many measurements as a strategy has."""


def replay(table: TruthTable, size: Size, strategy_name: StrategyName, *, seed: int) -> int:
    """Which architecture of the table a strategy ends with."""
    problem = micro.problem(size, seed=seed)
    config = replace(SEARCH[size], strategy=strategy_name)
    strategy = make_strategy(problem, config)
    rows_ND = population(problem.space, table.genotypes)
    ratios_N = problem.ratios(rows_ND)
    rng = generator(seed, "replay", strategy_name)
    for step in range(config.steps):
        numbers = _proposed(strategy, rows_ND, step=step, num=config.architectures_per_step)
        trials = []
        for number in numbers:
            quality = _asked(table, number, rng, num_clips=CLIPS_PER_REWARD)
            ratio = float(ratios_N[number])
            trials.append(
                TrialRecord(
                    genotype=table.genotypes[number],
                    fingerprint=table.fingerprints[number],
                    cost=ratio * problem.target.value,
                    ratio=ratio,
                    quality=quality,
                    reward=REWARDS[config.reward](quality, ratio, config.beta_in(step)),
                )
            )
        strategy.learn(step, rows_ND[numbers], trials)
    finalists_ND = strategy.finalists(config.selection.num_policy, micro.TOLERANCE).inside_ND
    finalists = [found for row_D in finalists_ND if (found := _number(rows_ND, row_D)) is not None]
    return _compared(table, finalists, rng)


def random_choice(table: TruthTable, size: Size, name: str, *, seed: int) -> int:
    """Which architecture of the table random choice ends with, compared at the end as those of strategies are."""
    rng, config, num_all = generator(seed, "replay", name), SEARCH[size], len(table.genotypes)
    num_few = RANDOM[name]
    if num_few is not None:
        return _compared(table, rng.choice(num_all, size=min(num_few, num_all), replace=False), rng)
    answers: dict[int, list[float]] = {}
    for number in map(int, rng.integers(num_all, size=config.steps * config.architectures_per_step)):
        answers.setdefault(number, []).append(_asked(table, number, rng, num_clips=CLIPS_PER_REWARD))
    ranked = sorted(answers, key=lambda number: -float(np.mean(answers[number])))
    return _compared(table, ranked[: config.selection.num_policy], rng)


def _compared(table: TruthTable, numbers: Sequence[int] | NDArray[np.int64], rng: np.random.Generator) -> int:
    """The best of finalists by one more look at each."""
    qualities = [_asked(table, int(number), rng, num_clips=CLIPS_COMPARED) for number in numbers]
    return int(numbers[int(np.argmax(qualities))])


def _proposed(strategy: SearchStrategy, rows_ND: Indices, *, step: int, num: int) -> list[int]:
    proposals_ND = strategy.propose(step, PROPOSALS)
    inside = [number for row_D in proposals_ND if (number := _number(rows_ND, row_D)) is not None][:num]
    nearest = [int((rows_ND != row_D).sum(axis=1).argmin()) for row_D in proposals_ND[: num - len(inside)]]
    return inside + nearest


def _number(rows_ND: Indices, row_D: Indices) -> int | None:
    same = np.flatnonzero((rows_ND == row_D).all(axis=1))
    return int(same[0]) if len(same) else None


def _asked(table: TruthTable, number: int, rng: np.random.Generator, *, num_clips: int) -> float:
    """Share of a fresh draw of clips that one of the trainings, drawn too, was right about."""
    _, num_seeds, num_stored = table.correct_NSC.shape
    clips = rng.choice(num_stored, size=min(num_clips, num_stored), replace=False)
    return float(table.correct_NSC[number, int(rng.integers(num_seeds)), clips].mean())
