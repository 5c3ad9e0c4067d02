import pytest

from nas.reward import REWARDS, absolute, mnas, mnas_hard


# tunas.md 1.3, by hand: 2 ** -0.07 = 0.952638, 2 ** 0.07 = 1.049717
@pytest.mark.parametrize(
    ("reward", "quality", "ratio", "beta", "expected"),
    [
        (absolute, 0.7, 1.0, -0.3, 0.7),
        (absolute, 0.7, 1.2, -0.3, 0.64),
        (absolute, 0.7, 0.8, -0.3, 0.64),
        (absolute, 0.0, 11.0, -0.3, -3.0),
        (mnas, 0.7, 1.0, -0.07, 0.7),
        (mnas, 0.5, 2.0, -0.07, 0.5 * 0.952638),
        (mnas, 0.5, 0.5, -0.07, 0.5 * 1.049717),
        (mnas_hard, 0.5, 2.0, -0.07, 0.5 * 0.952638),
        (mnas_hard, 0.5, 0.5, -0.07, 0.5),
        (mnas_hard, 0.5, 1.0, -0.07, 0.5),
    ],
)
def test_formulas(reward, quality, ratio, beta, expected):
    assert reward(quality, ratio, beta) == pytest.approx(expected, abs=1e-6)


def test_only_the_absolute_reward_punishes_a_cost_below_the_target():
    below = {name: reward(0.5, 0.9, -0.3) for name, reward in REWARDS.items()}
    assert below["absolute"] < 0.5
    assert below["mnas"] > 0.5
    assert below["mnas_hard"] == 0.5


@pytest.mark.parametrize(
    ("reward", "expected"),
    [
        (absolute, 0.7 - 0.3 * (0.2 + 1.0 + 0.5)),
        (mnas, 0.7 * 1.2**-0.3 * 2**-0.3 * 1.5**-0.3),
        (mnas_hard, 0.7 * 1.2**-0.3 * 2**-0.3 * 1.5**-0.3),
    ],
)
def test_every_limit_counts_beyond_it_alone(reward, expected):
    assert reward(0.7, 1.2, -0.3, (2.0, 0.3, 1.0, 1.5)) == pytest.approx(expected)
    assert reward(0.7, 1.2, -0.3, (0.3, 1.0)) == pytest.approx(reward(0.7, 1.2, -0.3))


def test_names():
    assert dict(REWARDS) == {"absolute": absolute, "mnas": mnas, "mnas_hard": mnas_hard}
