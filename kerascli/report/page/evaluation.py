"""Sections of a page about the evaluations of a run: metrics, classes, thresholds, values, groups, worst rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from kerascli.foundation.errors import safe_lines
from kerascli.report.markup import Child, element, folded, image, section, shaded, table
from kerascli.report.page.charts import Chart
from kerascli.report.tables import number_text, value_text
from kerascli.runs.evaluations import StoredEvaluation, picture
from kerascli.runs.record import RunRecord

_SHADES = 10
_BESIDE = ("row", "cells", "pictures", "reasons")
"""Keys of a row that are no columns of its own: its number, its columns of the data, and their shares."""


def evaluation_section(run: RunRecord, stored: StoredEvaluation, show: Callable[[str], str]) -> Element:
    """Return the section of an evaluation that a run has kept. Raises FileRefused if a picture is damaged.

    `show` makes the names of files fit for the page; values of the data are shown as they are.
    """
    facts, split, parts = stored.facts, show(stored.facts["split"]), list[Element]()
    if not stored.is_current:
        parts.append(element("p", "Out of date: the run has other weights by now.", class_="stale"))
    parts.append(_metrics(facts, split))
    for name, output in facts["outputs"].items():
        title = safe_lines(output.get("label", name))
        parts += [element("h3", title)] if len(facts["outputs"]) > 1 else []
        parts += _output(output, f"{title} of {split}")
    for column, groups in facts["groups"].items():
        of_groups = [([safe_lines(value), f"{each['rows']:,}"], each["logs"]) for value, each in groups.items()]
        title, heads = f"{split} by {safe_lines(column)}", [safe_lines(column), "rows"]
        parts.append(metrics_table(title, heads, of_groups))
    if facts["worst"]:
        parts.append(_worst(run, stored, split))
    title = f"Evaluation: {split}, {facts['rows']:,} rows"
    if facts.get("checkpoint"):
        title += f", checkpoint {show(facts['checkpoint'])}"
    return section(title, *parts, anchor=f"evaluation-{show(stored.name)}")


def _metrics(facts: Mapping[str, Any], split: str) -> Element:
    """Return the table of losses and metrics: the model's with intervals, those in units, those of baselines."""
    intervals = {name: " to ".join(map(value_text, ends)) for name, ends in facts["intervals"].items()}
    rows = [(["model"], facts["logs"]), *([(["95 % of resamples"], intervals)] if intervals else [])]
    rows += [([f"{safe_lines(name)} in its units"], logs) for name, logs in facts["in_units"].items()]
    rows += [([f"baseline: {safe_lines(key)}"], logs) for key, logs in facts["baselines"].items()]
    return metrics_table(f"Losses and metrics of {split}", ["of"], rows, absent="")


def metrics_table(
    title: str, heads: Sequence[str], rows: Sequence[tuple[Sequence[str], Mapping[str, Any]]], absent: str | None = None
) -> Element:
    """Return a table of losses and metrics, given the first cells of each row and its values by name."""
    names = list(dict.fromkeys(name for _, logs in rows for name in logs))
    cells = [[*first, *(value_text(logs.get(name, absent)) for name in names)] for first, logs in rows]
    return table(title, [*heads, *map(safe_lines, names)], cells)


def _output(output: Mapping[str, Any], title: str) -> Iterator[Element]:
    """Yield what an output's kind of predictions has; `title` names the output and the rows."""
    title += "" if (at := output.get("threshold")) is None else f", labels at threshold {at:.4g}"
    if "classes" in output:
        yield _class_table(output["classes"], title)
    if "matrix" in output:
        names = [safe_lines(each["name"]) for each in output["classes"]]
        yield folded("Confusion matrix", _matrix(output["matrix"], names, title))
    elif "confusions" in output:
        cells = [[*map(safe_lines, names), f"{count:,}"] for *names, count in output["confusions"]]
        made = table(f"Confusions of {title}", ["true", "predicted", "rows"], cells, numbers_from=2)
        yield folded("Largest confusions", made)
    if "cuts" in output:
        yield from _thresholds(output, title)
    if "points" in output:
        yield _values(output)
    if output.get("forecast", {}).get("points"):
        yield from _forecast(output["forecast"], title)


def _class_table(rows: Sequence[Mapping[str, Any]], title: str) -> Element:
    scores = ("precision", "recall", "f1")
    cells = [[safe_lines(row["name"]), *(f"{row[name]:.4f}" for name in scores), f"{row['support']:,}"] for row in rows]
    return table(f"Classes of {title}", ["class", "precision", "recall", "F1", "rows"], cells)


def _matrix(matrix: Sequence[Sequence[int]], names: Sequence[str], title: str) -> Element:
    """Return a confusion matrix as a table whose cells are shaded by their share of the true class."""
    cells = [[name, *(f"{count:,}" for count in row)] for name, row in zip(names, matrix, strict=True)]
    made = table(f"{title}: true classes in rows, predicted ones in columns", ["true", *names], cells)
    for cells, counts in zip(made.iter("tr"), [[], *matrix], strict=True):
        for cell, count in zip(cells.findall("td"), counts, strict=True):
            cell.set("class", f"number shade{round((_SHADES - 1) * count / (sum(counts) or 1))}")
    return made


def _thresholds(output: Mapping[str, Any], title: str) -> Iterator[Element]:
    """Yield the curves of a binary output, and the slider over its thresholds, which the page's script follows."""
    cuts, (negatives, positives) = output["cuts"], output["negatives_positives"]
    share = positives / max(1, negatives + positives)  # the curves begin below the lowest threshold, with all rows
    roc = [(1.0, 1.0), *((false / max(1, negatives), true / max(1, positives)) for _, true, false in cuts)]
    recall = [(true / max(1, positives), true / (true + false)) for _, true, false in cuts if true + false]
    area, average = value_text(output["roc_auc"]), value_text(output["average_precision"])
    bins = [(mean, part) for mean, part, _ in output["calibration"]]
    charts = [
        Chart(f"ROC, area {area}", "false positive rate", "true positive rate")
        .line([(0, 0), (1, 1)], "chance").line(roc),
        Chart(f"Precision and recall, average {average}", "recall", "precision")
        .line([(0, share), (1, share)], "chance").line([(1.0, share), *recall]),
        Chart("Calibration", f"mean probability of {safe_lines(output['positive'])}", "share of the class")
        .line([(0, 0), (1, 1)], "chance").line(bins).dots(bins, "cut", 3.5),
    ]  # fmt: skip
    middle = min(range(len(cuts)), key=lambda index: abs(cuts[index][0] - 0.5))
    slider = element("input", type="range", min=0, max=len(cuts) - 1, value=middle)
    label = element("label", f"{safe_lines(output['positive'])} where its probability is above ", slider)
    shown = element("output", class_="at")
    compact = " ".join(f"{cut!r},{true},{false}" for cut, true, false in cuts)
    totals, controls = f"{negatives} {positives}", element("p", label, class_="controls")
    yield element("div", controls, shown, class_="cuts", data_cuts=compact, data_totals=totals)
    yield element("div", *(chart.figure() for chart in charts), class_="small")
    cells = [[number_text(cut), f"{true:,}", f"{false:,}"] for cut, true, false in cuts[:: max(1, len(cuts) // 50)]]
    yield folded("Numbers", table(f"Thresholds of {title}", ["threshold", "true positives", "false positives"], cells))


def _values(output: Mapping[str, Any]) -> Element:
    """Return the charts of an output of numbers: predicted against true values, and the residuals."""
    points, edges, counts = output["points"], output["residuals"]["edges"], output["residuals"]["counts"]
    span = min(map(min, points)), max(map(max, points))
    against = Chart("Predicted against true", "true", "predicted", span, span)
    against.line([(span[0], span[0]), (span[1], span[1])], "chance").dots(points)
    residuals = Chart("Residuals", "predicted - true", "values", (edges[0], edges[-1]), (0, max(counts)))
    residuals.bars(edges, counts)
    return element("div", against.figure(), residuals.figure(), class_="small")


def _forecast(forecast: Mapping[str, Any], title: str) -> Iterator[Element]:
    """Yield the chart of the predictions of a series beside the truth, and its numbers."""
    points, axis = forecast["points"], str(forecast["axis"])
    values = [value for _, *both in points for value in both]
    span = points[0][0], points[-1][0]
    chart = Chart("Truth, and forecast (dashed)", axis, "value", span, (min(values), max(values)))
    chart.line([(at, true) for at, true, _ in points]).line([(at, made) for at, _, made in points], "line second")
    yield element("div", chart.figure(), class_="small")
    cells = [[str(at), *map(number_text, both)] for at, *both in points]
    yield folded("Numbers", table(f"Forecast of {title}", [axis, "true", "predicted"], cells))


def _worst(run: RunRecord, stored: StoredEvaluation, split: str) -> Element:
    """Return the table of the rows with the largest losses, with their cells and pictures if they were asked for."""
    rows = stored.facts["worst"]
    own = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in _BESIDE]
    cells, pictures = (list(dict.fromkeys(name for row in rows for name in row.get(kind, ()))) for kind in _BESIDE[1:3])
    why = ["why"] * any("reasons" in row for row in rows)
    body: list[list[Child]] = []
    for row in rows:
        images = dict(zip(row.get("pictures", ()), _pictures(run, stored, row), strict=True))
        beside = row.get("cells", {})
        body.append([
            str(row["row"]), *(images.get(name) for name in pictures),
            *(safe_lines(value_text(row[name])) if name in row else "" for name in own),
            *(element("span", *shaded(row.get("reasons", ())), class_="why") for _ in why),
            *(safe_lines(str(beside.get(name, ""))) for name in cells),
        ])  # fmt: skip
    heads = ["row", *map(safe_lines, [*pictures, *own, *why, *cells])]
    made = table(f"Rows of {split} with the largest loss", heads, body, numbers_from=len(heads))
    return folded("Worst rows", made)


def _pictures(run: RunRecord, stored: StoredEvaluation, row: Mapping[str, Any]) -> Iterator[Element | None]:
    """Yield the pictures of a row; None where a file was removed."""
    for number, (name, digest) in enumerate(row.get("pictures", {}).items()):
        data = picture(run, stored.name, row["row"], number, digest)
        yield None if data is None else image(data, f"{safe_lines(name)} of row {row['row']}")
