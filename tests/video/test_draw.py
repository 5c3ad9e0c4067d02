"""Draws of splits: stratified, seeded, groups whole."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.randomness import generator
from video.annotations.draw import Candidate, draw_splits, split_counts

RATIOS = (0.7, 0.15, 0.15)
SHARES = st.tuples(st.integers(1, 10), st.integers(0, 10), st.integers(0, 10)).map(
    lambda parts: tuple(part / sum(parts) for part in parts)
)


@given(st.integers(0, 200), SHARES)
def test_counts_add_up_and_stay_near_the_shares(num_videos, ratios):
    counts = split_counts(num_videos, ratios)
    assert sum(counts) == num_videos
    assert min(counts) >= 0
    with_share = [count for count, ratio in zip(counts, ratios, strict=True) if ratio > 0]
    assert len(with_share) == 3 or all(count == 0 for count, ratio in zip(counts, ratios, strict=True) if ratio == 0)
    if num_videos >= len(with_share):
        assert min(with_share) >= 1
    assert all(abs(count - num_videos * ratio) <= 2 for count, ratio in zip(counts, ratios, strict=True))


def test_counts_by_hand():
    assert split_counts(100, (0.7, 0.15, 0.15)) == (70, 15, 15)
    assert split_counts(10, (0.7, 0.15, 0.15)) == (7, 2, 1)
    assert split_counts(3, (0.7, 0.15, 0.15)) == (1, 1, 1)
    assert split_counts(2, (0.7, 0.15, 0.15)) == (1, 1, 0)
    assert split_counts(1, (0.7, 0.15, 0.15)) == (1, 0, 0)
    assert split_counts(5, (1.0, 0.0, 0.0)) == (5, 0, 0)


@st.composite
def grouped(draw):
    """Videos of persons that show several classes each, as Charades has them."""
    num_groups = draw(st.integers(6, 25))
    return [
        Candidate(
            tuple(sorted(draw(st.sets(st.sampled_from("abcde"), max_size=3)))),
            draw(st.none() | st.just(f"person {group}")),
        )
        for group in range(num_groups)
        for _ in range(draw(st.integers(1, 5)))
    ]


@settings(max_examples=30)
@given(grouped(), st.integers(0, 5))
def test_groups_never_straddle_and_shares_are_near(videos, seed):
    splits = draw_splits(videos, RATIOS, seed=seed)
    assert splits == draw_splits(videos, RATIOS, seed=seed)
    where = {}
    for video, split in zip(videos, splits, strict=True):
        if video.group is not None:
            where.setdefault(video.group, set()).add(split)
    assert all(len(found) == 1 for found in where.values())
    largest = max(Counter(video.group for video in videos if video.group).values(), default=1)
    counts = Counter(splits)
    for split, ratio in zip(("train", "val", "test"), RATIOS, strict=True):
        assert abs(counts[split] - ratio * len(videos)) <= 6 * (largest + 1)


def test_a_draw_of_groups_is_stratified():
    random = generator(0, "test")
    videos = [
        Candidate((f"class {label}",), f"person {person}")
        for person in range(60)
        for label in range(10)
        for _ in range(int(random.integers(1, 4)))
    ]
    splits = draw_splits(videos, RATIOS, seed=1)
    totals = Counter(video.classes[0] for video in videos)
    trained = Counter(video.classes[0] for video, split in zip(videos, splits, strict=True) if split == "train")
    assert all(trained[name] / total == pytest.approx(0.7, abs=0.05) for name, total in totals.items())
    assert splits != draw_splits(videos, RATIOS, seed=2)


def test_a_rare_class_is_trained_on():
    videos = [Candidate(("often",), f"g{index}") for index in range(30)] + [Candidate(("rare",), "only")]
    assert draw_splits(videos, RATIOS, seed=0)[-1] == "train"


def test_a_split_without_a_share_gets_nothing():
    videos = [Candidate(("x",), f"g{index % 7}") for index in range(30)]
    assert "test" not in draw_splits(videos, (0.8, 0.2, 0.0), seed=0)
