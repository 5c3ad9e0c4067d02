"""The processes of a data parallel training: those of this machine, started here, or those that torchrun started."""

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TypeVar

from results import interruption
from search_spaces.errors import MovinasError, RankLostError, UsageError
from supernet.distributed import ALONE, Ranks, joined

T = TypeVar("T")

RankMain = Callable[[T, Ranks], None]
"""What every rank does; a function of a module, for it is named to new processes."""

GRACE_S = 2.0
"""After the first rank that fails, how long the others have to say why they fail too."""
END_S = 20.0
"""How long a rank that is told to end may take."""
INTERRUPTED = 130
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@contextlib.contextmanager
def torchrun_ranks() -> Iterator[Ranks]:
    """The ranks of torchrun, or of whoever sets its variables for one process each; this process alone without them.

    Raises:
        UsageError: A variable is not as torchrun sets it.
        RankLostError: The others did not come.
    """
    if any(name not in os.environ for name in _VARIABLES):
        yield ALONE
        return
    try:
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    except ValueError as error:
        raise UsageError("RANK and WORLD_SIZE must be whole numbers, as torchrun sets them") from error
    with joined(rank=rank, size=size, rendezvous="env://") as ranks:
        yield ranks


def local_number(name: str, default: int) -> int:
    """RANK, WORLD_SIZE, LOCAL_RANK or LOCAL_WORLD_SIZE, as torchrun, Ray Train and `run_ranks` set them.

    Raises:
        UsageError: It is no whole number.
    """
    text = os.environ.get(name, "")
    if text and not text.isdigit():
        raise UsageError(f"{name} must be a whole number, but got {text!r}")
    return int(text) if text else default


def run_ranks(main: RankMain[T], argument: T, *, size: int) -> None:
    """Run `main(argument, ranks)` on ranks of this machine, each a process, until all have ended.

    The first that fails ends the others, and so does the end of this process, however it comes.

    Raises:
        RankLostError: A rank was killed.
        MovinasError: What a rank raised.
    """
    context = multiprocessing.get_context("spawn")
    crew: list[_Rank] = []
    with tempfile.TemporaryDirectory(prefix="movinas-ranks-") as folder:
        try:
            for rank in range(size):
                link, theirs = context.Pipe()
                place = _Place(rank=rank, size=size, rendezvous=f"file://{Path(folder) / 'rendezvous'}")
                process = context.Process(target=_rank_process, args=(theirs, place, main, argument))
                process.start()
                theirs.close()
                crew.append(_Rank(rank=rank, process=process, link=link))
            _wait_for(crew)
        finally:
            _end(crew)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    rank: int
    size: int
    rendezvous: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rank:
    rank: int
    process: BaseProcess
    link: Connection


def _wait_for(crew: list[_Rank]) -> None:
    """Return when all have ended well.

    Raises:
        MovinasError: One has not: what it raised, rather than that others lost contact with it.
    """
    running = {member.process.sentinel: member for member in crew}
    failed: list[MovinasError] = []
    deadline: float | None = None
    while running and (deadline is None or time.monotonic() < deadline):
        for sentinel in wait(list(running), timeout=GRACE_S):
            assert isinstance(sentinel, int)
            error = _error_of(running.pop(sentinel), size=len(crew))
            if error is not None:
                failed.append(error)
                deadline = deadline or time.monotonic() + GRACE_S
    if failed:
        raise min(failed, key=lambda error: isinstance(error, RankLostError) and error.where is None)


def _error_of(member: _Rank, *, size: int) -> MovinasError | None:
    member.process.join()
    code = member.process.exitcode
    with contextlib.suppress(EOFError, OSError):
        if member.link.poll():
            error = member.link.recv()
            assert isinstance(error, MovinasError)
            return error
    if code == 0:
        return None
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    how = f"was killed by {signal.Signals(-code).name}" if code and code < 0 else f"ended with exit code {code}"
    return RankLostError(
        f"it must stay until the end, but {how}; the run goes on with: movinas resume RUN",
        where=f"rank {member.rank} of {size}",
    )


def _end(crew: list[_Rank]) -> None:
    for member in crew:
        if member.process.is_alive():
            member.process.terminate()
    deadline = time.monotonic() + END_S
    try:
        for member in crew:
            member.process.join(max(0.0, deadline - time.monotonic()))
    finally:  # also where a second interrupt comes
        for member in crew:
            if member.process.is_alive():
                member.process.kill()
                member.process.join()
            member.link.close()


def _rank_process(link: Connection, place: _Place, main: RankMain[T], argument: T) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    interruption.listen(_say_nothing)
    threading.Thread(target=_end_with_parent, args=(link,), daemon=True).start()
    os.environ.update(LOCAL_RANK=str(place.rank), LOCAL_WORLD_SIZE=str(place.size))
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # nobody else is to reach these ranks
    code = INTERRUPTED
    with contextlib.suppress(KeyboardInterrupt):  # one may follow the other, from the terminal and from the parent
        code = _exit_code(link, place, main, argument)
    sys.exit(code)


def _exit_code(link: Connection, place: _Place, main: RankMain[T], argument: T) -> int:
    try:
        with joined(rank=place.rank, size=place.size, rendezvous=place.rendezvous) as ranks:
            main(argument, ranks)
    except (MovinasError, KeyboardInterrupt) as error:
        others_ended = isinstance(error, RankLostError) and interruption.told()  # by the same signal
        if isinstance(error, MovinasError) and not others_ended:
            link.send(error)
            return error.exit_code
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        return INTERRUPTED
    return 0


def _end_with_parent(link: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        link.recv()  # the parent says nothing; its end closes the link
    os._exit(1)


def _say_nothing() -> None:
    """The parent is told the same, and speaks for all."""
