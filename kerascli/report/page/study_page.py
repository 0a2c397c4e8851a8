"""Page of a study: its trials, their parameters as parallel coordinates and one by one, all curves; or its folds."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from kerascli.foundation.errors import safe_text
from kerascli.report.markup import element, section
from kerascli.report.page.charts import Chart
from kerascli.report.page.curves import charts, curves_section
from kerascli.report.page.document import document
from kerascli.report.page.run_page import terms_list
from kerascli.report.page.runs_page import sortable
from kerascli.report.tables import value_text
from kerascli.studies.folder import Study
from kerascli.studies.table import facts_of, histories_of, rows_of, study_table

_WIDTH = 900
"""Width of the parallel coordinates in pixels."""
_BEST = 0.1
"""Fraction of the trials whose lines are drawn in the colour of the best."""
_ENDS = -0.15, 1.15
"""Ends of an axis whose values are at 0 to 1."""
Axis = tuple[dict[int, float], dict[float, str]]
"""Type of the axis of a parameter or objective: the places of trials on it, and labels by place."""


def study_html(study: Study, link: Callable[[str], str] | None = None, events: str | None = None) -> str:
    """Return the text of the page of a study.

    `link` returns the address of a trial's page, given the name of its folder; `events` is the address of changes.
    """
    table, drawn = study_table(study), charts(histories_of(study))
    rows = rows_of(table)
    if "folds" in table:
        caption = "Validation: each fold by the run that has not seen it; baseline: without a model"
        sections = [sortable("Folds", caption, rows), curves_section(drawn)]
    else:
        metrics = {name.removeprefix("val_") for name in table["objectives"]}
        drawn = [each for each in drawn if each["title"] in metrics]
        if link is not None:
            rows = [{**row, "trial": element("a", str(row["trial"]), href=link(f"{row['trial']:04}"))} for row in rows]
        sections = [*_pictures(table), curves_section(drawn), sortable("Trials", "A click on a heading sorts", rows)]
    terms = terms_list({name: value_text(value) for name, value in facts_of(table).items()})
    sections = [section("Overview", terms, anchor="overview"), *sections]
    return document(safe_text(table["study"]), sections, {"charts": drawn}, events)


def _pictures(table: Mapping[str, Any]) -> Iterator[Element]:
    """Yield the sections of the parallel coordinates and of the slices, of the completed trials."""
    first, way = next(iter(table["objectives"].items()))
    done = [each for each in table["trials"] if each["status"] == "completed"]
    done.sort(key=lambda each: each["values"][first] * (1 if way == "min" else -1))
    trials = {each["trial"]: each["parameters"] | each["values"] for each in done}
    if trials:
        axes = {name: _axis(table, name, trials) for name in (*table["parameters"], *table["objectives"])}
        best = max(1, round(_BEST * len(trials)))
        text = element("p", f"A line for each completed trial; the best {best} are drawn in colour.")
        drawn = element("div", _parallel(axes, [*trials], best).svg(), class_="small")
        yield section("Parallel coordinates", text, drawn, anchor="parallel")
        figures = [each.figure() for each in _slices(table, axes)]
        yield section("Slices", element("div", *figures, class_="charts small"), anchor="slices")


def _parallel(axes: Mapping[str, Axis], trials: Sequence[int], best: int) -> Chart:
    """Return the parallel coordinates: a line for each trial, through its value on each axis."""
    names = {float(x): _cut(name) for x, name in enumerate(axes)}
    title, ends = "Parallel coordinates of the trials", (-0.4, len(names) - 0.6)
    chart = Chart(title, "", "", ends, _ENDS, x_ticks=names, y_ticks={}, width=_WIDTH)
    for rank in reversed(range(len(trials))):
        line = [(x, places[trials[rank]]) for x, (places, _) in enumerate(axes.values()) if trials[rank] in places]
        chart.line(line, "line" if rank < best else "faint", f"trial {trials[rank]}")
    for x, (_, labels) in enumerate(axes.values()):
        chart.line([(x, 0), (x, 1)], "axis")
        for y, label in labels.items():
            chart.text((x, 1.2 * y - 0.12), label)
    return chart


def _slices(table: Mapping[str, Any], axes: Mapping[str, Axis]) -> Iterator[Chart]:
    """Yield a chart of the first objective over each parameter and further objective; there the front is a line."""
    first, *others = table["objectives"]
    for name in [*table["parameters"], *others]:
        (places, labels), (heights, marks) = axes[name], axes[first]
        points = {number: (x, heights[number]) for number, x in places.items()}
        caption = f"{name}, and the front as a line" if name in others else name
        chart = Chart(safe_text(caption), "", safe_text(first), _ENDS, _ENDS, x_ticks=labels, y_ticks=marks)
        chart.dots([*points.values()])
        yield chart.line(sorted(points[number] for number in table["best"])) if name in others else chart


def _axis(table: Mapping[str, Any], name: str, trials: Mapping[int, Mapping[str, Any]]) -> Axis:
    """Return (place of each trial on the axis of a parameter or objective, from 0 to 1, labels of the axis by place).

    Values are spaced by their logarithms where the range is logarithmic, and evenly where one of them is no number.
    """
    values = {number: each[name] for number, each in trials.items() if name in each}
    is_number = all(type(each) in (int, float) for each in values.values())
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
