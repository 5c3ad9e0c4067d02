"""What a search needs of whoever trains and measures architectures; `launch` introduces an implementation."""

from collections.abc import Mapping, Sequence
from typing import Protocol, SupportsFloat

from results.records import Measurement
from search_spaces.space import Candidate


class Evaluator(Protocol):
    """Trains shared weights and measures architectures with them.

    Several processes that search together call each method with the same arguments and get the same answers, whichever
    of them runs an architecture; of an architecture's clips its number and step decide.
    """

    def train(self, step: int, candidates: Sequence[Candidate], warmup: Sequence[frozenset[str]]) -> SupportsFloat:
        """One weight step on training clips, a shard of the batch for each candidate.

        Args:
            step: Number of the step, from 0; it decides clips and learning rate.
            candidates: Architectures to run.
            warmup: For each of them, the names of the layers that run all their kernels.

        Returns:
            Mean loss before the step, nats; it may still be under way, so ask for the number after `measure`.
        """
        ...

    def measure(self, step: int, candidates: Sequence[Candidate]) -> Sequence[Measurement]:
        """Quality of each candidate on held-out clips of its own, with the weights as they are."""
        ...

    def compare(self, candidates: Sequence[Candidate]) -> Sequence[Measurement]:
        """Quality of each candidate, all on the same and more held-out clips."""
        ...


class Resumable(Protocol):
    """Whatever a checkpoint must hold to go on as if nothing had happened."""

    def state(self) -> Mapping[str, bytes]:
        """Everything that changes from step to step, as named blobs."""
        ...

    def restore(self, blobs: Mapping[str, bytes]) -> None:
        """Take back what `state` gave; other blobs in the mapping are left alone."""
        ...


class SearchEvaluator(Evaluator, Resumable, Protocol):
    """What the search loop needs: an evaluator whose state a checkpoint holds."""
