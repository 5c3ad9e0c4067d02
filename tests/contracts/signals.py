"""Signals that a test sends to its own process, as the command line takes them."""

import contextlib
import os
import signal

from results import interruption


@contextlib.contextmanager
def listened():
    """SIGINT and SIGTERM as in the program; gives what was said of them."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    said = []
    try:
        for number in before:
            signal.signal(number, signal.SIG_DFL)
        interruption.listen(lambda: said.append("told"))
        yield said
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def tell(number=signal.SIGTERM):
    os.kill(os.getpid(), number)
