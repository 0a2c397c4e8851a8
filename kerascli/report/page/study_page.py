"""Page of a study: its trials, their parameters as parallel coordinates and one by one, all curves; or its folds."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from kerascli.foundation.errors import safe_text
from kerascli.report.console import number_text
from kerascli.report.markup import Child, element, scrolling, section, table
from kerascli.report.page.charts import Chart
from kerascli.report.page.curves import charts, curves_section
from kerascli.report.page.document import document
from kerascli.report.tables import value_text
from kerascli.runs.history import Row
from kerascli.studies.table import columns_of

_WIDTH, _HEIGHT, _EDGE, _TOP, _TALL = 900, 300, 70, 40, 224
"""Size of the parallel coordinates, the space at their ends and above them, and the height of an axis, in pixels."""
_BEST = 0.1
"""Fraction of the trials whose lines are drawn in the colour of the best."""
Trials = Sequence[Mapping[str, Any]]


def study_html(
    facts: Mapping[str, Any], histories: Mapping[str, Sequence[Row]], link: Callable[[str], str] | None = None,
    events: str | None = None,
) -> str:  # fmt: skip
    """Return the text of the page of a study, given its table and the histories of its trials or folds by name.

    `link` returns the address of a trial's page, given the name of its folder; `events` is the address of changes.
    """
    drawn = charts(histories)
    if "folds" in facts:
        sections = [_overview(facts), *_folds(facts), curves_section(drawn)]
    else:
        metrics = {name.removeprefix("val_") for name in facts["objectives"]}
        drawn = [each for each in drawn if each["title"] in metrics]
        done = [each for each in facts["trials"] if each["status"] == "completed"]
        sections = [
            _overview(facts), _parallel(facts, done), _importance(facts), _slices(facts, done), _front(facts, done),
            curves_section(drawn), _trials(facts, link),
        ]  # fmt: skip
    kept = [each for each in sections if each is not None]
    return document(safe_text(facts["study"]), kept, {"charts": drawn}, events)


def _overview(facts: Mapping[str, Any]) -> Element:
    """Return the section with the number of trials, and the best ones with their results on the test split."""
    what = "folds" if "folds" in facts else f"trials by {facts['sampler']}"
    lines = [f"{facts['trials_done']} of {facts['trials_planned']} {what}."]
    for each in [each for each in facts.get("trials", ()) if each["trial"] in facts["best"]][:8]:
        test = facts["test"][each["trial"]]
        results = f"; on the test split {value_text(test)}" if test else ""
        lines.append(f"Best: trial {each['trial']} with {value_text(each['values'])}{results}.")
    return section("Overview", *(element("p", safe_text(line)) for line in lines), anchor="overview")


def _folds(facts: Mapping[str, Any]) -> Iterator[Element]:
    """Yield a section for each split with the results of all folds by their final weights."""
    captions = {"validation": "Out of fold: each fold by the run that has not seen it", "baseline": "Without a model"}
    for split, rows in facts["folds"].items():
        cells = [[name, *map(number_text, logs.values())] for name, logs in rows.items()]
        heads = [split, *map(safe_text, rows["mean"])]
        yield section(split.title(), table(captions.get(split, "By the run of each fold"), heads, cells), anchor=split)


def _trials(facts: Mapping[str, Any], link: Callable[[str], str] | None) -> Element:
    """Return the section with a row for each trial, which the page's script sorts and filters."""
    columns = columns_of(dict(facts))
    rows: list[list[Child]] = []
    for number, *values in zip(*columns.values(), strict=True):
        name = element("a", str(number), href=link(f"{number:04}")) if link is not None else str(number)
        rows.append([name, *("" if value is None else value_text(value) for value in values)])
    field = element("p", element("label", "Filter ", element("input", type="search")), class_="controls")
    made = table("A click on a heading sorts", list(map(safe_text, columns)), rows, class_="sortable")
    return section("Trials", field, made, anchor="trials")


def _axis(facts: Mapping[str, Any], name: str, values: Sequence[Any]) -> tuple[list[float | None], list[str]]:
    """Return (numbers for the values of a parameter, labels of its axis from bottom to top).

    The numbers are logarithms where the range is logarithmic, and indices of the labels where a value is no number.
    """
    known = [value for value in values if value is not None]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        scale = math.log10 if name in facts["logarithmic"] else float
        return [None if value is None else scale(value) for value in values], [
            *map(value_text, (min(known), max(known)))
        ]
    labels = sorted(set(map(value_text, known)))
    return [None if value is None else float(labels.index(value_text(value))) for value in values], labels


def _parallel(facts: Mapping[str, Any], trials: Trials) -> Element | None:
    """Return the section of the parallel coordinates: a line for each trial, through its value on each axis."""
    columns = _columns(facts, trials)
    if not columns:
        return None
    lines: list[list[str]] = [[] for _ in trials]
    drawn: list[Element] = []
    for number, (name, values) in enumerate(columns.items()):
        x = _EDGE + (_WIDTH - 2 * _EDGE) / max(1, len(columns) - 1) * number
        numbers, labels = _axis(facts, name, values)
        for line, height in zip(lines, _heights(numbers), strict=True):
            line += [] if height is None else [f"{x:.1f},{height:.1f}"]
        drawn += [element("path", d=f"M{x:.1f} {_TOP}V{_TOP + _TALL}", class_="axis"), _text(_cut(name), x, 14)]
        steps = max(1, len(labels) - 1)
        drawn += [_text(_cut(each), x, _TOP - 6 + (_TALL + 22) * (1 - i / steps)) for i, each in enumerate(labels)]
    order = _ranked(facts, trials)
    best = set(order[: max(1, round(_BEST * len(order)))])
    for index in reversed(order):
        title = element("title", f"trial {trials[index]['trial']}")
        line = element("polyline", title, points=" ".join(lines[index]), class_="line" if index in best else "faint")
        drawn.append(line)
    svg = element("svg", *drawn, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", width=_WIDTH, height=_HEIGHT, role="img")
    svg.set("aria-label", "Parallel coordinates of the trials")
    text = f"A line for each completed trial; the best {len(best)} are drawn in colour."
    box = scrolling(element("div", svg, class_="small"), "Lines of the trials")
    return section("Parallel coordinates", element("p", text), box, anchor="parallel")


def _columns(facts: Mapping[str, Any], trials: Trials) -> dict[str, list[Any]]:
    """Return the values of each parameter and objective by trial; those that no trial has are left out."""
    columns = {name: [each["parameters"].get(name) for each in trials] for name in facts["parameters"]}
    columns |= {name: [each["values"].get(name) for each in trials] for name in facts["objectives"]}
    return {name: values for name, values in columns.items() if any(value is not None for value in values)}


def _heights(numbers: Sequence[float | None]) -> list[float | None]:
    """Return the height of each number on an axis in pixels from above."""
    known = [value for value in numbers if value is not None]
    low, span = min(known), max(known) - min(known) or 1.0
    return [None if value is None else _TOP + _TALL * (1 - (value - low) / span) for value in numbers]


def _ranked(facts: Mapping[str, Any], trials: Trials) -> list[int]:
    """Return the indices of trials, the best by the first objective first."""
    name, way = next(iter(facts["objectives"].items()))
    sign = 1 if way == "min" else -1
    return sorted(range(len(trials)), key=lambda index: sign * trials[index]["values"][name])


def _importance(facts: Mapping[str, Any]) -> Element | None:
    if facts["importance"] is None:
        text = "No importance.json: kerascli studies show writes it, with Optuna and at least four completed trials."
        return section("Importance", element("p", text, class_="hint"), anchor="importance")
    rows = [[safe_text(name), f"{share:.3f}"] for name, share in facts["importance"].items()]
    return section(
        "Importance", table("Share of each parameter, by PED-ANOVA", ["parameter", "share"], rows), anchor="importance"
    )


def _slices(facts: Mapping[str, Any], trials: Trials) -> Element | None:
    """Return the section with a chart for each parameter: its value and that of the first objective, by trial."""
    objective = next(iter(facts["objectives"]))
    figures = []
    for name in facts["parameters"]:
        kept = [each for each in trials if each["parameters"].get(name) is not None]
        if len(kept) < 2:
            continue
        numbers, labels = _axis(facts, name, [each["parameters"][name] for each in kept])
        points = [(x, each["values"][objective]) for x, each in zip(numbers, kept, strict=True) if x is not None]
        (left, right), (low, high) = ((min(each), max(each)) for each in zip(*points, strict=True))
        is_text = isinstance(kept[0]["parameters"][name], str)
        across = ", ".join(labels) if is_text else "logarithm" if name in facts["logarithmic"] else "value"
        figures.append(
            Chart(safe_text(name), _cut(across, 60), objective, (left, right), (low, high)).dots(points).figure()
        )
    return section("Slices", element("div", *figures, class_="charts small"), anchor="slices") if figures else None


def _front(facts: Mapping[str, Any], trials: Trials) -> Element | None:
    """Return the section of the front of two objectives: all trials, and those that no other one beats."""
    if len(facts["objectives"]) < 2 or not trials:
        return None
    across, up, *_ = facts["objectives"]
    points = {each["trial"]: (each["values"][across], each["values"][up]) for each in trials}
    x, y = ([point[axis] for point in points.values()] for axis in (0, 1))
    chart = Chart("Trials, and the front as a line", across, up, (min(x), max(x)), (min(y), max(y)))
    figure = chart.dots(list(points.values())).line(sorted(points[each] for each in facts["best"])).figure()
    return section("Front", element("div", figure, class_="charts small"), anchor="front")


def _text(text: str, x: float, y: float) -> Element:
    return element("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor="middle", class_="soft")


def _cut(text: str, limit: int = 18) -> str:
    """Return a text with its last characters alone if it is long, which tell paths apart."""
    return safe_text(text if len(text) <= limit else f"…{text[-limit + 1 :]}")
