"""Times of networks and parts: what counts as undisturbed, and how visits become entries."""

import time

import numpy as np
import pytest
from made_spaces import TINY
from made_tables import DEVICE, STREAM

from launch.bench.cover import cover
from launch.bench.latency import (
    PATIENCE,
    Timed,
    Visit,
    check_device,
    combined,
    interleaved,
    resistant_line,
    this_device,
    undisturbed,
)
from search_spaces.errors import LatencyTableError, UsageError
from search_spaces.latency_table import CALL, keys_of
from search_spaces.randomness import generator
from supernet.frozen import FrozenNet
from supernet.native.build import SWITCH, library
from supernet.video_net import VideoNet

NETWORKS = cover(TINY, STREAM, rounds=2, seed=0)


def test_so_many_calls_count_even_where_all_are_disturbed(monkeypatch):
    switches = iter(range(10_000))
    monkeypatch.setattr("launch.bench.latency._switches", lambda: next(switches))
    results = iter(range(1000))
    found = undisturbed(lambda: time.sleep(0.002 if (number := next(results)) % 2 else 0.0) or number, calls=3)
    assert len(found) == 3
    assert next(results) == 3 * PATIENCE
    assert all(number % 2 == 0 for _, number in found)  # the fastest


def test_disturbed_calls_do_not_count(monkeypatch):
    switches = iter([0, 1, 1, 1, 1, 2, 2, 2])  # before and after each call; the first and third lost the processor
    monkeypatch.setattr("launch.bench.latency._switches", lambda: next(switches))
    results = iter("abcd")
    assert [result for _, result in undisturbed(lambda: next(results), calls=2)] == ["b", "d"]


def test_every_part_of_a_network_has_its_time():
    net = Timed(NETWORKS[0], per="frame", num_classes=7)
    visit = net.visit(calls=5)
    assert len(visit.parts) == len(keys_of(NETWORKS[0].spec))
    assert all(part > 0 for part in visit.parts)
    assert visit.rest < 10 * sum(visit.parts)
    assert net.seconds(calls=1) > 0
    assert interleaved([net, net], calls=1, rounds=3).shape == (3, 2)
    assert len(Timed(NETWORKS[0], per="clip", num_classes=7).visit(calls=1).parts) == len(visit.parts)


def test_parts_of_what_is_no_single_call_are_refused(monkeypatch):
    monkeypatch.setattr("supernet.native.usable", lambda *tensors: False)
    net = FrozenNet(VideoNet(NETWORKS[0].spec, STREAM, num_classes=7).eval())
    with pytest.raises(UsageError, match="parts must be timed on a network that runs as one call"):
        net.part_seconds(np.zeros((1, 3, 1, 30, 30)))


def test_entries_of_additive_networks_are_found_exactly():
    times = {}
    rng = generator(0, "times")
    for key in sorted({key for each in NETWORKS for key in keys_of(each.spec)}):
        times[key] = float(rng.uniform(1e-4, 1e-3))
    visits = []
    for each in NETWORKS:
        parts = tuple(times[key] for key in keys_of(each.spec))
        visits.append(Visit(parts=parts, rest=2e-4 + 0.1 * sum(parts)))
    visits[3] = Visit(parts=visits[3].parts, rest=1.0)  # the machine was away
    found, spread = combined(NETWORKS, visits)
    assert found.pop(CALL) == pytest.approx(2e-4)
    assert found == pytest.approx({key: 1.1 * seconds for key, seconds in times.items()})
    assert spread == pytest.approx(0)


def test_a_line_that_outliers_do_not_move():
    x_N = np.arange(30.0)
    y_N = 3 + 2 * x_N
    y_N[[12, 15]] = 1000
    assert resistant_line(x_N, y_N) == pytest.approx((3, 2))
    y_N[[3, 28]] = 1000, 0
    assert resistant_line(x_N, y_N)[1] == pytest.approx(2, rel=0.15)
    assert resistant_line(np.ones(5), np.full(5, 4.0)) == (3, 1)
    assert resistant_line(np.ones(2), np.full(2, 4.0)) == (3, 1)


def test_a_line_never_falls():
    """Else disturbed calls would make the times of entries negative."""
    x_N = np.arange(30.0)
    assert resistant_line(x_N, 100 - x_N) == (71, 1)


def test_the_device_is_this_one_and_no_other(monkeypatch):
    here = this_device(threads=1)
    check_device(here, wanted=here)
    assert len(here.kernels) == 32
    with pytest.raises(LatencyTableError, match=r"must be of this device, but are of another: processor 'abacus' and "):
        check_device(DEVICE, wanted=here)
    library.cache_clear()
    monkeypatch.setenv(SWITCH, "0")
    try:
        with pytest.raises(UsageError, match="must be measured with the kernels that movinas builds"):
            this_device(threads=1)
    finally:
        library.cache_clear()
