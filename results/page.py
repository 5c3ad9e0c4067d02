"""The page of a report: sections of text, tables and figures in one HTML file that needs nothing from outside.

Everything that comes from a run is escaped: by Jinja in the page, by `figures` in Plotly's texts. The scripts are
allowed by their hashes and nothing may be loaded, so a hole in the escaping would still run nothing.
"""

import base64
import csv
import hashlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from results.figures import Figure
from results.files import replace_file
from search_spaces.errors import JournalError, RunFolderError

Cell = str | float | int | bool | None

_FORMULAS = tuple("=+-@\t\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text under headings; the columns in `numeric` are aligned right."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the page.

    Attributes:
        note: Text under the heading, how to read what follows.
        drawing: An SVG element of ours, with everything in it escaped.
        slider: One label per position of a slider that moves the frames of the section's figures.
        folded: Title and text of parts that the reader opens.
    """

    heading: str
    note: str = ""
    figures: Sequence[Figure] = ()
    drawing: str = ""
    table: Table | None = None
    slider: Sequence[str] = ()
    folded: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A whole report.

    Attributes:
        facts: Label and value, the headline table.
        warnings: What looks wrong, a line each.
    """

    title: str
    status: str
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section]
    warnings: Sequence[str] = ()


def write_page(path: Path, page: Page) -> Path:
    """Write the page, replacing an earlier one, and beside it the numbers behind each figure, one CSV file each.

    Raises:
        RunFolderError: The folder cannot be written.
    """
    texts = {csv_name(figure): _csv(figure.numbers()) for section in page.sections for figure in section.figures}
    folder = path.with_name(f"{path.stem}_csv")
    try:
        folder.mkdir(exist_ok=True)
        for name, text in texts.items():
            replace_file(folder / name, text.encode())
        for stale in {each.name for each in folder.glob("*.csv")} - set(texts):
            (folder / stale).unlink()
        replace_file(path, render(page, csv_folder=folder.name).encode())
    except OSError as error:
        raise RunFolderError(f"must be writable, but got {error.strerror or error}", path=path) from error
    return path


def told_damage(path: Path, damages: Sequence[str]) -> Path:
    """The path of a page that was made of whole journals.

    Raises:
        JournalError: A journal was damaged.
    """
    if damages:
        more = f" (and {len(damages) - 1} more lines)" if len(damages) > 1 else ""
        raise JournalError(f"{path} shows what could be read; the journal is damaged: {damages[0]}{more}")
    return path


def csv_name(figure: Figure) -> str:
    """Name of the file with the numbers of a figure, whose own name may come from a run."""
    return f"{re.sub('[^A-Za-z0-9_-]', '_', figure.name)[:100]}.csv"


def render(page: Page, *, csv_folder: str = "report_csv") -> str:
    """The page as HTML, with the numbers behind its figures in a folder beside it."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("results"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["csp_hash"] = _csp_hash
    environment.filters["csv_path"] = lambda figure: f"{csv_folder}/{csv_name(figure)}"
    environment.filters["ours"] = Markup
    figures = [figure.to_json() for section in page.sections for figure in section.figures]
    # ours to trust: it is Plotly's own file, and must not hold what would end its element
    plotly_js = Markup(get_plotlyjs().replace("</script", "<\\/script"))
    return environment.get_template("report.html").render(page=page, figures=figures, plotly_js=plotly_js)


def table_of(rows: Sequence[Mapping[str, Cell]]) -> Table:
    """A table of rows of data; columns in the order of their first appearance, numbers aligned right."""
    headings = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[row.get(name) for name in headings] for row in rows]
    numeric = frozenset(
        column
        for column in range(len(headings))
        if all(_is_number(row[column]) or row[column] in (None, "") for row in cells)
    )
    return Table(headings=headings, rows=[[cell_text(cell) for cell in row] for row in cells], numeric=numeric)


def cell_text(cell: Cell) -> str:
    """How a value is written in a table."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    return f"{cell:.5g}" if isinstance(cell, float) else cell


def quantity(value: float) -> str:
    """A cost with a decimal prefix, such as `5.98M`."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.4g}{prefix}"
    return f"{value:.4g}"


def percent(share: float | None) -> str:
    """A share in [0, 1] as `61.2 %`; a dash for None."""
    return "–" if share is None else f"{100 * share:.1f} %"


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _csv(columns: Mapping[str, Iterable[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_cell(name) for name in columns])
    writer.writerows([_cell(value) for value in row] for row in zip(*columns.values(), strict=True))
    return text.getvalue()


def _cell(value: object) -> object:
    """As it stands in a CSV file; a text that a spreadsheet would compute is quoted as one."""
    return f"'{value}" if isinstance(value, str) and value[:1] in _FORMULAS else value


def _csp_hash(script: str) -> str:
    digest = hashlib.sha256(str(script).encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def pairs(items: Iterable[tuple[str, object]]) -> Table:
    """A table of names and values."""
    return Table(headings=("", ""), rows=[(name, str(value)) for name, value in items])
