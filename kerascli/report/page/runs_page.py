"""Page of several runs: their curves together, and a table of the settings that differ and of the results."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from kerascli.foundation.errors import safe_text
from kerascli.report.comparison import compare
from kerascli.report.markup import Child, element, section, table
from kerascli.report.page.curves import COLORS, charts, curves_section
from kerascli.report.page.document import document
from kerascli.report.page.privacy import without_folders
from kerascli.report.tables import value_text
from kerascli.runs.record import RunRecord


def runs_html(runs: Sequence[RunRecord], *, environment: bool = False) -> str:
    """Return the text of a page that compares runs; absolute paths are on it only if `environment` is True."""
    drawn = charts({run.folder_name: run.history() for run in runs})
    sections = [_table(runs, environment=environment), curves_section(drawn)]
    return document(f"{len(runs)} runs", [each for each in sections if each is not None], {"charts": drawn})


def _table(runs: Sequence[RunRecord], *, environment: bool) -> Element:
    """Return the section with a row for each run, which the page's script sorts and filters."""

    def shown(value: object) -> str:
        text = value_text(value)
        return text if environment else without_folders(text)

    comparison = compare(runs)
    columns = {"status": [run.status() for run in runs], **comparison.settings, **comparison.results}
    rows: list[list[Child]] = [
        [_name(safe_text(run), number), *(shown(values[number]) for values in columns.values())]
        for number, run in enumerate(comparison.runs)
    ]
    field = element("input", type="search")
    caption = "Settings that differ, and results; a click on a heading sorts"
    made = table(caption, ["run", *map(safe_text, columns)], rows, numbers_from=2, class_="sortable")
    return section("Runs", element("p", element("label", "Filter ", field), class_="controls"), made, anchor="runs")


def _name(run: str, number: int) -> Element:
    """Return the name of a run with the colour of its curves."""
    return element("span", element("span", class_=f"swatch c{number % COLORS}"), run)
