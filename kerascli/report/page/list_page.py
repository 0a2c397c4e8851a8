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
    metrics = list(dict.fromkeys(name for line in lines for name in line.metrics()))
    rows: list[list[Child]] = [_row(line, metrics, link) for line in reversed(lines)]
    heads = ["run", "status", "started", "epochs", "time", *map(safe_text, metrics)]
    field = element("p", element("label", "Filter ", element("input", type="search")), class_="controls")
    made = table("The newest first; a click on a heading sorts", heads, rows, numbers_from=3, class_="sortable")
    return document("Runs", [section("Runs", field, made, anchor="runs")], {"charts": []}, events)


def _row(line: RunLine, metrics: Sequence[str], link: Callable[[str], str]) -> list[Element | str | None]:
    values = line.metrics()
    started = (line.started or "")[:19].replace("T", " ")
    cells = [safe_text(line.status), started, str(line.epochs), duration_text(line.seconds)]
    numbers = [value_text(values[name]) if name in values else "" for name in metrics]
    return [element("a", safe_text(line.run), href=link(line.run)), *cells, *numbers]
