"""The disk fails, or the process is killed, at the n-th call to the system."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

CALLS = ("open", "write", "fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "ftruncate")


@contextmanager
def at_call(number: int, act: Callable[[str, tuple[object, ...]], None]) -> Iterator[list[str]]:
    """Do `act` instead of the n-th of the calls, from 1; gives the names of the calls so far."""
    seen: list[str] = []
    real = {name: getattr(os, name) for name in CALLS}

    def wrapped(name: str) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            seen.append(name)
            if len(seen) == number:
                act(name, args)
            return real[name](*args, **kwargs)

        return call

    try:
        for name in CALLS:
            setattr(os, name, wrapped(name))
        yield seen
    finally:
        for name in CALLS:
            setattr(os, name, real[name])


def fails(code: int) -> Callable[[str, tuple[object, ...]], None]:
    def act(name: str, args: tuple[object, ...]) -> None:
        raise OSError(code, os.strerror(code))

    return act


def num_calls(operation: Callable[[], object]) -> int:
    with at_call(0, fails(0)) as seen:
        operation()
    return len(seen)


def killed_at(number: int, operation: Callable[[], object]) -> bool:
    """Run in a child that is killed in its n-th call, half-way if it writes; false if it ended before."""
    real_write = os.write

    def die(name: str, args: tuple[object, ...]) -> None:
        if name == "write":
            descriptor, data = args
            real_write(descriptor, bytes(data)[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        with at_call(number, die):
            try:
                operation()
            finally:
                os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)
