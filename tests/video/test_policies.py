"""RandAugment and AutoAugment: what they draw, and that a clip has one draw."""

from collections import Counter

import numpy as np
import pytest

from search_spaces.randomness import generator
from video import policies
from video.operations import BLENDS, MOVES, OPERATIONS
from video.policies import AUTOAUGMENT, RANDAUGMENT, autoaugment, randaugment

CLIP = np.random.default_rng(0).integers(0, 256, (4, 12, 12, 3)).astype(np.uint8)


def rand(clip, draws, magnitude=7.0):
    return randaugment(clip, draws, num_operations=2, magnitude=magnitude)


@pytest.fixture
def done(monkeypatch):
    """Names and amounts of the operations that were done."""
    found = []
    spies = {name: lambda clip, amount, name=name: found.append((name, amount)) or clip for name in OPERATIONS}
    monkeypatch.setattr(policies, "OPERATIONS", spies)
    return found


@pytest.mark.parametrize("policy", [rand, autoaugment])
def test_one_draw_serves_all_frames(policy):
    order, changed = [2, 0, 3, 1], 0
    for seed in range(60):
        whole = policy(CLIP, generator(seed))
        np.testing.assert_array_equal(policy(CLIP, generator(seed)), whole)
        np.testing.assert_array_equal(policy(CLIP[order], generator(seed)), whole[order])
        still = policy(np.repeat(CLIP[:1], 3, axis=0), generator(seed))
        assert (still == still[:1]).all()
        changed += not np.array_equal(whole, CLIP)
    assert changed > 30


def test_randaugment_draws_two_of_fourteen_in_both_directions(done):
    draws = generator(1)
    for _ in range(700):
        rand(CLIP, draws)
    names = Counter(name for name, _ in done)
    assert sum(names.values()) == 1400
    assert set(names) == set(RANDAUGMENT)
    assert len(names) == 14
    assert min(names.values()) > 60
    for name in names:
        amounts = {amount for other, amount in done if other == name}
        assert amounts == ({0.7, -0.7} if name in BLENDS | MOVES else {0.7})


def test_autoaugment_has_the_25_pairs_of_its_table(done):
    """Cubuk et al., 2019, Table 9: its first and last rows, how often each operation stands there."""
    assert len(AUTOAUGMENT) == 25
    assert AUTOAUGMENT[0] == (("posterize", 0.4, 8), ("rotate", 0.6, 9))
    assert AUTOAUGMENT[-1] == (("equalize", 0.8, 8), ("equalize", 0.6, 3))
    counts = Counter(name for pair in AUTOAUGMENT for name, _, _ in pair)
    assert counts["equalize"] == 17
    assert counts["solarize"] == 7
    draws, num_clips = generator(2), 5000
    for _ in range(num_clips):
        autoaugment(CLIP, draws)
    names = Counter(name for name, _ in done)
    for name in counts:
        wanted = sum(chance for pair in AUTOAUGMENT for other, chance, _ in pair if other == name) / 25
        assert names[name] / num_clips == pytest.approx(wanted, abs=0.04)


def test_levels_of_autoaugment_span_the_range(done):
    draws = generator(3)
    for _ in range(3000):
        autoaugment(CLIP, draws)
    amounts = {name: {round(amount, 6) for other, amount in done if other == name} for name, _ in done}
    assert amounts["rotate"] == {round(sign * level / 9, 6) for sign in (1, -1) for level in (3, 8, 9)}
    assert amounts["color"] == {round(2 * level / 9 - 1, 6) for level in (0, 2, 4, 8)}  # 0 is a tenth of the colour
    assert amounts["posterize"] == {round(level / 9, 6) for level in (5, 6, 7, 8)}
