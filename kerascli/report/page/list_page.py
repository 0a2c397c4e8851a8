"""Page of the list of all runs in a folder, each with a link to its own page."""

from collections.abc import Callable, Sequence
from xml.etree.ElementTree import Element

from kerascli.foundation.errors import safe_text
from kerascli.report.markup import Child, element, section, table
from kerascli.report.page.document import document
from kerascli.report.tables import RunLine, duration_text, value_text


def list_html(lines: Sequence[RunLine], link: Callable[[str], str], events: str) -> str:
    """Return the text of the page. `link` gives the address of a run's page, given the name of its folder; `events` is
    the address of those that tell of changes."""
    columns = list(dict.fromkeys(name for line in lines for name in _numbers(line)))
    rows: list[list[Child]] = [_row(line, columns, link) for line in reversed(lines)]
    heads = ["run", "status", "tags", "started", "epochs", "time", *map(safe_text, columns)]
    field = element("p", element("label", "Filter ", element("input", type="search")), class_="controls")
    made = table("The newest first; a click on a heading sorts", heads, rows, numbers_from=4, class_="sortable")
    return document("Runs", [section("Runs", field, made, anchor="runs")], {"charts": []}, events)


def _numbers(line: RunLine) -> dict[str, int | float]:
    """Return the number of the best epoch, its value, and the metrics of the last epoch, by the name of the column."""
    best = {"best epoch": line.best["epoch"], f"best {line.monitor}": line.best[line.monitor]} if line.best else {}
    return best | line.metrics()


def _row(line: RunLine, columns: Sequence[str], link: Callable[[str], str]) -> list[Element | str | None]:
    values = _numbers(line)
    started = (line.started or "")[:19].replace("T", " ")
    cells = [safe_text(line.status), ", ".join(line.tags), started, str(line.epochs), duration_text(line.seconds)]
    numbers = [value_text(values[name]) if name in values else "" for name in columns]
    return [element("a", safe_text(line.run), href=link(line.run)), *cells, *numbers]
