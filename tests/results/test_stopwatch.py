"""Each second counts once."""

import time

import pytest

from results.stopwatch import Stopwatch


def test_an_inner_phase_interrupts_the_outer_one():
    stopwatch = Stopwatch()
    begin = time.perf_counter()
    with stopwatch.phase("outer"):
        time.sleep(0.02)
        with stopwatch.phase("inner"):
            time.sleep(0.03)
        time.sleep(0.02)
    whole = time.perf_counter() - begin
    seconds = stopwatch.take()
    assert set(seconds) == {"outer", "inner"}
    assert seconds["inner"] >= 0.03
    assert seconds["outer"] >= 0.04
    assert sum(seconds.values()) == pytest.approx(whole, abs=2e-3)
    assert stopwatch.take() == {}


def test_a_phase_ends_with_an_error_too():
    stopwatch = Stopwatch()
    with pytest.raises(ValueError, match="inside"), stopwatch.phase("a"):
        raise ValueError("inside")
    with stopwatch.phase("b"):
        pass
    assert set(stopwatch.take()) == {"a", "b"}
