"""Sweeps over scaling coefficients: candidates, draws, ranking, average."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.scaling_sweep import (
    ScalingTrial,
    all_candidates,
    average,
    candidate_name,
    median_macs_per_frame,
    random_candidates,
    scores,
    space_of,
    trials_of,
)
from results.files import NAME
from results.records import ScalingRecord
from search_spaces.errors import UsageError
from search_spaces.movinet import A2, NANO
from search_spaces.scaling import PUBLISHED_COEFFICIENTS, Coefficients
from search_spaces.variant import Variant


def record(coefficients, number, top1):
    name = ScalingTrial(coefficients=coefficients, number=number).name
    return ScalingRecord(
        name=name, coefficients=coefficients, fingerprint="f", macs_per_frame=100.0 + number, top1=top1
    )


def test_random_candidates_are_different_meet_the_tolerance_and_follow_the_seed():
    drawn = random_candidates(0.02, num=180, seed=3)
    assert sorted(drawn) == sorted(all_candidates(0.02))
    assert random_candidates(0.05, num=9, seed=3) == random_candidates(0.05, num=9, seed=3)
    assert random_candidates(0.05, num=9, seed=3)[:4] == random_candidates(0.05, num=4, seed=3)
    assert random_candidates(0.05, num=9, seed=3) != random_candidates(0.05, num=9, seed=4)


def test_more_candidates_than_there_are_is_refused():
    with pytest.raises(UsageError, match="180 of 4096 are within 0.02 and 181 were asked for"):
        random_candidates(0.02, num=181, seed=0)


def test_names_are_names_of_files_and_differ():
    names = {trial.name for each in all_candidates(0.10) for trial in trials_of(each, num_architectures=2)}
    assert len(names) == 2 * 880
    assert all(NAME.fullmatch(name) for name in names)
    assert candidate_name(PUBLISHED_COEFFICIENTS) == "d1.36-w1.18-r1.16-f1.24"


def test_architectures_are_of_the_scaled_space_and_differ_by_number_and_seed():
    trial = trials_of(all_candidates(0.05)[7], num_architectures=2)[1]
    drawn = trial.draw(NANO, Variant(), seed=0)
    assert space_of(NANO, trial.coefficients).contains(drawn.spec)
    assert drawn == trial.draw(NANO, Variant(), seed=0)
    assert drawn != trial.draw(NANO, Variant(), seed=1)
    assert drawn != replace(trial, number=0).draw(NANO, Variant(), seed=0)


def test_the_base_of_the_paper_costs_about_300_million_macs_per_frame():
    assert median_macs_per_frame(A2, Variant(), num_classes=600) == pytest.approx(3.7e8, rel=0.05)


def test_candidates_are_ranked_by_their_mean_and_those_that_lack_one_are_left_out():
    good, equal, bad, half = all_candidates(0.05)[:4]
    values = {good: (0.5, 0.7), equal: (0.7, 0.5), bad: (0.1, 0.2)}
    records = [record(each, number, top1) for each, top1s in values.items() for number, top1 in enumerate(top1s)]
    records += [record(half, 0, 1.0), record(good, 0, 0.0)]  # a record of the same name again: the first counts
    ranked = scores(reversed(records[:-1]), num_architectures=2)
    assert [score.coefficients for score in ranked] == [good, equal, bad]
    assert scores(records, num_architectures=2) == ranked
    assert ranked[0].top1s == (0.5, 0.7)
    assert ranked[0].mean == pytest.approx(0.6)
    assert ranked[0].macs_per_frame == 100.5


@given(st.lists(st.sampled_from(all_candidates(0.05)), min_size=1, max_size=6, unique=True))
def test_the_average_is_of_each_coefficient(chosen):
    ranked = scores([record(each, 0, 0.5) for each in chosen], num_architectures=1)
    found = average(ranked)
    for name in ("depth", "width", "resolution", "frame_rate"):
        assert getattr(found, name) == pytest.approx(np.mean([getattr(each, name) for each in chosen]))


def test_the_average_need_not_meet_the_constraint():
    ends = [
        Coefficients(depth=1.4, width=1.4, resolution=1.05, frame_rate=1.3),
        Coefficients(depth=1.05, width=1.05, resolution=1.4, frame_rate=1.4),
    ]
    found = average(scores([record(each, 0, 0.5) for each in ends], num_architectures=1))
    assert found == Coefficients(depth=1.225, width=1.225, resolution=1.225, frame_rate=1.35)
