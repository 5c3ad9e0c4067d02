import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_spaces import TINY, spaces_and_indices

from nas.controller import (
    activity,
    entropies,
    entropy_gradients,
    initial_logits,
    log_probability,
    log_probability_gradients,
    most_likely,
    probabilities,
    sample,
)
from search_spaces.movinet import A2, NANO


def random_logits(space, seed=0, scale=1.5):
    logits_DC = initial_logits(space)
    return logits_DC + np.random.default_rng(seed).normal(0.0, scale, logits_DC.shape)


def slow_log_probability(space, logits_DC, genotype):
    """Sum over the named, hence active, decisions of log softmax, written out."""
    total = 0.0
    for decision, row_C in zip(space.decisions, logits_DC, strict=True):
        if decision.name in genotype:
            logits = [float(value) for value in row_C[: len(decision.choices)]]
            chosen = logits[decision.choices.index(genotype[decision.name])]
            total += chosen - math.log(sum(math.exp(value) for value in logits))
    return total


def test_the_first_policy_is_uniform():
    chance_DC = probabilities(initial_logits(A2))
    for decision, chance_C in zip(A2.decisions, chance_DC, strict=True):
        num = len(decision.choices)
        np.testing.assert_allclose(chance_C[:num], 1 / num)
        assert (chance_C[num:] == 0).all()
    np.testing.assert_allclose(chance_DC.sum(axis=1), 1.0)


def test_large_logits_do_not_overflow():
    logits_DC = initial_logits(NANO)
    logits_DC[:, 0] = 5000.0
    chance_DC = probabilities(logits_DC)
    assert np.isfinite(chance_DC).all()
    np.testing.assert_allclose(chance_DC[:, 0], 1.0)
    indices_KD = NANO.canonical(np.zeros((1, len(NANO.decisions)), dtype=np.int8))
    assert log_probability(NANO, logits_DC, indices_KD)[0] == pytest.approx(0.0, abs=1e-12)
    assert np.isfinite(log_probability(NANO, logits_DC, indices_KD + np.int8(1))).all()
    assert all(value == pytest.approx(0.0, abs=1e-12) for value in entropies(NANO, logits_DC).values())


@settings(max_examples=60)
@given(spaces_and_indices(), st.integers(0, 999))
def test_log_probability_is_the_sum_over_active_decisions(drawn, seed):
    space, indices_KD = drawn
    logits_DC = random_logits(space, seed)
    expected = [slow_log_probability(space, logits_DC, space.genotype(row_D)) for row_D in indices_KD]
    np.testing.assert_allclose(log_probability(space, logits_DC, indices_KD), expected, rtol=1e-9, atol=1e-12)


@settings(max_examples=30)
@given(spaces_and_indices(), st.integers(0, 999))
def test_gradients_equal_numerical_differentiation(drawn, seed):
    space, indices_KD = drawn
    logits_DC = random_logits(space, seed)
    gradients_KDC = log_probability_gradients(space, logits_DC, indices_KD)
    step = 1e-5
    for row, decision in enumerate(space.decisions):
        for column in range(len(decision.choices)):
            up_DC, down_DC = logits_DC.copy(), logits_DC.copy()
            up_DC[row, column] += step
            down_DC[row, column] -= step
            difference_K = log_probability(space, up_DC, indices_KD) - log_probability(space, down_DC, indices_KD)
            np.testing.assert_allclose(gradients_KDC[:, row, column], difference_K / (2 * step), atol=1e-8)
        assert (gradients_KDC[:, row, len(decision.choices) :] == 0).all()


def test_probabilities_of_all_genotypes_add_up_to_one():
    logits_DC = random_logits(TINY)
    counts = [len(decision.choices) for decision in TINY.decisions]
    rows_ND = np.stack(np.meshgrid(*[np.arange(count, dtype=np.int8) for count in counts], indexing="ij"), -1)
    rows_ND = np.unique(TINY.canonical(rows_ND.reshape(-1, len(counts))), axis=0)
    assert len(rows_ND) == TINY.size
    assert np.exp(log_probability(TINY, logits_DC, rows_ND)).sum() == pytest.approx(1.0, abs=1e-9)


def test_inactive_decisions_contribute_nothing():
    logits_DC = random_logits(A2)
    indices_KD = A2.sample_indices(np.random.default_rng(1), 20)
    off_KD = ~A2.active(indices_KD)
    assert off_KD.any(axis=1).all()
    gradients_KDC = log_probability_gradients(A2, logits_DC, indices_KD)
    assert (gradients_KDC[off_KD] == 0).all()
    assert (gradients_KDC[~off_KD].any(axis=-1)).all()
    other_DC = np.where(off_KD[0][:, None], random_logits(A2, 9), logits_DC)
    assert log_probability(A2, other_DC, indices_KD[:1]) == log_probability(A2, logits_DC, indices_KD[:1])


def test_expected_gradient_of_the_log_probability_is_zero():
    logits_DC = random_logits(NANO, scale=0.7)
    indices_KD = sample(NANO, logits_DC, np.random.default_rng(0), 40_000)
    mean_DC = log_probability_gradients(NANO, logits_DC, indices_KD).mean(axis=0)
    assert np.abs(mean_DC).max() < 0.012  # 5 standard errors of at most 0.5 / 200


def test_frequencies_of_samples_match_the_probabilities():
    logits_DC = random_logits(NANO)
    chance_DC = probabilities(logits_DC)
    indices_KD = sample(NANO, logits_DC, np.random.default_rng(2), 40_000)
    assert indices_KD.dtype == np.int8
    np.testing.assert_array_equal(NANO.canonical(indices_KD), indices_KD)
    active_KD = NANO.active(indices_KD)
    for column, decision in enumerate(NANO.decisions):
        chosen = indices_KD[active_KD[:, column], column]
        shares = np.bincount(chosen, minlength=len(decision.choices)) / len(chosen)
        error = 5 * np.sqrt(0.25 / len(chosen))
        np.testing.assert_allclose(shares, chance_DC[column, : len(decision.choices)], atol=error)


def test_equal_generators_sample_equal_genotypes():
    logits_DC = random_logits(A2)
    first, second = (sample(A2, logits_DC, np.random.default_rng(4), 6) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    few = sample(A2, logits_DC, np.random.default_rng(4), 3)
    np.testing.assert_array_equal(few, first[:3])


def test_impossible_choices_are_never_sampled():
    logits_DC = initial_logits(NANO)
    logits_DC[:, 0] = -2000.0
    indices_KD = sample(NANO, logits_DC, np.random.default_rng(0), 500)
    assert (indices_KD[NANO.active(indices_KD)] > 0).all()
    np.testing.assert_array_equal(most_likely(NANO, logits_DC)[:2], [1, 1])


def test_activity_equals_monte_carlo():
    logits_DC = random_logits(A2)
    expected_D = A2.active(sample(A2, logits_DC, np.random.default_rng(3), 20_000)).mean(axis=0)
    np.testing.assert_allclose(activity(A2, logits_DC), expected_D, atol=0.018)


def test_activity_of_a_uniform_policy():
    share = dict(zip((decision.name for decision in A2.decisions), activity(A2, initial_logits(A2)), strict=True))
    assert share["head.width"] == share["block2.depth"] == 1.0
    for layer in range(1, 11):
        assert share[f"block4.layer{layer}.kernel"] == pytest.approx((11 - layer) / 10)


def test_entropies_are_1_at_the_start():
    found = entropies(A2, initial_logits(A2))
    assert set(found) == {"depth", "width", "kernel", "expansion", "se"}
    assert all(value == pytest.approx(1.0, abs=1e-12) for value in found.values())


@settings(max_examples=60)
@given(spaces_and_indices(), st.integers(0, 999), st.sampled_from((0.1, 2.0, 30.0)))
def test_entropies_are_shares(drawn, seed, scale):
    space, _ = drawn
    found = entropies(space, random_logits(space, seed, scale))
    groups = {decision.group for decision in space.decisions if len(decision.choices) > 1}
    assert set(found) == groups
    assert all(-1e-12 <= value <= 1.0 + 1e-12 for value in found.values())


def test_entropies_by_hand():
    logits_DC = initial_logits(TINY)
    columns = {decision.name: column for column, decision in enumerate(TINY.decisions)}
    logits_DC[columns["block2.depth"], :2] = np.log([0.75, 0.25])
    logits_DC[columns["block2.layer2.kernel"], :2] = np.log([0.9, 0.1])
    found = entropies(TINY, logits_DC)

    def share(chance):
        return -(chance * math.log(chance) + (1 - chance) * math.log(1 - chance)) / math.log(2)

    assert found["depth"] == pytest.approx((share(0.75) + 1) / 2)
    # five layers; block 2's second counts a quarter, block 3's third a half
    assert found["kernel"] == pytest.approx((1 + 0.25 * share(0.9) + 1 + 1 + 0.5) / (1 + 0.25 + 2.5))
    assert found["expansion"] == found["width"] == 1.0
    assert "se" not in found  # one choice decides nothing


def test_most_likely_takes_the_best_choice_of_every_active_decision():
    logits_DC = random_logits(A2, 5)
    indices_D = most_likely(A2, logits_DC)
    genotype = A2.genotype(indices_D)
    for decision, row_C in zip(A2.decisions, logits_DC, strict=True):
        if decision.name in genotype:
            best = int(np.argmax(row_C[: len(decision.choices)]))
            assert genotype[decision.name] == decision.choices[best]
    np.testing.assert_array_equal(A2.canonical(indices_D[None])[0], indices_D)
    others_KD = np.concatenate([A2.indices(neighbour)[None] for neighbour in A2.neighbours(genotype)])
    same_depth = [row_D for row_D in others_KD if (A2.active(row_D[None]) == A2.active(indices_D[None])).all()]
    assert log_probability(A2, logits_DC, np.stack(same_depth)).max() < log_probability(A2, logits_DC, indices_D[None])


def test_entropy_gradients_equal_numerical_differentiation():
    logits_DC = random_logits(TINY)
    indices_KD = TINY.sample_indices(np.random.default_rng(0), 3)
    found_KDC = entropy_gradients(TINY, logits_DC, indices_KD)

    def entropy(row_C, column, by):
        row_C = row_C[np.isfinite(row_C)]
        row_C[column] += by
        chance_C = np.exp(row_C) / np.exp(row_C).sum()
        return -(chance_C * np.log(chance_C)).sum()

    for active_D, found_DC in zip(TINY.active(indices_KD), found_KDC, strict=True):
        for row, decision in enumerate(TINY.decisions):
            for column in range(len(decision.choices)):
                rise = entropy(logits_DC[row], column, 1e-5) - entropy(logits_DC[row], column, -1e-5)
                assert found_DC[row, column] == pytest.approx(active_D[row] * rise / 2e-5, abs=1e-6)


def test_absent_choices_have_no_entropy_gradient():
    logits_DC = initial_logits(A2) + 0.3 * np.arange(10)
    gradients_KDC = entropy_gradients(A2, logits_DC, A2.sample_indices(np.random.default_rng(0), 2))
    assert np.isfinite(gradients_KDC).all()
    assert not gradients_KDC[:, ~np.isfinite(logits_DC)].any()
