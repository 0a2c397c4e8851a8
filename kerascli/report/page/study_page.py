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
from kerascli.report.page.runs_page import sortable
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
        name, way = next(iter(facts["objectives"].items()))
        done = [each for each in facts["trials"] if each["status"] == "completed"]
        done.sort(key=lambda each: each["values"][name] * (1 if way == "min" else -1))
        sections = [
            _overview(facts), _parallel(facts, done), _importance(facts), _slices(facts, done), curves_section(drawn),
            _trials(facts, link),
        ]  # fmt: skip
    kept = [each for each in sections if each is not None]
    return document(safe_text(facts["study"]), kept, {"charts": drawn}, events)


def _overview(facts: Mapping[str, Any]) -> Element:
    """Return the section with the number of trials, and the best ones with their results on the test split."""
    what = "folds" if "folds" in facts else f"trials by {facts['sampler']}"
    of = "" if facts["trials_planned"] is None else f" of {facts['trials_planned']}"
    lines = [f"{facts['trials_done']}{of} {what}."]
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
    columns = columns_of(facts)
    rows: list[list[Child]] = []
    for number, *values in zip(*columns.values(), strict=True):
        name = element("a", str(number), href=link(f"{number:04}")) if link is not None else str(number)
        rows.append([name, *("" if value is None else value_text(value) for value in values)])
    return sortable("Trials", "A click on a heading sorts", list(map(safe_text, columns)), rows)


def _axis(facts: Mapping[str, Any], name: str, values: Sequence[Any]) -> tuple[list[float], list[str]]:
    """Return (numbers for the values of a parameter, labels of its axis from bottom to top).

    The numbers are logarithms where the range is logarithmic, and indices of the labels where a value is no number.
    """
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        scale = math.log10 if name in facts["logarithmic"] else float
        return [scale(value) for value in values], [value_text(min(values)), value_text(max(values))]
    labels = sorted(set(map(value_text, values)))
    return [float(labels.index(value_text(value))) for value in values], labels


def _parallel(facts: Mapping[str, Any], trials: Trials) -> Element | None:
    """Return the section of the parallel coordinates: a line for each trial, through its value on each axis."""
    if not trials:
        return None
    lines: list[list[str]] = [[] for _ in trials]
    drawn: list[Element] = []
    columns = [*facts["parameters"], *facts["objectives"]]
    both = [each["parameters"] | each["values"] for each in trials]
    for place, name in enumerate(columns):
        values = {index: each[name] for index, each in enumerate(both) if name in each}
        x = _EDGE + (_WIDTH - 2 * _EDGE) / max(1, len(columns) - 1) * place
        numbers, labels = _axis(facts, name, [*values.values()] or ["-"])
        low, span = min(numbers), max(numbers) - min(numbers) or 1.0
        for index, number in zip(values, numbers, strict=False):
            lines[index].append(f"{x:.1f},{_TOP + _TALL * (1 - (number - low) / span):.1f}")
        drawn += [element("path", d=f"M{x:.1f} {_TOP}V{_TOP + _TALL}", class_="axis"), _text(_cut(name), x, 14)]
        steps = max(1, len(labels) - 1)
        drawn += [_text(_cut(each), x, _TOP - 6 + (_TALL + 22) * (1 - i / steps)) for i, each in enumerate(labels)]
    best = max(1, round(_BEST * len(trials)))
    for index in reversed(range(len(trials))):
        title = element("title", f"trial {trials[index]['trial']}")
        drawn.append(
            element("polyline", title, points=" ".join(lines[index]), class_="line" if index < best else "faint")
        )
    svg = element("svg", *drawn, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", width=_WIDTH, height=_HEIGHT, role="img")
    svg.set("aria-label", "Parallel coordinates of the trials")
    text = element("p", f"A line for each completed trial; the best {best} are drawn in colour.")
    box = scrolling(element("div", svg, class_="small"), "Lines of the trials")
    return section("Parallel coordinates", text, box, anchor="parallel")


def _importance(facts: Mapping[str, Any]) -> Element | None:
    if facts["importance"] is None:
        text = "No importance.json: kerascli studies show writes it, with Optuna and at least four completed trials."
        return section("Importance", element("p", text, class_="hint"), anchor="importance")
    rows = [[safe_text(name), f"{share:.3f}"] for name, share in facts["importance"].items()]
    return section(
        "Importance", table("Share of each parameter, by PED-ANOVA", ["parameter", "share"], rows), anchor="importance"
    )


def _slices(facts: Mapping[str, Any], trials: Trials) -> Element | None:
    """Return the section with a chart for each parameter and further objective, of the trials that have it."""
    both = [{"trial": each["trial"], **each["parameters"], **each["values"]} for each in trials]
    names = [*facts["parameters"], *facts["objectives"]]
    names.remove(next(iter(facts["objectives"])))
    points = {name: [each for each in both if name in each] for name in names}
    figures = [_slice(facts, name, each).figure() for name, each in points.items() if len(each) > 1]
    return section("Slices", element("div", *figures, class_="charts small"), anchor="slices") if figures else None


def _slice(facts: Mapping[str, Any], name: str, points: Trials) -> Chart:
    """Return a chart of the first objective over a parameter or another objective; there the front is a line."""
    objective, caption = next(iter(facts["objectives"])), name
    numbers, labels = _axis(facts, name, [each[name] for each in points])
    is_text = isinstance(points[0][name], str)
    across = ", ".join(labels) if is_text else "logarithm" if name in facts["logarithmic"] else "value"
    places = [*zip(numbers, (each[objective] for each in points), strict=True)]
    front = [place for place, each in zip(places, points, strict=True) if each["trial"] in facts["best"]]
    if name in facts["objectives"]:
        caption = f"{name}, and the front as a line"
    x, y = ((min(values), max(values)) for values in zip(*places, strict=True))
    chart = Chart(safe_text(caption), _cut(across, 60), objective, x, y).dots(places)
    return chart.line(sorted(front)) if name in facts["objectives"] else chart


def _text(text: str, x: float, y: float) -> Element:
    return element("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor="middle", class_="soft")


def _cut(text: str, limit: int = 18) -> str:
    """Return a text with its last characters alone if it is long, which tell paths apart."""
    return safe_text(text if len(text) <= limit else f"…{text[-limit + 1 :]}")
