import pytest
import torch

from launch.bench.machine import Machine, floored, in_turns, line_of, measure_machine
from search_spaces.floors import Floors

MACHINE = Machine(processor="P", threads=2, torch="T", matrix_gmacs_per_s=10.0, copy_gbytes_per_s=4.0)


def test_a_time_stands_beside_the_larger_floor():
    arithmetic = floored(30.0, Floors(macs=10**8, num_bytes=8 * 10**6), MACHINE)
    assert (arithmetic.arithmetic_floor_ms, arithmetic.bandwidth_floor_ms) == pytest.approx((10.0, 2.0))
    assert arithmetic.ratio == pytest.approx(3.0)
    assert floored(30.0, Floors(macs=10**7, num_bytes=8 * 10**6), MACHINE).ratio == pytest.approx(15.0)


def test_works_take_turns_and_the_first_does_not_count():
    done = []
    medians = in_turns((lambda: done.append("a"), lambda: done.append("b")), repeats=2)
    assert done == ["a", "b"] * 3
    assert len(medians) == 2


def test_this_machine_is_measured():
    before = torch.get_num_threads()
    try:
        machine = measure_machine(threads=1)
    finally:
        torch.set_num_threads(before)
    assert machine.matrix_gmacs_per_s > 0
    assert machine.copy_gbytes_per_s > 0
    assert "GMAC/s, copy at" in line_of(machine)
