"""What every `nas.evaluator.SearchEvaluator` must do; put an implementation through all of `CHECKS`.

A check takes a function that makes evaluators, each in the same beginning state, and at least two different candidates
of one space. Use:

    @pytest.mark.parametrize("check", evaluator_contract.CHECKS, ids=lambda check: check.__name__)
    def test_mine_keeps_the_contract(check):
        check(make_mine, candidates)
"""

import math
from collections.abc import Callable, Sequence

from nas.evaluator import SearchEvaluator
from nas.reinforce import STATE as CONTROLLER_STATE
from search_spaces.space import Candidate
from search_spaces.spec import layer_name

Make = Callable[[], SearchEvaluator]
Check = Callable[[Make, Sequence[Candidate]], None]


def trains_to_a_finite_loss(make: Make, candidates: Sequence[Candidate]) -> None:
    evaluator = make()
    for step in range(2):
        asked_at_once = float(evaluator.train(step, candidates, [frozenset()] * len(candidates)))
        assert math.isfinite(asked_at_once)
    late, again = make(), make()
    loss = late.train(0, candidates, [frozenset()] * len(candidates))
    late.measure(0, candidates)
    assert float(loss) == float(again.train(0, candidates, [frozenset()] * len(candidates)))


def trains_mixed_layers(make: Make, candidates: Sequence[Candidate]) -> None:
    mixed = [_every_layer(candidate) for candidate in candidates]
    plain, warm = make(), make()
    plain.train(0, candidates, [frozenset()] * len(candidates))
    assert math.isfinite(float(warm.train(0, candidates, mixed)))
    assert plain.state() != warm.state()


def training_changes_the_state(make: Make, candidates: Sequence[Candidate]) -> None:
    evaluator = make()
    before = dict(evaluator.state())
    evaluator.train(0, candidates, [frozenset()] * len(candidates))
    assert before != evaluator.state()
    assert before == make().state()


def measures_every_candidate_in_order(make: Make, candidates: Sequence[Candidate]) -> None:
    evaluator = make()
    for measurements in (evaluator.measure(0, candidates), list(evaluator.compare(candidates))):
        assert len(measurements) == len(candidates)
        for measurement in measurements:
            assert 0.0 <= measurement.quality <= 1.0
            assert measurement.num_clips > 0
            num_correct = measurement.quality * measurement.num_clips
            assert abs(num_correct - round(num_correct)) < 1e-6


def measuring_changes_nothing(make: Make, candidates: Sequence[Candidate]) -> None:
    evaluator = make()
    evaluator.train(0, candidates, [frozenset()] * len(candidates))
    before = dict(evaluator.state())
    first = evaluator.measure(0, candidates), list(evaluator.compare(candidates))
    assert (evaluator.measure(0, candidates), list(evaluator.compare(candidates))) == first
    assert evaluator.state() == before


def compares_on_the_same_clips(make: Make, candidates: Sequence[Candidate]) -> None:
    evaluator = make()
    evaluator.train(0, candidates, [frozenset()] * len(candidates))
    together = list(evaluator.compare(candidates))
    assert list(evaluator.compare(candidates[::-1])) == together[::-1]
    assert [evaluator.compare([candidate])[0] for candidate in candidates] == together
    assert len({measurement.num_clips for measurement in together}) == 1
    assert list(evaluator.compare([candidates[0], candidates[0]])) == [together[0], together[0]]


def equal_beginnings_give_equal_numbers(make: Make, candidates: Sequence[Candidate]) -> None:
    assert _run(make(), candidates, range(3)) == _run(make(), candidates, range(3))


def restored_goes_on_as_if_never_stopped(make: Make, candidates: Sequence[Candidate]) -> None:
    whole, first, second = make(), make(), make()
    expected = _run(whole, candidates, range(4))
    _run(first, candidates, range(2))
    blobs = dict(first.state())
    _run(first, candidates, range(2, 3))
    assert all(isinstance(blob, bytes) for blob in blobs.values())
    second.restore({**blobs, CONTROLLER_STATE: b"of another part"})
    assert second.state() == blobs
    assert _run(second, candidates, range(2, 4)) == expected[2:]
    assert second.state() == whole.state()


def restored_forgets_what_it_was(make: Make, candidates: Sequence[Candidate]) -> None:
    fresh, used = make(), make()
    _run(used, candidates, range(2))
    used.restore(fresh.state())
    assert used.state() == fresh.state()
    assert _run(used, candidates, range(2)) == _run(fresh, candidates, range(2))


def names_of_the_state_are_its_own(make: Make, candidates: Sequence[Candidate]) -> None:
    names = set(make().state())
    assert names
    assert CONTROLLER_STATE not in names
    evaluator = make()
    evaluator.train(0, candidates, [frozenset()] * len(candidates))
    assert all(name == name.strip() and "/" not in name for name in evaluator.state())


CHECKS: tuple[Check, ...] = (
    trains_to_a_finite_loss,
    trains_mixed_layers,
    training_changes_the_state,
    measures_every_candidate_in_order,
    measuring_changes_nothing,
    compares_on_the_same_clips,
    equal_beginnings_give_equal_numbers,
    restored_goes_on_as_if_never_stopped,
    restored_forgets_what_it_was,
    names_of_the_state_are_its_own,
)


def _run(evaluator: SearchEvaluator, candidates: Sequence[Candidate], steps: range) -> list[tuple[object, ...]]:
    found = []
    for step in steps:
        loss = float(evaluator.train(step, candidates, [frozenset()] * len(candidates)))
        found.append((loss, tuple(evaluator.measure(step, candidates)), tuple(evaluator.compare(candidates))))
    return found


def _every_layer(candidate: Candidate) -> frozenset[str]:
    return frozenset(
        layer_name(number, layer)
        for number, block in enumerate(candidate.spec.blocks)
        for layer in range(len(block.layers))
    )
