"""An evaluator without a network: what was trained more often is better, and all follows from the seed."""

import math
from collections.abc import Mapping, Sequence

from results.records import Measurement
from search_spaces.randomness import generator
from search_spaces.space import Candidate
from search_spaces.strict_json import canonical, loads

STATE = "fake_evaluator.json"


class FakeEvaluator:
    """Implements `nas.evaluator.SearchEvaluator`.

    Attributes:
        trained: Candidates and mixed layers of every call of `train`, by step.
        measured: Candidates of every call of `measure`, by step.
        num_compared: Candidates measured by `compare`.
    """

    def __init__(self, *, seed: int, num_clips: int = 64) -> None:
        self.trained: dict[int, tuple[Sequence[Candidate], Sequence[frozenset[str]]]] = {}
        self.measured: dict[int, Sequence[Candidate]] = {}
        self.num_compared = 0
        self._seed, self._num_clips = seed, num_clips
        self._times: dict[str, int] = {}

    def train(self, step: int, candidates: Sequence[Candidate], warmup: Sequence[frozenset[str]]) -> float:
        assert len(candidates) == len(warmup) > 0
        self.trained[step] = (candidates, warmup)
        loss = sum(2.0 - self._skill(candidate) for candidate in candidates) / len(candidates)
        for candidate, mixed in zip(candidates, warmup, strict=True):
            for name, choice in candidate.genotype.items():
                if name.removesuffix(".kernel") not in mixed:
                    self._times[f"{name}={choice}"] = self._times.get(f"{name}={choice}", 0) + 1
        return loss + float(generator(self._seed, "train", step).normal(0.0, 0.01))

    def measure(self, step: int, candidates: Sequence[Candidate]) -> list[Measurement]:
        self.measured[step] = candidates
        return [self._measurement(candidate, "measure", step, number) for number, candidate in enumerate(candidates)]

    def compare(self, candidates: Sequence[Candidate]) -> Sequence[Measurement]:
        self.num_compared += len(candidates)
        return [self._measurement(candidate, "compare", candidate.fingerprint) for candidate in candidates]

    def state(self) -> Mapping[str, bytes]:
        return {STATE: canonical(self._times).encode()}

    def restore(self, blobs: Mapping[str, bytes]) -> None:
        self._times = loads(blobs[STATE])

    def _measurement(self, candidate: Candidate, *purpose: str | int) -> Measurement:
        rng = generator(self._seed, *purpose)
        correct = int(rng.binomial(self._num_clips, 0.1 + 0.8 * self._skill(candidate)))
        return Measurement(quality=correct / self._num_clips, num_clips=self._num_clips)

    def _skill(self, candidate: Candidate) -> float:
        """In [0, 1]: mean over the choices, of which each of a decision saturates at a height of its own."""
        choices = [f"{name}={choice}" for name, choice in candidate.genotype.items()]
        heights = [generator(self._seed, "height", choice).random() for choice in choices]
        times = [self._times.get(choice, 0) for choice in choices]
        shares = [height * (1.0 - math.exp(-0.3 * num)) for height, num in zip(heights, times, strict=True)]
        return sum(shares) / len(shares)
