"""What a search needs of whoever chooses the architectures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from nas.controller import Floats
from nas.evaluator import Resumable
from results.records import TrialRecord
from search_spaces.space import Indices


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """What a strategy thinks after a step, for the journal.

    Attributes:
        logits_DC: Of the probability of every choice, (D, C): the policy's, or logarithms of the shares of a
            population; -inf for choices that are absent.
        favourite_D: The one architecture it would name, whatever that costs: the policy's argmax, or the member of the
            population with the greatest reward.
        baseline: Mean reward that it compares with.
        learning_rate: Of a policy; 0 for a population.
    """

    logits_DC: Floats
    favourite_D: Indices
    baseline: float
    learning_rate: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finalists:
    """What a strategy wants compared at the end.

    Attributes:
        favourite_D: As in `Belief`, (D,).
        inside_ND: Different genotypes inside the budget, most promising first, (n, D); it may be none.
        num_own: The first so many of them are the strategy's own; random ones stand in for those it did not propose.
        front_ND: Others worth knowing, whatever they cost, such as a front over several costs, (m, D).
    """

    favourite_D: Indices
    inside_ND: Indices
    num_own: int
    front_ND: Indices


class Strategy(Protocol):
    """Chooses what is trained and measured, and learns from the rewards; a function of problem, state and step."""

    def propose(self, step: int, num: int) -> Indices:
        """The canonical genotypes of step `step`, counted from 0, (num, D)."""
        ...

    def learn(self, step: int, indices_KD: Indices, trials: Sequence[TrialRecord]) -> Belief:
        """Take in what came of a step's proposals, in their order, and say what is believed now."""
        ...

    def finalists(self, num: int, tolerance: float) -> Finalists:
        """What to compare at the end.

        Args:
            num: How many are wanted inside the budget, at most.
            tolerance: Largest |cost / target - 1| there; limits are never exceeded.
        """
        ...


class SearchStrategy(Strategy, Resumable, Protocol):
    """What the search loop needs: a strategy whose state a checkpoint holds."""
