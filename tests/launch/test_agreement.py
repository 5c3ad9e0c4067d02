"""Agreement of predicted and measured times, by hand."""

import numpy as np
import pytest

from launch.bench.agreement import agreement, kendall_tau


@pytest.mark.parametrize(
    ("x", "y", "tau"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 40], 1.0),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1.0),
        ([1, 2, 3, 4], [1, 3, 2, 4], 4 / 6),  # 5 pairs in order, 1 not
        ([1, 1, 2, 3], [1, 2, 3, 4], 5 / (5 * 6) ** 0.5),  # 5 of 6 pairs untied in x
        ([1, 1, 1], [1, 2, 3], 0.0),
    ],
)
def test_tau(x, y, tau):
    assert kendall_tau(np.array(x, dtype=float), np.array(y, dtype=float)) == pytest.approx(tau)


def test_errors_and_their_intervals():
    predicted_N, measured_N = np.array([1.1, 1.8, 3.0, 4.4]), np.array([1.0, 2.0, 3.0, 4.0])
    found = agreement(predicted_N, measured_N)
    assert found.n == 4
    assert found.mape == pytest.approx((0.1 + 0.1 + 0 + 0.1) / 4)
    assert found.bias == pytest.approx(0.05)  # of 1.1, 0.9, 1 and 1.1
    assert found.tau == 1
    assert found.mape_interval[0] < found.mape < found.mape_interval[1] <= 0.1 + 1e-9
    assert found == agreement(predicted_N, measured_N)
