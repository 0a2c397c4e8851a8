"""Pages of several runs: the list of all in a folder, and curves, settings that differ and results of some."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from kerascli.foundation.errors import safe_text
from kerascli.report.markup import element, section, table
from kerascli.report.page.curves import COLORS, charts, curves_section
from kerascli.report.page.document import document
from kerascli.report.page.privacy import without_folders
from kerascli.report.tables import RunLine, compare, value_text
from kerascli.report.text_tables import duration_text
from kerascli.runs.record import RunRecord


def runs_html(runs: Sequence[RunRecord], *, environment: bool = False) -> str:
    """Return the text of a page that compares runs; absolute paths are on it only if `environment` is True."""
    drawn = charts({run.folder_name: run.history() for run in runs})
    sections = [_table(runs, environment=environment), curves_section(drawn)]
    return document(f"{len(runs)} runs", sections, {"charts": drawn})


def _table(runs: Sequence[RunRecord], *, environment: bool) -> Element:
    """Return the section with a row for each run, whose name has the colour of its curves."""
    comparison, show = compare(runs), str if environment else without_folders
    columns = {"status": [run.status() for run in runs], **comparison.settings, **comparison.results}
    rows = [
        {
            "run": element("span", element("span", class_=f"swatch c{number % COLORS}"), safe_text(run)),
            **{name: show(value_text(values[number])) for name, values in columns.items()},
        }
        for number, run in enumerate(comparison.runs)
    ]
    return sortable("Runs", "Settings that differ, and results; a click on a heading sorts", rows, numbers_from=2)


def sortable(title: str, caption: str, rows: Sequence[Mapping[str, Any]], numbers_from: int = 1) -> Element:
    """Return the section with a table that the page's script sorts and filters, given its rows by heading.

    None is an empty cell.
    """
    heads = [safe_text(name) for name in (rows[0] if rows else ())]
    cells = [
        [each if isinstance(each, Element) else "" if each is None else value_text(each) for each in row.values()]
        for row in rows
    ]
    field = element("p", element("label", "Filter ", element("input", type="search")), class_="controls")
    made = table(caption, heads, cells, numbers_from=numbers_from, class_="sortable")
    return section(title, field, made, anchor=title.lower())


def list_html(lines: Sequence[RunLine], link: Callable[[str], str], events: str) -> str:
    """Return the text of the page. `link` gives the address of a run's page, given the name of its folder; `events` is
    the address of those that tell of changes."""
    columns = list(dict.fromkeys(name for line in lines for name in _numbers(line)))
    rows = [_row(line, columns, link) for line in reversed(lines)]
    made = sortable("Runs", "The newest first; a click on a heading sorts", rows, numbers_from=4)
    return document("Runs", [made], {"charts": []}, events)


def _numbers(line: RunLine) -> dict[str, int | float]:
    """Return the number of the best epoch, its value, and the metrics of the last epoch, by the name of the column."""
    best = {"best epoch": line.best["epoch"], f"best {line.monitor}": line.best[line.monitor]} if line.best else {}
    return best | line.metrics()


def _row(line: RunLine, columns: Sequence[str], link: Callable[[str], str]) -> dict[str, Any]:
    return {
        "run": element("a", safe_text(line.run), href=link(line.run)), "status": line.status,
        "tags": ", ".join(line.tags), "started": (line.started or "")[:19].replace("T", " "), "epochs": line.epochs,
        "time": duration_text(line.seconds), **dict.fromkeys(columns), **_numbers(line),
    }  # fmt: skip
