"""The algorithm's regression test: a search without a network, on a quality with a known structure (tunas.md 6).

Quality of an architecture of the base space: a bonus for every choice it makes, and five points per doubling of its
cost; measured on 128 clips. Bonuses are scaled so that random architectures at one cost have a standard deviation of
0.73 points, as those of TuNAS's released study.
"""

import functools
from dataclasses import dataclass

import numpy as np
import pytest

from nas import controller
from nas.loop import SearchConfig
from nas.problem import Problem
from nas.random_search import random_at_cost
from nas.reinforce import ControllerConfig, Reinforce
from nas.reward import REWARDS
from nas.start import STARTS
from search_spaces.movinet import A2, NANO
from search_spaces.randomness import generator
from search_spaces.target import parse_target
from search_spaces.variant import Variant

SPREAD = {"kernel": 0.3, "expansion": 0.15, "se": 0.2, "width": 0.3, "depth": 0.0}
ISO_COST_DEVIATION = 0.0073
PER_DOUBLING = 0.05
NUM_CLIPS = 128
NUM_ARCHITECTURES = 8
SEEDS = (0, 1, 2)
SLOW_ROWS = [(200, 2, 10), (400, 2, 10), (500, 2, 10), (1000, 2, 10), (1000, 4, 10), (2000, 2, 10)]
"""Steps, architectures per step, seeds."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A problem and the bonus of every choice, (D, C)."""

    problem: Problem
    bonuses_DC: np.ndarray

    def iso_cost_quality(self, indices_ND):
        """Quality without what the cost gives, (N,)."""
        chosen_ND = self.bonuses_DC[np.arange(len(self.bonuses_DC)), indices_ND]
        return 0.5 + (chosen_ND * A2.active(indices_ND)).sum(axis=1)

    def quality(self, indices_ND):
        return self.iso_cost_quality(indices_ND) + PER_DOUBLING * np.log2(self.problem.ratios(indices_ND))


@functools.cache
def make_study(seed, text="macs=18G/clip"):
    problem = Problem(space=A2, variant=Variant(), target=parse_target(text), num_classes=600, seed=seed)
    rng = generator(seed, "bonuses")
    bonuses_DC = np.zeros((len(A2.decisions), 10))
    for row_C, decision in zip(bonuses_DC, A2.decisions, strict=True):
        drawn = rng.normal(0.0, SPREAD[decision.group], len(decision.choices))
        row_C[: len(drawn)] = drawn - drawn.mean()
    unscaled = Study(problem=problem, bonuses_DC=bonuses_DC)
    sample_ND = random_at_cost(problem, generator(seed, "scale"), num=400, tolerance=0.02)
    scale = ISO_COST_DEVIATION / unscaled.iso_cost_quality(sample_ND).std()
    return Study(problem=problem, bonuses_DC=bonuses_DC * scale)


def search(study, *, reward, beta, num_steps, num=NUM_ARCHITECTURES, config=None, logits_DC=None):
    """The policy's argmax after a search, (1, D), and its entropies."""
    policy = Reinforce(A2, config or ControllerConfig(), num_steps=num_steps, logits_DC=logits_DC)
    seed = study.problem.seed
    for step in range(num_steps):
        indices_KD = policy.sample(generator(seed, "policy", step), num)
        chances_K = np.clip(study.quality(indices_KD), 0.0, 1.0)
        qualities_K = generator(seed, "clips", step).binomial(NUM_CLIPS, chances_K) / NUM_CLIPS
        pairs = zip(qualities_K.tolist(), study.problem.ratios(indices_KD).tolist(), strict=True)
        policy.update(step, indices_KD, [REWARDS[reward](quality, ratio, beta) for quality, ratio in pairs])
    return controller.most_likely(A2, policy.logits_DC)[None], controller.entropies(A2, policy.logits_DC)


def random_qualities(study):
    """Iso-cost qualities of 50 random architectures within 2 % of the target."""
    random_ND = random_at_cost(study.problem, generator(study.problem.seed, "random"), num=50, tolerance=0.02)
    return study.iso_cost_quality(random_ND)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_absolute_reward_lands_on_the_target_above_the_best_of_50_random(seed):
    study = make_study(seed)
    random_N = random_qualities(study)
    assert random_N.std() == pytest.approx(ISO_COST_DEVIATION, rel=0.25)
    found_D, entropies = search(study, reward="absolute", beta=-0.3, num_steps=2000)
    # over seeds 0 to 9 the ratio lay in [0.978, 1.012], 4 to 7 deviations above the best of 50, entropies below 0.18
    assert study.problem.ratios(found_D)[0] == pytest.approx(1.0, abs=0.03)
    assert study.iso_cost_quality(found_D)[0] > random_N.max() + 2 * ISO_COST_DEVIATION
    assert max(entropies.values()) < 0.25


@pytest.mark.parametrize("seed", SEEDS)
def test_the_soft_reward_misses_the_target(seed):
    study = make_study(seed)
    found_D, _ = search(study, reward="mnas", beta=-0.07, num_steps=500)
    # 1.8 to 2.2 times the target over seeds 0 to 3; tunas.md 6 measured 2.4
    assert study.problem.ratios(found_D)[0] > 1.2


def test_a_short_search_gains_more_with_the_bounded_rate():
    gains = {"bounded": [], "130 / steps": []}
    for seed in range(4):
        study = make_study(seed)
        for name, config in (
            ("bounded", ControllerConfig()),
            ("130 / steps", ControllerConfig(learning_rate=130 / 300)),
        ):
            found_D, _ = search(study, reward="absolute", beta=-0.3, num_steps=300, num=2, config=config)
            gains[name].append(study.iso_cost_quality(found_D)[0] - np.median(random_qualities(study)))
    # over seeds 0 to 7: 1.5 points and 0.5 points
    assert np.mean(gains["bounded"]) > 1.5 * np.mean(gains["130 / steps"])
    assert np.mean(gains["bounded"]) > ISO_COST_DEVIATION


def raw_ratio(target, seed, config):
    """Where the argmax of a search of `nano` lands: exact multiply-adds, made qualities with the noise of 32 clips."""
    budget = parse_target(target)
    policy = Reinforce(NANO, config.controller, num_steps=config.steps)
    rng = np.random.default_rng(seed)
    heights_DC = rng.normal(0.0, 0.02, policy.logits_DC.shape)
    for step in range(config.steps):
        progress = step / config.steps  # of the supernet, which tells networks apart as it learns
        rows_KD = policy.sample(generator(seed, "policy", step), config.architectures_per_step)
        ratios_K = budget.costs(NANO, Variant(), rows_KD, num_classes=8) / budget.value
        chosen_KD = heights_DC[np.arange(len(NANO.decisions)), rows_KD] * NANO.active(rows_KD)
        apart_K = 0.05 * np.log2(ratios_K) + chosen_KD.sum(axis=1) / 2
        true_K = np.clip(0.125 + 0.5 * min(1, 1.2 * progress) + min(1, 2 * progress) * apart_K, 0.05, 0.95)
        pairs = zip(rng.binomial(32, true_K) / 32, ratios_K, strict=True)
        beta = config.beta_in(step)
        policy.update(step, rows_KD, [REWARDS["absolute"](quality, ratio, beta) for quality, ratio in pairs])
    argmax_D = controller.most_likely(NANO, policy.logits_DC)
    return budget.costs(NANO, Variant(), argmax_D[None], num_classes=8)[0] / budget.value


@pytest.mark.parametrize("target", ["macs=12M/clip", "macs=20M/clip"])
@pytest.mark.parametrize(
    ("steps", "num", "seeds"),
    [(200, 2, 3), (400, 2, 3), (1000, 2, 1), *(pytest.param(*row, marks=pytest.mark.slow) for row in SLOW_ROWS)],
)
def test_the_raw_argmax_of_the_defaults_lands_within_5_percent(target, steps, num, seeds):
    config = SearchConfig(steps=steps, architectures_per_step=num)
    ratios = [raw_ratio(target, seed, config) for seed in range(seeds)]
    assert np.abs(np.array(ratios) - 1).max() <= 0.05


def test_with_a_constant_weight_of_cost_short_searches_miss_more():
    rows = {ramp: SearchConfig(steps=200, beta_ramp=ramp) for ramp in (1.0, 10.0)}
    misses = {
        ramp: np.mean([abs(raw_ratio("macs=12M/clip", seed, config) - 1) for seed in range(6)])
        for ramp, config in rows.items()
    }
    # over seeds 0 to 9 and two targets 5 of 20 and 20 of 20 were within 5 %
    assert misses[10.0] < 0.5 * misses[1.0]


def cost_share(study, logits_DC, *, beta):
    """Of the variance of the first rewards under the absolute reward, what their cost has."""
    indices_KD = controller.sample(A2, logits_DC, generator(study.problem.seed, "first"), 4000)
    qualities_K = generator(study.problem.seed, "clips").binomial(NUM_CLIPS, study.quality(indices_KD)) / NUM_CLIPS
    costs_K = beta * np.abs(study.problem.ratios(indices_KD) - 1)
    return costs_K.var() / (qualities_K + costs_K).var()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_start_at_the_target_halves_the_share_of_cost_in_the_first_rewards(seed):
    study = make_study(seed, "macs=11.558G/clip")  # published A2, at the 5th percentile
    shares, ratios = {}, {}
    for name, start in STARTS.items():
        logits_DC = start(study.problem)
        shares[name] = cost_share(study, logits_DC, beta=-0.3)
        found_D, _ = search(study, reward="absolute", beta=-0.3, num_steps=300, num=2, logits_DC=logits_DC)
        ratios[name] = study.problem.ratios(found_D)[0]
    # cost and quality pull in opposite directions where networks are too large, so that a share may pass 1
    assert shares["uniform"] > 1
    assert shares["at-target"] < 0.6 * shares["uniform"]
    # over seeds 0 to 3 in [0.968, 1.088]
    assert ratios["at-target"] == pytest.approx(1, abs=0.12)
    assert ratios["uniform"] == pytest.approx(1, abs=0.12)
