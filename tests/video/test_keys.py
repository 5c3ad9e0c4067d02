from collections import Counter
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.errors import UsageError
from video import keys as keys_module
from video.keys import SampleKey, balanced_keys, in_batches, micro_batches, training_keys
from video.sampling import View, views


@given(st.integers(1, 20), st.integers(0, 2**31), st.integers(0, 100), st.integers(0, 60), st.data())
def test_a_stretch_of_the_stream_is_the_same_however_it_is_cut(num_items, seed, position, count, data):
    whole = training_keys(num_items, seed, position=position, count=count)
    cut = data.draw(st.integers(0, count))
    head = training_keys(num_items, seed, position=position, count=cut)
    assert whole == head + training_keys(num_items, seed, position=position + cut, count=count - cut)


@given(st.integers(1, 30), st.integers(0, 1000), st.integers(0, 50))
def test_every_epoch_has_every_item_once(num_items, seed, epoch):
    keys = training_keys(num_items, seed, position=epoch * num_items, count=num_items)
    assert Counter(key.index for key in keys) == Counter(range(num_items))
    assert {key.epoch for key in keys} == {epoch}
    assert {key.view for key in keys} == {None}


def test_epochs_and_seeds_have_orders_of_their_own():
    first, second = (training_keys(50, 7, position=start, count=50) for start in (0, 50))
    assert [key.index for key in first] != [key.index for key in second]
    assert first != training_keys(50, 8, position=0, count=50)


def test_the_order_is_a_golden_one():
    assert [key.index for key in training_keys(8, 0, position=0, count=8)] == [0, 7, 2, 3, 5, 1, 4, 6]


def test_a_test_has_every_view_of_every_item():
    keys = list(keys_module.test_keys(2, views(2, 1)))
    first, second = View(position_index=0, num_positions=2), View(position_index=1, num_positions=2)
    assert keys == [SampleKey(index=index, view=view) for index in (0, 1) for view in (first, second)]


@given(st.integers(0, 30), st.integers(1, 7))
def test_batches_lose_nothing(num_keys, batch_size):
    keys = list(keys_module.test_keys(num_keys, views(1, 1)))
    batches = list(in_batches(keys, batch_size))
    assert [key for batch in batches for key in batch] == keys
    assert all(len(batch) == batch_size for batch in batches[:-1])


def test_batches_of_an_endless_stream():
    endless = (SampleKey(index=index) for index in iter(int, 1))
    assert len(list(islice(in_batches(endless, 3), 4))) == 4


def test_numbers_outside_their_range_are_refused():
    with pytest.raises(UsageError, match="index and epoch must be at least 0, but got index=-1, epoch=0"):
        SampleKey(index=-1)
    with pytest.raises(UsageError, match=r"there must be at least one item, .* but got num_items=0, position=0"):
        training_keys(0, 0, position=0, count=1)
    with pytest.raises(UsageError, match="batch_size must be at least 1, but got batch_size=0"):
        in_batches([], 0)


def test_ranks_with_one_micro_batch_each_read_what_one_rank_reads_in_as_many():
    batch = training_keys(50, 3, position=40, count=24)
    alone = micro_batches(batch, rank=0, ranks=1, per_rank=6)
    assert [key for part in alone for key in part] == list(batch)
    assert {len(part) for part in alone} == {4}
    for ranks in (2, 3, 6):
        parts = [micro_batches(batch, rank=rank, ranks=ranks, per_rank=6 // ranks) for rank in range(ranks)]
        assert tuple(part for parts_of_rank in parts for part in parts_of_rank) == alone


@pytest.mark.parametrize(("rank", "ranks", "per_rank"), [(0, 5, 1), (0, 2, 5), (0, 48, 1), (2, 2, 1)])
def test_a_batch_that_does_not_divide_is_refused(rank, ranks, per_rank):
    with pytest.raises(UsageError, match=f"{per_rank} for each of {ranks} ranks, but got 24 clips and rank {rank}"):
        micro_batches(training_keys(50, 3, position=0, count=24), rank=rank, ranks=ranks, per_rank=per_rank)


LABELS = ((0,), (2,), (0,), (0,), (5,), (0,), (2,))
"""Four videos of class 0, two of class 2, one of class 5."""


@given(st.integers(0, 2**31), st.integers(0, 100), st.integers(0, 60), st.data())
def test_a_stretch_of_a_balanced_stream_is_the_same_however_it_is_cut(seed, position, count, data):
    whole = balanced_keys(LABELS, seed, position=position, count=count)
    cut = data.draw(st.integers(0, count))
    head = balanced_keys(LABELS, seed, position=position, count=cut)
    assert whole == head + balanced_keys(LABELS, seed, position=position + cut, count=count - cut)


@given(st.integers(0, 2**31), st.integers(0, 40))
def test_every_turn_of_a_balanced_stream_holds_each_class_once(seed, turn):
    keys = balanced_keys(LABELS, seed, position=3 * turn, count=3)
    assert sorted(LABELS[key.index][0] for key in keys) == [0, 2, 5]


@given(st.integers(0, 2**31))
def test_a_class_goes_through_its_videos_in_epochs_of_its_own(seed):
    keys = balanced_keys(LABELS, seed, position=0, count=24)
    assert Counter(key.index for key in keys) == {0: 2, 2: 2, 3: 2, 5: 2, 1: 4, 6: 4, 4: 8}
    assert len(set(keys)) == 24  # never the same clip of a video twice
    assert [key.epoch for key in keys if key.index == 4] == list(range(8))
    zeros = [key for key in keys if LABELS[key.index] == (0,)]
    assert [key.epoch for key in zeros] == [0] * 4 + [1] * 4


def test_balanced_orders_differ_between_seeds_turns_and_epochs():
    streams = {balanced_keys(LABELS, seed, position=0, count=24) for seed in range(10)}
    assert len(streams) == 10
    order = [LABELS[key.index][0] for key in balanced_keys(LABELS, 0, position=0, count=60)]
    assert len({tuple(order[start : start + 3]) for start in range(0, 60, 3)}) == 6


def test_a_video_of_several_classes_is_drawn_for_each():
    keys = balanced_keys(((0, 1), (1,)), 3, position=0, count=8)
    assert Counter(key.index for key in keys) == {0: 6, 1: 2}


@pytest.mark.parametrize(("labels", "position", "count"), [((), 0, 1), (LABELS, -1, 1), (LABELS, 0, -1)])
def test_a_balanced_stream_needs_items_and_a_place(labels, position, count):
    with pytest.raises(UsageError, match="there must be at least one item, at a position of at least 0, but got "):
        balanced_keys(labels, 0, position=position, count=count)


def test_videos_without_any_class_are_not_drawn_by_class():
    assert {key.index for key in balanced_keys([(), (1,)], 0, position=0, count=4)} == {1}
    with pytest.raises(UsageError, match="drawn class by class must have classes, but none of them has any"):
        balanced_keys([(), ()], 0, position=0, count=4)
