"""Networks that together have every part of a space."""

from collections import Counter

import pytest
from made_spaces import TINY, TINY_CHOSEN, every_row

from launch.bench.cover import cover, entries_of
from search_spaces.latency_table import keys_of
from search_spaces.movinet import NANO
from search_spaces.variant import VARIANTS

STREAM = VARIANTS["paper-stream"]


@pytest.mark.parametrize("space", [TINY, TINY_CHOSEN, NANO], ids=["tiny", "chosen", "nano"])
def test_every_entry_stands_in_enough_networks_of_the_space(space):
    networks = cover(space, STREAM, rounds=2, seed=0)
    counts = Counter(key for each in networks for key in set(keys_of(each.spec)))
    assert set(counts) == set(entries_of(space))
    times = Counter(key for each in networks for key in keys_of(each.spec))
    assert min(times.values()) == 2
    assert all(space.contains(each.spec) for each in networks[:20])


def test_no_more_networks_than_the_first_layers_ask_for():
    widths, codes = len(NANO.width_multipliers), len(NANO.kernels) * len(NANO.expansions) * len(NANO.se)
    assert len(cover(NANO, STREAM, rounds=1, seed=0)) <= 1.02 * widths**2 * codes


def test_a_cover_is_that_of_its_seed():
    first, same, other = (cover(TINY, STREAM, rounds=1, seed=seed) for seed in (0, 0, 1))
    assert first == same != other


def test_entries_are_those_of_all_networks():
    asked = {key for row_D in every_row(TINY) for key in keys_of(TINY.decode(TINY.genotype(row_D), STREAM).spec)}
    assert set(entries_of(TINY)) == asked
