import evaluator_contract
import numpy as np
import pytest
from fake_evaluator import FakeEvaluator

from search_spaces.movinet import NANO
from search_spaces.variant import Variant

INDICES_ND = NANO.sample_indices(np.random.default_rng(0), 3)
CANDIDATES = [NANO.decode(NANO.genotype(indices_D), Variant()) for indices_D in INDICES_ND]


@pytest.mark.parametrize("check", evaluator_contract.CHECKS, ids=lambda check: check.__name__)
def test_the_fake_keeps_the_contract(check):
    check(lambda: FakeEvaluator(seed=5), CANDIDATES)


class Forgetful(FakeEvaluator):
    """Leaves what it has when it is restored."""

    def restore(self, blobs):
        del blobs


class Drifting(FakeEvaluator):
    """Learns from what it measures."""

    def measure(self, step, candidates):
        found = super().measure(step, candidates)
        self.train(step, candidates, [frozenset()] * len(candidates))
        return found


class Shuffled(FakeEvaluator):
    """Compares the second candidate on other clips than the first."""

    def compare(self, candidates):
        return [self._measurement(candidate, "compare", number) for number, candidate in enumerate(candidates)]


@pytest.mark.parametrize(
    ("broken", "checks"),
    [
        (Forgetful, {"restored_goes_on_as_if_never_stopped", "restored_forgets_what_it_was"}),
        (Drifting, {"measuring_changes_nothing"}),
        (Shuffled, {"compares_on_the_same_clips"}),
    ],
)
def test_the_contract_finds_what_breaks_it(broken, checks):
    failed = set()
    for check in evaluator_contract.CHECKS:
        try:
            check(lambda: broken(seed=5), CANDIDATES)
        except AssertionError:
            failed.add(check.__name__)
    assert checks <= failed
    assert len(failed) < len(evaluator_contract.CHECKS) // 2
