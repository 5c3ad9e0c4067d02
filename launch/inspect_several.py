"""What `movinas inspect RUN RUN ...` shows: runs side by side, and what retraining made of what searches found."""

from collections.abc import Callable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from launch import console, glyphs
from launch.look import Look
from results.compare import Comparison, ComparisonReader, RunRow
from results.run_dir import RunDir, is_locked

FEW = 5
"""Runs up to which each has a column of its own; more have a row each."""


class SeveralView:
    """Runs, read further with every look at them."""

    def __init__(self, folders: Sequence[RunDir]) -> None:
        self._folders = folders
        self._reader = ComparisonReader(folders)

    def look(self) -> Look:
        """What there is now.

        Raises:
            JournalError: A run has no journal.
        """
        running = any(is_locked(folder) for folder in self._folders)  # a sweep before its first member, too
        found = self._reader.read()
        return Look(
            document=found.to_json(),
            screen=screen(found),
            ended=not running and all(row.status != "running" for row in found.rows),
            damages=[damage for row in found.rows for damage in row.damages],
        )


def screen(found: Comparison) -> RenderableType:
    """The tables of a comparison."""
    parts: list[RenderableType] = [_side_by_side(found.rows) if len(found.rows) <= FEW else _list(found.rows)]
    if len(found.strategies) > 1 or any(each.num_searches > 1 for each in found.strategies):
        parts += [Text("Strategies, means over finished searches", style="bold"), _strategies(found)]
    if found.pairs:
        parts += [Text("What a supernet said, and what training alone gave", style="bold"), _pairs(found)]
    warned = [row for row in found.rows if row.warnings]
    parts += [Text(f"! {row.name}: {warning}", style="yellow") for row in warned for warning in row.warnings]
    return Group(*parts)


_LINES: Sequence[tuple[str, Callable[[RunRow], str]]] = (
    ("kind", lambda row: row.kind),
    ("status", lambda row: row.status),
    ("steps or epochs", lambda row: f"{row.done:,} of {'?' if row.total is None else f'{row.total:,}'}"),
    ("time left", lambda row: console.duration(row.seconds_left) if row.seconds_left else ""),
    ("space", lambda row: row.space or ""),
    ("target", lambda row: row.target or ""),
    ("strategy", lambda row: row.strategy or ""),
    ("seed", lambda row: "" if row.seed is None else str(row.seed)),
    ("cost/target", lambda row: glyphs.number(row.ratio)),
    ("MACs", lambda row: "" if row.macs is None else console.count(row.macs)),
    ("state bytes", lambda row: "" if row.state_bytes is None else f"{row.state_bytes:,}"),
    ("entropy", lambda row: glyphs.number(row.entropy)),
    ("recent quality", lambda row: glyphs.number(row.recent_quality)),
    ("quality", lambda row: glyphs.number(row.quality)),
    ("random", lambda row: glyphs.number(row.random_quality)),
    ("gain", lambda row: "" if row.gain is None else f"{row.gain:+.3f}"),
    ("val", lambda row: glyphs.number(row.val_accuracy)),
    ("test", lambda row: glyphs.number(row.test_accuracy)),
    ("fingerprint", lambda row: (row.fingerprint or "")[:12]),
    ("course", lambda row: glyphs.course([point[1] for point in (row.trends or {}).get("quality", ())], width=24)),
)


def _side_by_side(rows: Sequence[RunRow]) -> Table:
    table = _table("", *(row.name for row in rows))
    for label, text in _LINES:
        cells = [text(row) for row in rows]
        if any(cells):
            table.add_row(label, *cells)
    return table


def _list(rows: Sequence[RunRow]) -> Table:
    lines = [(label, text) for label, text in _LINES if label != "course" and any(text(row) for row in rows)]
    table = _table("run", *(label for label, _ in lines))
    for row in rows:
        table.add_row(row.name, *(text(row) for _, text in lines))
    return table


def _strategies(found: Comparison) -> Table:
    differ = any(each.settings for each in found.strategies)
    headings = ("space", "target", "strategy", "searches", "quality", "above random", "off target")
    table = _table(*headings, *["where"] * differ)
    for each in found.strategies:
        table.add_row(
            each.space,
            each.target,
            each.strategy,
            str(each.num_searches),
            _spread(each.quality, each.quality_std),
            _spread(each.gain, each.gain_std),
            f"{each.off_target:.1%}",
            *[each.settings_text] * differ,
        )
    return table


def _pairs(found: Comparison) -> Table:
    table = _table("search", "origin", "supernet", "retraining", "val", "test", "fingerprint")
    for pair in found.pairs:
        table.add_row(
            pair.search,
            pair.origin,
            f"{pair.quality:.3f}",
            pair.retraining,
            glyphs.number(pair.val_accuracy),
            glyphs.number(pair.test_accuracy),
            pair.fingerprint[:12],
        )
    return table


def _spread(mean: float, std: float | None) -> str:
    return f"{mean:.3f}" if std is None else f"{mean:.3f} +- {std:.3f}"


def _table(*headings: str) -> Table:
    table = glyphs.table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
