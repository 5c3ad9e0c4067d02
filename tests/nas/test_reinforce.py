import json
import math

import numpy as np
import pytest
from made_spaces import TINY

from nas.controller import entropies, entropy_gradients, initial_logits
from nas.reinforce import STATE, ControllerConfig, Reinforce
from search_spaces.errors import UsageError
from search_spaces.movinet import A2, NANO
from search_spaces.space import BlockChoices, SearchSpace
from search_spaces.strict_json import MAX_BYTES


class ByHand:
    """The recurrences of tunas.md 1.4 and 1.5, number by number, over the named decisions."""

    def __init__(self, space, *, num_steps):
        self.space, self.num_steps = space, num_steps
        self.logits = {decision.name: [0.0] * len(decision.choices) for decision in space.decisions}
        self.moments = {decision.name: [0.0] * len(decision.choices) for decision in space.decisions}
        self.numerator = self.denominator = 0.0
        self.updates = 0

    def learning_rate(self, step):
        delay = self.num_steps / 4
        if step < delay:
            return 0.0
        return min(0.1, 130 / self.num_steps) * 10 ** ((step - delay) / (self.num_steps - delay))

    def update(self, step, genotypes, rewards):
        self.numerator = 0.95 * self.numerator + 0.05 * sum(rewards) / len(rewards)
        self.denominator = 0.95 * self.denominator + 0.05
        baseline = self.numerator / self.denominator
        self.updates += 1
        rate = self.learning_rate(step) * math.sqrt(1 - 0.999**self.updates)
        for decision in self.space.decisions:
            logits, moments = self.logits[decision.name], self.moments[decision.name]
            chances = [math.exp(value) / sum(map(math.exp, logits)) for value in logits]
            for index, choice in enumerate(decision.choices):
                gradients = [
                    (reward - baseline) * ((genotype[decision.name] == choice) - chances[index])
                    if decision.name in genotype
                    else 0.0
                    for genotype, reward in zip(genotypes, rewards, strict=True)
                ]
                mean_of_squares = sum(value**2 for value in gradients) / len(gradients)
                moments[index] = 0.999 * moments[index] + 0.001 * mean_of_squares
                logits[index] += rate * sum(gradients) / len(gradients) / (math.sqrt(moments[index]) + 1e-8)
        return baseline


def drive(policy, space, steps, *, num=3, seed=0):
    """Updates with random rewards; yields step, genotypes, rewards."""
    for step in steps:
        rng = np.random.default_rng((seed, step))
        indices_KD = policy.sample(rng, num)
        rewards = rng.random(num).tolist()
        policy.update(step, indices_KD, rewards)
        yield step, [space.genotype(row_D) for row_D in indices_KD], rewards


@pytest.mark.parametrize("space", [TINY, NANO], ids=["tiny", "nano"])
@pytest.mark.parametrize("num", [1, 4])
def test_updates_equal_the_recurrences_by_hand(space, num):
    num_steps = 40
    policy, hand = Reinforce(space, ControllerConfig(), num_steps=num_steps), ByHand(space, num_steps=num_steps)
    for step, genotypes, rewards in drive(policy, space, range(num_steps), num=num):
        baseline = hand.update(step, genotypes, rewards)
        assert policy.baseline == pytest.approx(baseline, rel=1e-12)
        for decision, row_C in zip(space.decisions, policy.logits_DC, strict=True):
            np.testing.assert_allclose(
                row_C[: len(decision.choices)], hand.logits[decision.name], rtol=1e-9, atol=1e-12
            )
    assert np.abs(policy.logits_DC[np.isfinite(policy.logits_DC)]).max() > 0.1


def test_the_first_update_by_hand():
    # one architecture whose reward is the baseline: nothing to learn; a second, better one raises its choices
    policy = Reinforce(TINY, ControllerConfig(delay_fraction=0.0, learning_rate=0.1, ramp=1.0), num_steps=10)
    indices_KD = np.zeros((1, len(TINY.decisions)), dtype=np.int8)
    policy.update(0, indices_KD, [0.4])
    assert policy.baseline == pytest.approx(0.4)
    np.testing.assert_array_equal(policy.logits_DC, initial_logits(TINY))
    policy.update(1, indices_KD, [0.6])
    # (0.95 x 0.02 + 0.05 x 0.6) / (0.95 x 0.05 + 0.05)
    assert policy.baseline == pytest.approx(0.049 / 0.0975)
    # half the advantage is the gradient of a decision between two equally likely choices
    gradient = (0.6 - 0.049 / 0.0975) / 2
    size = 0.1 * math.sqrt(1 - 0.999**2) * gradient / (math.sqrt(0.001 * gradient**2) + 1e-8)
    columns = {decision.name: column for column, decision in enumerate(TINY.decisions)}
    np.testing.assert_allclose(policy.logits_DC[columns["block2.depth"]], [size, -size], rtol=1e-9)
    np.testing.assert_array_equal(policy.logits_DC[columns["block2.layer2.kernel"]], [0.0, 0.0])  # inactive
    np.testing.assert_array_equal(policy.logits_DC[columns["block2.layer1.se"]], [0.0, -np.inf])  # one choice


def test_architectures_that_disagree_make_small_steps():
    # the second moment is the mean of the squares: where gradients cancel, the square of their mean would be 0
    policy = Reinforce(TINY, ControllerConfig(delay_fraction=0.0, learning_rate=0.1, ramp=1.0), num_steps=10)
    columns = {decision.name: column for column, decision in enumerate(TINY.decisions)}
    indices_KD = np.zeros((2, len(TINY.decisions)), dtype=np.int8)
    indices_KD[1, columns["head.width"]] = 1
    policy.update(0, indices_KD, [0.8, 0.2])
    # advantages 0.3 and -0.3: on the head's first choice both gradients are 0.15, on the depth's they cancel
    np.testing.assert_allclose(policy.logits_DC[columns["head.width"]], [0.1, -0.1], rtol=1e-5)
    np.testing.assert_allclose(policy.logits_DC[columns["block2.depth"]], [0.0, 0.0], atol=1e-12)
    moments = json.loads(policy.state()[STATE])["second_moment"]
    for name in ("head.width", "block2.depth"):
        np.testing.assert_allclose(moments[columns[name]], [0.001 * 0.15**2] * 2)


def test_the_policy_is_frozen_for_a_quarter_and_then_ramped():
    policy = Reinforce(NANO, ControllerConfig(), num_steps=4000)
    assert [policy.learning_rate(step) for step in (0, 500, 999)] == [0.0, 0.0, 0.0]
    assert policy.learning_rate(1000) == pytest.approx(130 / 4000)
    assert policy.learning_rate(2500) == pytest.approx(130 / 4000 * 10**0.5)
    assert policy.learning_rate(3999) == pytest.approx(130 / 4000 * 10 ** (2999 / 3000))


@pytest.mark.parametrize(("num_steps", "rate"), [(1, 0.1), (300, 0.1), (1300, 0.1), (2600, 0.05)])
def test_the_rate_of_a_short_search_is_bounded(num_steps, rate):
    policy = Reinforce(NANO, ControllerConfig(delay_fraction=0.0), num_steps=num_steps)
    assert policy.learning_rate(0) == pytest.approx(rate)


def test_a_stated_rate_is_taken():
    policy = Reinforce(NANO, ControllerConfig(learning_rate=0.4, ramp=1.0), num_steps=300)
    assert policy.learning_rate(74) == 0.0
    assert policy.learning_rate(75) == policy.learning_rate(299) == 0.4


def test_the_rate_of_tunas_at_its_length():
    # tunas.md 1.5: 0.0048 at batch 4096, 27,050 steps, ten times that at the end
    policy = Reinforce(NANO, ControllerConfig(), num_steps=27_050)
    assert policy.learning_rate(6_763) == pytest.approx(0.0048, rel=0.002)
    assert policy.learning_rate(27_049) == pytest.approx(0.048, rel=0.002)


def test_while_frozen_logits_stay_and_moments_accumulate():
    policy = Reinforce(TINY, ControllerConfig(), num_steps=40)
    before = policy.logits_DC.copy()
    for step, _, _ in drive(policy, TINY, range(10)):
        np.testing.assert_array_equal(policy.logits_DC, before, err_msg=str(step))
    state = json.loads(policy.state()[STATE])
    assert state["num_updates"] == 10
    assert max(map(max, state["second_moment"])) > 0
    assert state["baseline_weight"] == pytest.approx(1 - 0.95**10)
    list(drive(policy, TINY, range(10, 11)))
    assert not np.array_equal(policy.logits_DC, before)


def test_baseline_of_nothing_is_zero():
    assert Reinforce(TINY, ControllerConfig(), num_steps=1).baseline == 0.0


@pytest.mark.parametrize("stop", [0, 1, 7, 25, 39])
def test_restored_goes_on_bit_for_bit(stop):
    whole, first = (Reinforce(NANO, ControllerConfig(), num_steps=40) for _ in range(2))
    list(drive(whole, NANO, range(40)))
    list(drive(first, NANO, range(stop)))
    blobs = dict(first.state())
    list(drive(first, NANO, range(stop, 40)))
    second = Reinforce(NANO, ControllerConfig(), num_steps=40)
    list(drive(second, NANO, range(5), seed=9))  # what it was must not matter
    second.restore({**blobs, "weights.safetensors": b"of another part"})
    assert second.state() == blobs
    list(drive(second, NANO, range(stop, 40)))
    np.testing.assert_array_equal(second.logits_DC, whole.logits_DC)
    assert second.baseline == whole.baseline
    assert second.state() == whole.state() == first.state()


def test_the_state_is_json_of_the_policy_alone():
    policy = Reinforce(A2, ControllerConfig(), num_steps=4)
    list(drive(policy, A2, range(4)))
    blobs = policy.state()
    assert set(blobs) == {STATE} == {"controller.json"}
    document = json.loads(blobs[STATE])
    assert [len(row) for row in document["logits"]] == [len(decision.choices) for decision in A2.decisions]
    assert document["logits"][0] == policy.logits_DC[0].tolist()


def test_the_state_of_the_largest_space_is_read_back():
    space = SearchSpace(
        name="largest",
        clip=A2.clip,
        stem_width=8,
        blocks=(BlockChoices(base_width=8, depths=tuple(range(1, 65)), stride=1),) * 16,
        head_width=8,
        dense_width=8,
        kernels=A2.kernels,
        expansions=tuple(1 + index / 8 for index in range(64)),
        width_multipliers=(1.0,),
        se=(True, False),
    )
    policy = Reinforce(space, ControllerConfig(), num_steps=4)
    list(drive(policy, space, range(3)))
    blobs = policy.state()
    assert len(blobs[STATE]) > MAX_BYTES
    again = Reinforce(space, ControllerConfig(), num_steps=4)
    again.restore(blobs)
    np.testing.assert_array_equal(again.logits_DC, policy.logits_DC)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 0.0}, r"^controller\.learning_rate must be positive, but got 0\.0$"),
        ({"learning_rate": float("nan")}, r"^controller\.learning_rate must be positive, but got nan$"),
        ({"delay_fraction": 1.0}, r"^controller\.delay_fraction must be in \[0, 1\), but got 1\.0$"),
        ({"baseline_momentum": -0.1}, r"^controller\.baseline_momentum must be in \[0, 1\), but got -0\.1$"),
        ({"adam_beta2": 1.5}, r"^controller\.adam_beta2 must be in \[0, 1\), but got 1\.5$"),
        ({"ramp": 0.0}, r"^controller\.ramp and adam_epsilon must be positive, but got "),
        ({"adam_epsilon": 0.0}, r"^controller\.ramp and adam_epsilon must be positive, but got "),
    ],
)
def test_a_bad_constant_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        ControllerConfig(**change)


def test_the_entropy_bonus_is_a_plain_step_beside_adam():
    rows_KD = NANO.sample_indices(np.random.default_rng(1), 3)
    plain, bonus = (Reinforce(NANO, ControllerConfig(entropy_bonus=weight), num_steps=8) for weight in (0.0, 0.7))
    for step in range(5):
        bonus.logits_DC[:] = plain.logits_DC
        before_DC = plain.logits_DC.copy()
        for policy in (plain, bonus):
            policy.update(step, rows_KD, [0.1, 0.5, 0.9 - 0.1 * step])
        gradient_DC = entropy_gradients(NANO, before_DC, rows_KD).mean(axis=0)
        present_DC = np.isfinite(before_DC)
        wanted_DC = 0.7 * plain.learning_rate(step) * gradient_DC
        found_D, without_D = bonus.logits_DC[present_DC], plain.logits_DC[present_DC]
        np.testing.assert_allclose(found_D - without_D, wanted_DC[present_DC], atol=1e-12)
        assert (np.abs(wanted_DC).max() > 1e-6) == (step > 2)  # before, the policy is uniform


def test_with_a_bonus_the_policy_stays_less_decided():
    left = []
    for weight in (0.0, 1.0):
        policy = Reinforce(NANO, ControllerConfig(entropy_bonus=weight), num_steps=150)
        for step in range(150):
            rows_KD = policy.sample(np.random.default_rng(step), 2)
            policy.update(step, rows_KD, [float(row_D.sum()) / 50 for row_D in rows_KD])
        left.append(np.mean(list(entropies(NANO, policy.logits_DC).values())))
    assert left[1] > left[0] + 0.1


@pytest.mark.parametrize("weight", [-0.1, math.inf, math.nan])
def test_a_bad_bonus_is_refused(weight):
    with pytest.raises(UsageError, match=rf"^controller\.entropy_bonus must be at least 0, but got {weight}$"):
        ControllerConfig(entropy_bonus=weight)
