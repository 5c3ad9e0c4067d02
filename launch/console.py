"""What people see: results on stdout, everything else on stderr; JSON where it was asked for."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from search_spaces.errors import printable
from search_spaces.strict_json import canonical, pretty

_out = Console(highlight=False, soft_wrap=True)
_log = Console(stderr=True, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def _broken_pipe_told() -> Iterator[None]:
    """A reader that has gone is told as `BrokenPipeError`: rich would end the program with exit code 1."""
    try:
        yield
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):
            raise stop.__context__ from None
        raise


def _safe(text: str) -> str:
    """A text of several lines that commands no terminal, whatever names files from outside brought into it."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def flush() -> None:
    """Write what is left of the result; where its reader has gone, drop it, so that nobody complains at the exit."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def show(text: str) -> None:
    """A line of a result.

    Raises:
        BrokenPipeError: Nobody reads any more; so do the others.
    """
    with _broken_pipe_told():
        _out.print(_safe(text), markup=False)


def show_json(document: object) -> None:
    """The result as one JSON document."""
    sys.stdout.write(pretty(document))


def show_json_line(document: object) -> None:
    """One of many JSON documents, each on a line that whoever reads gets at once."""
    sys.stdout.write(f"{canonical(document)}\n")
    sys.stdout.flush()


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table of a result; numbers are aligned to the right."""
    texts = [[_safe(str(cell)) for cell in row] for row in rows]
    show(title)
    table = Table(header_style="bold")
    for number, column in enumerate(columns):
        cells = [row[number] for row in texts if row[number]]
        numeric = all(cell[0].isdigit() or cell[0] in "-+." for cell in cells)
        table.add_column(Text(_safe(column)), justify="right" if numeric and cells else "left", overflow="fold")
    for text in texts:
        table.add_row(*map(Text, text))
    with _broken_pipe_told():
        _screen_console().print(table)


def show_screen(screen: RenderableType) -> None:
    """A result laid out with rich, as wide as the terminal, or 160 columns where there is none."""
    with _broken_pipe_told():
        _screen_console().print(screen)


@contextlib.contextmanager
def redrawn() -> Iterator[Callable[[RenderableType], None]]:
    """A function that shows a result laid out with rich in place of the one before, or below it without a terminal."""
    screen_console = _screen_console()
    if not screen_console.is_terminal:
        yield show_screen
        return
    with (
        _broken_pipe_told(),
        Live(console=screen_console, auto_refresh=False, vertical_overflow="ellipsis") as live,
    ):
        yield lambda screen: live.update(screen, refresh=True)


def _screen_console() -> Console:
    return Console(highlight=False, width=None if _out.is_terminal else 160)


def log(text: str) -> None:
    """A line about what is going on."""
    with _broken_pipe_told():
        _log.print(_safe(text), markup=False)


def error(text: str) -> None:
    """The one line of an error; the exit code says it too, so that it may be lost."""
    with contextlib.suppress(BrokenPipeError), _broken_pipe_told():
        _log.print(f"movinas: {_safe(text)}", markup=False, style="bold red" if _log.is_terminal else None)


def tell_saving() -> None:
    """Say that a run ends after its step; from a signal handler, and so past all buffers."""
    with contextlib.suppress(OSError):
        os.write(2, b"\ninterrupted: the run ends after this step, and is saved; interrupt again to end it at once\n")


class Progress:
    """One live line with rate and time left on a terminal; a line now and then elsewhere.

    Args:
        label: What is going on.
        total: Units of the whole work.
        done: Units done before.
    """

    def __init__(self, label: str, *, total: int, done: int = 0) -> None:
        self._label, self._total, self._first = label, total, done
        self._start = self._shown = time.monotonic()
        self._quiet_s = 0.2 if _log.is_terminal else 15.0

    def update(self, done: int, text: str = "") -> None:
        """Show that `done` units are finished, if it is time to."""
        now = time.monotonic()
        if now - self._shown < self._quiet_s and done < self._total:
            return
        self._shown = now
        rate = (done - self._first) / max(now - self._start, 1e-9)
        left = "" if rate <= 0 else f", {duration((self._total - done) / rate)} left"
        line = f"{self._label} {done}/{self._total}, {rate:.2f}/s{left}  {_safe(text)}".rstrip()
        if _log.is_terminal:
            end = "\n" if done >= self._total else "\r"
            _log.print(line.ljust(_log.width - 1)[: _log.width - 1], markup=False, end=end)
        else:
            log(line)


def duration(seconds: float) -> str:
    """A time span for people, such as `3 min 20 s`."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def count(value: float) -> str:
    """A count for people, such as `12.3 M`."""
    for factor, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.4g} {suffix}"
    return f"{value:.4g}"
