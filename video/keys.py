"""Which samples are read, in which order: a function of the seed and the position in the stream, nothing else."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from search_spaces.errors import UsageError
from search_spaces.randomness import generator
from video.sampling import View


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleKey:
    """One clip to be read.

    Attributes:
        index: Number of the video in the reader's items, from 0.
        epoch: Pass over the data, from 0; other epochs draw other clips of the same video.
        view: Which clip of a test; a random one of the epoch if not given.
    """

    index: int
    epoch: int = 0
    view: View | None = None

    def __post_init__(self) -> None:
        if self.index < 0 or self.epoch < 0:
            raise UsageError(f"index and epoch must be at least 0, but got index={self.index}, epoch={self.epoch}")


def training_keys(num_items: int, seed: int, *, position: int, count: int) -> tuple[SampleKey, ...]:
    """Positions [position, position + count) of an endless stream of epochs, each in an order of its own.

    Raises:
        UsageError: No items, or a negative position or count.
    """
    if num_items < 1 or position < 0 or count < 0:
        raise UsageError(
            "there must be at least one item, at a position of at least 0, but got "
            f"num_items={num_items}, position={position}, count={count}"
        )
    places = (divmod(place, num_items) for place in range(position, position + count))
    return tuple(
        SampleKey(index=int(_epoch_order(num_items, seed, epoch)[rank]), epoch=epoch) for epoch, rank in places
    )


def balanced_keys(labels: Sequence[Sequence[int]], seed: int, *, position: int, count: int) -> tuple[SampleKey, ...]:
    """Positions [position, position + count) of an endless stream in which all classes come equally often.

    Any C positions from a multiple of C on, the number of classes that occur, hold each class once, in an order of
    their own; each class goes through its own videos in epochs of its own, which is what a key's epoch counts.

    Args:
        labels: Classes of every item; an item of several is drawn for each of them.
        seed: Of the orders.
        position: In the stream.
        count: How many.

    Raises:
        UsageError: No items, none with a class, or a negative position or count.
    """
    if not labels or position < 0 or count < 0:
        raise UsageError(
            "there must be at least one item, at a position of at least 0, but got "
            f"num_items={len(labels)}, position={position}, count={count}"
        )
    if not any(labels):
        raise UsageError("videos that are drawn class by class must have classes, but none of them has any")
    members = _members(tuple(tuple(each) for each in labels))
    keys = []
    for place in range(position, position + count):
        turn, rank = divmod(place, len(members))
        number, indices = members[int(_order(len(members), seed, "order of classes", turn)[rank])]
        epoch, rank = divmod(turn, len(indices))
        order = _order(len(indices), seed, "order of a class", number, epoch)
        keys.append(SampleKey(index=indices[int(order[rank])], epoch=epoch))
    return tuple(keys)


def test_keys(num_items: int, views: Sequence[View]) -> Iterator[SampleKey]:
    """Every view of every item, views of one item next to each other."""
    return (SampleKey(index=index, view=view) for index in range(num_items) for view in views)


test_keys.__test__ = False  # type: ignore[attr-defined]  # so that pytest does not take it for a test


def micro_batches(
    keys: Sequence[SampleKey], *, rank: int, ranks: int, per_rank: int
) -> tuple[Sequence[SampleKey], ...]:
    """What one rank reads of the batch of a step: `per_rank` of `ranks * per_rank` equal parts, neighbours, in order.

    Raises:
        UsageError: The batch cannot be divided so.
    """
    size, rest = divmod(len(keys), ranks * per_rank)
    if rest or not size or not 0 <= rank < ranks:
        raise UsageError(
            f"a batch must divide into equal micro-batches, {per_rank} for each of {ranks} ranks, "
            f"but got {len(keys)} clips and rank {rank}"
        )
    first = rank * per_rank
    return tuple(keys[number * size : (number + 1) * size] for number in range(first, first + per_rank))


def in_batches(keys: Iterable[SampleKey], batch_size: int) -> Iterator[tuple[SampleKey, ...]]:
    """Groups of `batch_size`, the last one as it comes.

    Raises:
        UsageError: A batch size below 1.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, but got batch_size={batch_size}")
    return _groups(iter(keys), batch_size)


def _groups(keys: Iterator[SampleKey], size: int) -> Iterator[tuple[SampleKey, ...]]:
    while group := tuple(islice(keys, size)):
        yield group


@lru_cache(maxsize=4)
def _epoch_order(num_items: int, seed: int, epoch: int) -> NDArray[np.int64]:
    order = generator(seed, "order", epoch).permutation(num_items)
    order.flags.writeable = False
    return order


@lru_cache(maxsize=1 << 12)
def _order(size: int, seed: int, *purpose: int | str) -> NDArray[np.int64]:
    order = generator(seed, *purpose).permutation(size)
    order.flags.writeable = False
    return order


@lru_cache(maxsize=4)
def _members(labels: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Classes that occur, ascending, with the items of each."""
    members: dict[int, list[int]] = {}
    for index, each in enumerate(labels):
        for label in each:
            members.setdefault(label, []).append(index)
    return tuple((label, tuple(members[label])) for label in sorted(members))
