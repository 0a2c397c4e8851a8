"""Page of a study: its trials, their parameters as parallel coordinates and one by one, all curves; or its folds."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from xml.etree.ElementTree import Element

from kerascli.foundation.errors import safe_text
from kerascli.report.markup import Child, element, section
from kerascli.report.page.charts import Chart
from kerascli.report.page.curves import charts, curves_section
from kerascli.report.page.document import document
from kerascli.report.page.run_page import terms_list
from kerascli.report.page.runs_page import sortable
from kerascli.report.tables import study_facts, value_text
from kerascli.studies.folder import Study
from kerascli.studies.table import histories_of, rows_of, study_table, trial_text

_WIDTH = 900
"""Width of the parallel coordinates in pixels."""
_BEST = 0.1
"""Fraction of the trials whose lines are drawn in the colour of the best."""
Trials = Mapping[int, Mapping[str, Any]]
"""Type of parameters and objectives by name, by the number of the trial; the best trial is the first."""


def study_html(study: Study, link: Callable[[str], str] | None = None, events: str | None = None) -> str:
    """Return the text of the page of a study.

    `link` returns the address of a trial's page, given the name of its folder; `events` is the address of changes.
    """
    table, drawn = study_table(study), charts(histories_of(study))
    if "objectives" in table:
        metrics = {name.removeprefix("val_") for name in table["objectives"]}
        drawn = [each for each in drawn if each["title"] in metrics]
    pictures = _pictures(table) if "objectives" in table else ()
    sections = [_overview(table), *pictures, curves_section(drawn), _rows(table, link)]
    return document(
        safe_text(table["study"]), [each for each in sections if each is not None], {"charts": drawn}, events
    )


def _overview(table: Mapping[str, Any]) -> Element:
    """Return the section with the number of trials, the best ones, and their results on the test split."""
    of = "" if table["trials_planned"] is None else f" of {table['trials_planned']}"
    terms: dict[str, Child] = {"done": f"{table['trials_done']}{of} {'folds' if 'folds' in table else 'trials'}"}
    for each in (each for each in table.get("trials", ()) if each["trial"] in table["best"]):
        terms[f"best: trial {each['trial']}"] = safe_text(trial_text(each))
    if table.get("importance", True) is None:
        terms["importance"] = "none: kerascli studies show computes it, with Optuna and at least four completed trials"
    terms |= {name: value_text(value) for name, value in study_facts(table).items() if name != "best"}
    return section("Overview", terms_list(terms), anchor="overview")


def _rows(table: Mapping[str, Any], link: Callable[[str], str] | None) -> Element | None:
    """Return the section with a row for each trial or result of folds, which the page's script sorts and filters."""
    rows, cells = rows_of(table), list[list[Child]]()
    for first, *values in (row.values() for row in rows):
        address = link(f"{first:04}") if link is not None and isinstance(first, int) else None
        name = value_text(first) if address is None else element("a", str(first), href=address)
        cells.append([name, *("" if value is None else value_text(value) for value in values)])
    if "trials" in table:
        title, caption = "Trials", "A click on a heading sorts"
    else:
        title, caption = "Folds", "Validation: each fold by the run that has not seen it; baseline: without a model"
    return sortable(title, caption, list(map(safe_text, rows[0])), cells) if rows else None


def _pictures(table: Mapping[str, Any]) -> Iterator[Element]:
    """Yield the sections of the parallel coordinates and of the slices, of the completed trials."""
    first, way = next(iter(table["objectives"].items()))
    done = [each for each in table["trials"] if each["status"] == "completed"]
    done.sort(key=lambda each: each["values"][first] * (1 if way == "min" else -1))
    trials = {each["trial"]: each["parameters"] | each["values"] for each in done}
    if trials:
        best = max(1, round(_BEST * len(trials)))
        text = element("p", f"A line for each completed trial; the best {best} are drawn in colour.")
        drawn = element("div", _parallel(table, trials, best).svg(), class_="small")
        yield section("Parallel coordinates", text, drawn, anchor="parallel")
    if figures := [each.figure() for each in _slices(table, trials)]:
        yield section("Slices", element("div", *figures, class_="charts small"), anchor="slices")


def _parallel(table: Mapping[str, Any], trials: Trials, best: int) -> Chart:
    """Return the parallel coordinates: a line for each trial, through its value on each axis."""
    names = [*table["parameters"], *table["objectives"]]
    chart = Chart(
        "Parallel coordinates of the trials", "", "", (0, len(names) - 1), (-0.15, 1.15), y_ticks={}, width=_WIDTH,
        x_ticks={float(x): _cut(name) for x, name in enumerate(names)},
    )  # fmt: skip
    lines: dict[int, list[tuple[float, float]]] = {number: [] for number in trials}
    for x, name in enumerate(names):
        places, labels = _axis(table, name, trials)
        for number, y in places.items():
            lines[number].append((x, y))
        chart.line([(x, 0), (x, 1)], "axis")
        for y, label in labels.items():
            chart.text((x, 1.2 * y - 0.12), label)
    for rank, (number, line) in reversed([*enumerate(lines.items())]):
        chart.line(line, "line" if rank < best else "faint", f"trial {number}")
    return chart


def _slices(table: Mapping[str, Any], trials: Trials) -> Iterator[Chart]:
    """Yield a chart of the first objective over each parameter and further objective; there the front is a line."""
    first, *others = table["objectives"]
    for name in [*table["parameters"], *others]:
        places, labels = _axis(table, name, trials)
        points = {number: (x, trials[number][first]) for number, x in places.items()}
        if len(points) > 1:
            caption = f"{name}, and the front as a line" if name in others else name
            heights = [y for _, y in points.values()]
            ends = min(heights), max(heights)
            chart = Chart(safe_text(caption), "", safe_text(first), (-0.15, 1.15), ends, x_ticks=labels)
            chart.dots([*points.values()])
            yield chart.line(sorted(points[number] for number in table["best"])) if name in others else chart


def _axis(table: Mapping[str, Any], name: str, trials: Trials) -> tuple[dict[int, float], dict[float, str]]:
    """Return (place of each trial on the axis of a parameter or objective, from 0 to 1, labels of the axis by place).

    Values are spaced by their logarithms where the range is logarithmic, and evenly where one of them is no number.
    """
    values = {number: each[name] for number, each in trials.items() if name in each}
    is_number = all(isinstance(each, int | float) and not isinstance(each, bool) for each in values.values())
    texts = sorted(set(map(value_text, values.values())))
    scale: Callable[[Any], float] = math.log if name in table["logarithmic"] else float
    scaled = {n: scale(each) if is_number else texts.index(value_text(each)) for n, each in values.items()}
    low, high = min(scaled.values(), default=0.0), max(scaled.values(), default=0.0)
    places = {number: (each - low) / (high - low or 1.0) for number, each in scaled.items()}
    shown = {place: value_text(values[number]) for number, place in places.items()}
    return places, {place: _cut(text) for place, text in shown.items() if not is_number or place in (0.0, 1.0)}


def _cut(text: str, limit: int = 18) -> str:
    """Return a text with its last characters alone if it is long, which tell paths apart."""
    return safe_text(text if len(text) <= limit else f"…{text[-limit + 1 :]}")
