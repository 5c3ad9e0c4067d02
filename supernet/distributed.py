"""The processes that train one network, or one supernet, together: who is who, and what they tell each other.

Every rank holds all weights, runs its own micro-batches or architectures, and adds up its gradients; one message per
step makes them those of all ranks, added in an order that their number alone decides. So whatever runs the network
between two steps, once or sub-clip by sub-clip, needs to know nothing of ranks, which a wrapper around its forward,
such as torch's `DistributedDataParallel`, would not allow.

Letters: R ranks, S numbers of a row.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import zip_longest
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from search_spaces.errors import RankLostError, UsageError

T = TypeVar("T")

PATIENCE = timedelta(minutes=10)
"""How long a rank waits for one that neither answers nor ends; the loss of one that ended is seen at once."""
_NOTHING: Any = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """The processes of a training or search, as one of them sees them.

    Attributes:
        rank: Number of this one, from 0; the first alone writes.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.size:
            raise UsageError(f"a rank must be in [0, {self.size}), but got {self.rank}")

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all ranks, in one message; the same numbers on every rank.

        Args:
            tensors: Of one type and device, of the same shapes on every rank.

        Raises:
            RankLostError: Another rank has ended.
        """
        if self.size == 1:
            return
        sizes = [tensor.numel() for tensor in tensors]
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        with _in_contact():
            dist.all_reduce(flat)
        with torch.no_grad():
            for tensor, sums in zip(tensors, torch.split(flat, sizes), strict=True):
                tensor.copy_(sums.view(tensor.shape))

    def add_gradients(self, weights: Iterable[Tensor]) -> None:
        """Replace gradients by their sums over all ranks; a weight that some ranks did not run counts as zero there.

        A weight that no rank ran keeps no gradient, and so stays as it is, with its moments, on one rank or many.

        Args:
            weights: In the same order on every rank.

        Raises:
            RankLostError: As `add`.
        """
        if self.size == 1:
            return
        every = list(weights)
        nums_ran = torch.tensor([weight.grad is not None for weight in every], dtype=torch.int32)
        self.add([nums_ran])
        gradients = []
        for weight, num_ran in zip(every, nums_ran.tolist(), strict=True):
            if num_ran and weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            if weight.grad is not None:
                gradients.append(weight.grad)
        self.add(gradients)

    def mine(self, count: int) -> range:
        """Of so many items, those of this rank: every `size`-th from its number on."""
        return range(self.rank, count, self.size)

    def from_first(self, make: Callable[[], T]) -> T:
        """What the first rank makes, for all of them; the others do not call `make`.

        Raises:
            RankLostError: As `add`.
        """
        if self.size == 1:
            return make()
        made: list[Any] = [make() if self.is_first else None]
        with _in_contact():
            dist.broadcast_object_list(made)
        result: T = made[0]
        return result

    def gathered(self, value: T) -> list[T]:
        """The value of every rank, in their order.

        Raises:
            RankLostError: As `add`.
        """
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        with _in_contact():
            dist.all_gather_object(values, value)
        return values

    def interleaved(self, mine: Sequence[T]) -> list[T]:
        """The items of all ranks, of which each has its own (`mine`), in their order.

        Raises:
            RankLostError: As `add`.
        """
        rounds = zip_longest(*self.gathered(mine), fillvalue=_NOTHING)
        return [item for items in rounds for item in items if item is not _NOTHING]

    def rows(self, row_S: Tensor) -> Tensor:
        """The rows (R, S) of all ranks; gradients by them come back from all ranks, too.

        Raises:
            RankLostError: As `add`.
        """
        rows_RS: Tensor = _Rows.apply(row_S, self)  # type: ignore[no-untyped-call]
        return rows_RS


ALONE = Ranks()


def backend_of(*, cuda: bool) -> str:
    """How ranks talk to each other, as `torch.distributed` names it."""
    return "cpu:gloo,cuda:nccl" if cuda else "gloo"


@contextlib.contextmanager
def joined(*, rank: int, size: int, rendezvous: str) -> Iterator[Ranks]:
    """Meet the other ranks, and stay in contact with them within the context.

    Args:
        rank: Of this process.
        size: How many there are; one is in contact with nobody.
        rendezvous: Where they meet, as `torch.distributed` names it: `env://`, or `file://` and a path.

    Raises:
        RankLostError: They did not all come.
    """
    if size == 1:
        yield ALONE
        return
    backend = backend_of(cuda=torch.cuda.is_available())
    with _in_contact():
        dist.init_process_group(backend, init_method=rendezvous, rank=rank, world_size=size, timeout=PATIENCE)
    yield Ranks(rank=rank, size=size)
    dist.destroy_process_group()  # not after an error, which ends the process, and with it the contact


@contextlib.contextmanager
def _in_contact() -> Iterator[None]:
    """The backends tell of a lost rank by errors of many kinds, all of them of this one."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        raise RankLostError(
            f"all ranks must stay in contact until the end, but another was lost ({reason}); "
            "the run goes on with: movinas resume RUN"
        ) from error


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, row_S: Tensor, ranks: Ranks) -> Tensor:  # noqa: ANN401
        ctx.ranks = ranks
        rows = [torch.empty_like(row_S) for _ in range(ranks.size)]
        with _in_contact():
            dist.all_gather(rows, row_S.contiguous())
        return torch.stack(rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_RS: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        g_RS = g_RS.contiguous().clone()
        with _in_contact():
            dist.all_reduce(g_RS)
        return g_RS[ctx.ranks.rank], None
