"""The latest trials of a search, as strategies without a policy remember them.

Legend: N members, oldest first, D decisions, C choices of the decision with most of them.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from nas.controller import Floats, initial_logits
from nas.strategy import Belief
from results.records import TrialRecord
from search_spaces.errors import CheckpointError
from search_spaces.space import Indices, SearchSpace
from search_spaces.strict_json import canonical, loads

STATE = "population.json"


class Population:
    """At most `size` members; whoever joins drives out the oldest.

    Attributes:
        rows_ND: Genotypes, oldest first.
        rewards_N: Their rewards, as they were when they were measured; `qualities_N` likewise.
    """

    def __init__(self, space: SearchSpace, *, size: int) -> None:
        self._space, self._size = space, size
        self.rows_ND: Indices = np.zeros((0, len(space.decisions)), dtype=np.int8)
        self.rewards_N: Floats = np.zeros(0)
        self.qualities_N: Floats = np.zeros(0)

    def add(self, indices_KD: Indices, trials: Sequence[TrialRecord]) -> None:
        """Let measured genotypes join, in their order."""
        rewards, qualities = [trial.reward for trial in trials], [trial.quality for trial in trials]
        self.rows_ND = np.concatenate([self.rows_ND, indices_KD])[-self._size :]
        self.rewards_N = np.concatenate([self.rewards_N, rewards])[-self._size :]
        self.qualities_N = np.concatenate([self.qualities_N, qualities])[-self._size :]

    def keep(self, numbers: Sequence[int]) -> None:
        """Let all but these members go."""
        kept_N = list(numbers)
        self.rows_ND, self.rewards_N = self.rows_ND[kept_N], self.rewards_N[kept_N]
        self.qualities_N = self.qualities_N[kept_N]

    def __len__(self) -> int:
        return len(self.rows_ND)

    def best_first(self) -> Indices:
        """Different members, (n, D), by their reward, the younger first among equals."""
        order_N = np.argsort(-self.rewards_N[::-1], kind="stable")
        rows_ND = self.rows_ND[::-1][order_N]
        _, first_N = np.unique(rows_ND, axis=0, return_index=True)
        return np.asarray(rows_ND[np.sort(first_N)])

    def favourite(self) -> Indices:
        """The member of the greatest reward, (D,)."""
        return np.asarray(self.best_first()[0])

    def belief(self) -> Belief:
        """Shares of the choices among the members for which a decision counts; the mean reward."""
        return Belief(
            logits_DC=shares(self._space, self.rows_ND),
            favourite_D=self.favourite(),
            baseline=float(self.rewards_N.mean()),
        )

    def state(self) -> Mapping[str, bytes]:
        """Everything it remembers, exactly."""
        document = {
            "rows": self.rows_ND.tolist(),
            "rewards": self.rewards_N.tolist(),
            "qualities": self.qualities_N.tolist(),
        }
        return {STATE: canonical(document).encode()}

    def restore(self, blobs: Mapping[str, bytes]) -> None:
        """Take back what `state` gave.

        Raises:
            CheckpointError: The state is of another space.
        """
        document = loads(blobs[STATE], max_bytes=len(blobs[STATE]))
        self.rows_ND = rows_of(self._space, document["rows"])
        self.rewards_N = np.array(document["rewards"], dtype=np.float64)
        self.qualities_N = np.array(document["qualities"], dtype=np.float64)
        if not len(self.rows_ND) == len(self.rewards_N) == len(self.qualities_N):
            raise CheckpointError(
                f"a population must have a reward and a quality for each member, {len(self.rows_ND)}, but its state "
                f"has {len(self.rewards_N)} and {len(self.qualities_N)}"
            )


def shares(space: SearchSpace, rows_ND: Indices) -> Floats:
    """Logarithms of how often each choice was taken where its decision counts, (D, C); uniform where it never does."""
    logits_DC = initial_logits(space)
    active_ND = space.active(rows_ND)
    for column, decision in enumerate(space.decisions):
        counts_C = np.bincount(rows_ND[active_ND[:, column], column], minlength=len(decision.choices))
        if counts_C.any():
            taken_C = np.flatnonzero(counts_C)
            logits_DC[column] = -np.inf
            logits_DC[column, taken_C] = np.log(counts_C[taken_C] / counts_C.sum())
    return logits_DC


def rows_of(space: SearchSpace, rows: Sequence[Sequence[int]]) -> Indices:
    """Genotypes of a state, (N, D).

    Raises:
        CheckpointError: They are of another space.
    """
    num_choices_D = np.array([len(decision.choices) for decision in space.decisions])
    if any(
        len(row) != len(num_choices_D)
        or not all(0 <= index < num for index, num in zip(row, num_choices_D, strict=True))
        for row in rows
    ):
        raise CheckpointError(
            f"a population must have the {len(num_choices_D)} decisions of space {space.name}, but its state has others"
        )
    return np.array(rows, dtype=np.int8).reshape(-1, len(num_choices_D))
