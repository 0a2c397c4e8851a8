"""Curves of losses and metrics on a page: their points, reduced where there are many, and the table behind them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any
from xml.etree.ElementTree import Element

from kerascli.foundation.errors import safe_text
from kerascli.report.markup import element, figure, folded, section, table
from kerascli.report.page.charts import Chart
from kerascli.report.plots import PREFIXES, panels
from kerascli.report.tables import number_text
from kerascli.runs.history import Row

_POINTS, _POINTS_OF_MANY = 2_000, 200
"""Maximum number of points of a curve of one run, and of several."""
_MOST_ON_PAPER, _LEAST_ON_PAPER = 400, 20
"""Number of points of all curves of a chart on paper, and the least of a curve."""
COLORS = 8
"""Number of colours of curves, `--c0` to `--c7` of the page's style."""
_ROWS = 200
"""Maximum number of rows of the table behind the curves."""


def charts(histories: Mapping[str, Sequence[Row]]) -> list[dict[str, Any]]:
    """Return the charts of runs, given their histories by label, as data for the page's script: one a metric, the loss
    first, the learning rates last, each with a curve of training and one of validation for each run."""
    columns = dict.fromkeys(name for rows in histories.values() for row in rows for name in row)
    rates = [name for name in columns if name.endswith("learning_rate")]
    names = [*panels([*histories.items()]), *rates]
    return [{"title": safe_text(name), "lines": [*_lines(name, histories, split=name not in rates)]} for name in names]


def _lines(name: str, histories: Mapping[str, Sequence[Row]], *, split: bool) -> Iterator[dict[str, Any]]:
    """Yield the curves of a metric, or of a learning rate (`split` is False), of each run, as data."""
    many = len(histories) > 1
    for number, (label, rows) in enumerate(histories.items()):
        for kind, prefix in PREFIXES.items():
            x, y = _points(rows, prefix + name, many=many)
            if x:
                own = kind if split else ""
                text = safe_text(f"{label} {own}".strip() if many else own or name)
                color = number % COLORS if many else int(bool(prefix))
                yield {"label": text, "color": color, "dashed": bool(prefix), "x": x, "y": y}


def curves_section(drawn: Sequence[Mapping[str, Any]], history: Sequence[Row] = ()) -> Element | None:
    """Return the section of the curves, whose charts the page's script draws from data; `history` becomes the table
    behind them."""
    if not drawn:
        return None
    smoothing = element("input", type="range", id="smoothing", min=0, max=0.98, step=0.02, value=0)
    scale = element("label", element("input", type="checkbox", id="log"), " Logarithmic scale")
    hint = element("span", "Drag to zoom, double-click to see all.", class_="hint")
    controls = element("p", element("label", "Smoothing ", smoothing), scale, hint, class_="controls")
    places = [element("div", class_="chart", data_chart=number) for number in range(len(drawn))]
    boxes = [figure(chart["title"], place, _on_paper(chart)) for chart, place in zip(drawn, places, strict=True)]
    return section("Curves", controls, element("div", *boxes, class_="charts"), _numbers(history), anchor="curves")


def _on_paper(chart: Mapping[str, Any]) -> Element | None:
    """Return a chart as it is printed: SVG, with its legend."""
    most = max(_LEAST_ON_PAPER, _MOST_ON_PAPER // len(chart["lines"]))
    lines = (_reduced([*zip(line["x"], line["y"], strict=True)], most) for line in chart["lines"])
    curves = [[(x, y) for x, y in points if y is not None] for points in lines]
    points = [point for curve in curves for point in curve]
    if not points:
        return None
    x, y = ((min(values), max(values)) for values in zip(*points, strict=True))
    drawing, names = Chart(chart["title"], "epoch", "", x, y), list[Element]()
    for line, curve in zip(chart["lines"], curves, strict=True):
        drawing.line(curve, f"line k{line['color']}{' dashed' if line['dashed'] else ''}")
        names.append(element("span", element("span", class_=f"swatch c{line['color']}"), line["label"]))
    return element("div", drawing.svg(), element("p", *names, class_="controls"), class_="small paper")


def _numbers(history: Sequence[Row]) -> Element | None:
    """Return the table of a run's epochs, evenly spaced if they are many, with the last one."""
    if not history:
        return None
    names = [name for name in dict.fromkeys(name for row in history for name in row) if name != "epoch"]
    every = math.ceil(len(history) / _ROWS)
    rows = [*history[:-1][::every], history[-1]]
    cells = [[str(row["epoch"]), *(number_text(row[name]) if name in row else "" for name in names)] for row in rows]
    caption = "Every epoch" if every == 1 else f"Every {every}th epoch, and the last; history.csv has all"
    return folded("Numbers", table(caption, ["epoch", *map(safe_text, names)], cells))


def _points(rows: Sequence[Row], name: str, *, many: bool) -> tuple[list[float], list[float | None]]:
    """Return the epochs and the values of a column; a value that is not finite is None."""
    points = [(row["epoch"], row[name] if math.isfinite(row[name]) else None) for row in rows if name in row]
    kept = _reduced(points, _POINTS_OF_MANY if many else _POINTS)
    return [x for x, _ in kept], [float(f"{y:.6g}") if many and y else y for _, y in kept]


def _reduced(points: list[tuple[float, float | None]], most: int) -> list[tuple[float, float | None]]:
    """Return at most about `most` points: of each stretch of epochs those with the smallest and the largest value."""
    if len(points) <= most:
        return points
    size = math.ceil(2 * len(points) / most)
    kept: list[tuple[float, float | None]] = []
    for start in range(0, len(points), size):
        stretch = [(x, y) for x, y in points[start : start + size] if y is not None]
        if stretch:
            kept += sorted({min(stretch, key=itemgetter(1)), max(stretch, key=itemgetter(1))})
    return kept
