"""Optuna's suggestions: candidates, each once, from the records alone."""

from itertools import islice

from launch.optuna_sampler import suggested
from nas.scaling_sweep import ScalingTrial, all_candidates
from results.records import ScalingRecord

EVERY = all_candidates(0.05)


def suggestions(*, num, begun=(), done=None, seed=0):
    return suggested(EVERY, num=num, num_architectures=1, seed=seed, done={} if done is None else done, begun=begun)


def record(coefficients, top1):
    name = ScalingTrial(coefficients=coefficients, number=0).name
    return ScalingRecord(name=name, coefficients=coefficients, fingerprint="f", macs_per_frame=1.0, top1=top1)


def test_suggestions_are_candidates_each_once():
    found = list(suggestions(num=40))
    assert len(set(found)) == 40
    assert set(found) <= set(EVERY)
    assert found == list(suggestions(num=40))
    assert found != list(suggestions(num=40, seed=1))


def test_those_begun_come_first_and_count():
    begun = EVERY[5:8]
    found = list(suggestions(num=10, begun=begun))
    assert found[:3] == list(begun)
    assert len(set(found)) == 10


def test_what_did_well_draws_the_suggestions_near():
    done = {}
    source = suggestions(num=60, done=done)
    found = []
    for coefficients in source:
        found.append(coefficients)
        done[str(len(found))] = record(coefficients, 1.0 - 2.0 * abs(coefficients.depth - 1.05))
    mean = [sum(each.depth for each in part) / len(part) for part in (EVERY, found[8:])]
    assert mean[1] < mean[0] - 0.04


def test_taking_some_makes_no_more():
    assert len(list(islice(suggestions(num=3), 2))) == 2
