"""Show the reasons for predictions: as text on a terminal, as CSV, as a picture, or as an HTML page."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from xml.etree.ElementTree import Element

import numpy as np

from kerascli.foundation.disk.storage import csv_text
from kerascli.foundation.errors import ConfigError, safe_text
from kerascli.report.markup import Child, element, section, table
from kerascli.report.page.document import document
from kerascli.report.plots import COLORS, encoded, in_style, new_figure
from kerascli.report.text_tables import text_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".html", ".csv", ".png", ".svg", ".pdf")
_MOST_COLUMNS = 30
"""Maximum number of columns in a picture or on a terminal; the others are those of the smallest shares."""
_LEVELS = 4
"""Number of shades of a word for, and of as many against, a prediction."""


Method = Literal["permutation", "integrated_gradients", "grad_cam", "occlusion"]
Kind = Literal["columns", "picture", "text", "series"]


@dataclass(frozen=True, slots=True)
class Importance:
    """Permutation importance of a column: the mean increase of the loss (or decline of a metric) if its values are
    shuffled, with a 95 % interval."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Reasons:
    """Reasons for predictions; of the fields for columns, pictures and words those of the kind are set."""

    method: Method
    kind: Kind
    predictions: tuple[str, ...] = ()
    """Prediction of each row, as it is shown; empty for a permutation importance, which is of all rows together."""
    importance: tuple[Importance, ...] = ()
    columns: tuple[str, ...] = ()
    values: np.ndarray | None = None
    """Attributions of columns (rows, columns), of a series (rows, steps, columns), or maps of pictures (rows, height,
    width)."""
    cells: tuple[tuple[str, ...], ...] = ()
    """Values of the columns of each row, as texts."""
    pictures: np.ndarray | None = None
    """Pictures (rows, height, width, channels), from 0 to 1."""
    words: tuple[tuple[tuple[str, float], ...], ...] = ()
    """Words of each row with their attributions."""
    notes: tuple[str, ...] = ()


def reasons_text(reasons: Reasons, *, colored: bool = False) -> str:
    """Return reasons as text for a terminal, with colors or without; of pictures the predictions."""
    if reasons.importance:
        rows = [(safe_text(e.name), f"{e.value:+.4g}", f"{e.low:+.4g} to {e.high:+.4g}") for e in reasons.importance]
        return text_table([*zip(("column", "importance", "95 % interval"), *rows, strict=True)], "<>>") + "\n"
    if reasons.words:
        lines = zip(reasons.predictions, reasons.words, strict=True)
        return "".join(f"{safe_text(label)}: {_marked(words, colored=colored)}\n" for label, words in lines)
    if reasons.kind == "picture":
        return "".join(f"row {number}: {safe_text(label)}\n" for number, label in enumerate(reasons.predictions, 1))
    values, names = _by_column(reasons), [safe_text(name) for name in reasons.columns]
    order = np.argsort(-np.abs(values).mean(0), kind="stable")[:_MOST_COLUMNS]
    cells = [["row", *map(str, range(1, len(values) + 1))], ["prediction", *map(safe_text, reasons.predictions)]]
    cells += [[names[at], *(f"{value:+.3g}" for value in values[:, at])] for at in order]
    return text_table(cells, "><", width=100) + "\n"


def _by_column(reasons: Reasons) -> np.ndarray:
    """Return the attributions of columns (rows, columns), for a series summed over its steps."""
    assert reasons.values is not None
    return reasons.values.sum(1) if reasons.kind == "series" else reasons.values


def _marked(words: Sequence[tuple[str, float]], *, colored: bool) -> str:
    """Return words of which those with large shares are colored, or have their share in brackets."""
    bound = max((abs(value) for _, value in words), default=0.0) / 3
    marked: list[str] = []
    for word, value in words:
        text = safe_text(word)
        if abs(value) > bound and colored:
            text = f"\x1b[{32 if value > 0 else 31};1m{text}\x1b[0m"
        marked.append(f"{text}[{value:+.2g}]" if abs(value) > bound and not colored else text)
    return " ".join(marked)


def reasons_csv(reasons: Reasons) -> str:
    """Return reasons as CSV. Raises ConfigError for pictures."""
    if reasons.importance:
        rows = ([each.name, each.value, each.low, each.high] for each in reasons.importance)
        return csv_text([["column", "importance", "low", "high"], *rows])
    if reasons.kind == "picture":
        raise ConfigError("maps of pictures are no table", hint="-o why.html or why.png")
    if reasons.words:
        lines = [[row, place, word, value] for row, words in enumerate(reasons.words, 1)
                 for place, (word, value) in enumerate(words, 1)]  # fmt: skip
        return csv_text([["row", "place", "word", "attribution"], *lines])
    assert reasons.values is not None
    if reasons.kind == "series":
        lines = [[row + 1, step + 1, reasons.columns[column], value]
                 for (row, step, column), value in np.ndenumerate(reasons.values)]  # fmt: skip
        return csv_text([["row", "step", "column", "attribution"], *lines])
    lines = [[row + 1, reasons.columns[column], reasons.cells[row][column], value]
             for (row, column), value in np.ndenumerate(reasons.values)]  # fmt: skip
    return csv_text([["row", "column", "value", "attribution"], *lines])


def reasons_html(reasons: Reasons, title: str) -> str:
    """Return reasons as the text of an HTML page, which needs no network."""
    parts: list[Child] = [element("p", safe_text(note), class_="hint") for note in reasons.notes]
    if reasons.importance:
        rows = [(safe_text(e.name), f"{e.value:+.4g}", f"{e.low:+.4g} to {e.high:+.4g}") for e in reasons.importance]
        parts.append(table("Importance of columns", ("column", "importance", "95 % interval"), rows))
    elif reasons.words:
        parts += [_text_of_row(*pair) for pair in zip(reasons.predictions, reasons.words, strict=True)]
    elif reasons.kind == "picture":
        parts += [_figure_of_row(reasons, row) for row in range(len(reasons.predictions))]
    else:
        values = _by_column(reasons)
        rows = ((f"{row + 1}: {label}", *(f"{value:+.3g}" for value in values[row]))
                for row, label in enumerate(reasons.predictions))  # fmt: skip
        parts.append(table("Shares of columns", ("row", *map(safe_text, reasons.columns)), rows))
    return document(title, [section("Reasons", *parts, anchor="reasons")], {})


def _text_of_row(label: str, words: tuple[tuple[str, float], ...]) -> Element:
    bound = max((abs(value) for _, value in words), default=0.0) or 1.0
    marks: list[Child] = []
    for word, value in words:
        level = round(_LEVELS * abs(value) / bound)
        kind = f"{'for' if value > 0 else 'against'}-{level}" if level else "neutral"
        marks += [element("span", safe_text(word), class_=kind, title=f"{value:+.3g}"), " "]
    return element("div", element("h3", safe_text(label)), element("p", *marks))


def _figure_of_row(reasons: Reasons, row: int) -> Element:
    data = encoded(_overlays(reasons, [row]), ".png")
    picture = element("img", src=f"data:image/png;base64,{b64encode(data).decode()}", alt=f"Reasons of row {row + 1}")
    return element("figure", element("figcaption", f"{row + 1}: {safe_text(reasons.predictions[row])}"), picture)


@in_style(grid=False)
def reasons_figure(reasons: Reasons) -> "Figure":
    """Return reasons as a matplotlib figure. Raises ConfigError for words."""
    if reasons.words:
        raise ConfigError("words are text, no picture", hint="-o why.html colors them")
    if reasons.kind == "picture":
        return _overlays(reasons, range(len(reasons.predictions)))
    if reasons.kind == "series":
        return _heat(reasons)
    names, values, errors = _bars(reasons)
    figure = new_figure((7.0, 0.9 + 0.28 * len(names)))
    axes = figure.subplots()
    axes.barh(range(len(names)), values, xerr=errors, color=[COLORS[0] if v >= 0 else COLORS[1] for v in values])
    axes.set_yticks(range(len(names)), [safe_text(name, 40) for name in names])
    axes.invert_yaxis()
    axes.axvline(0, color="#6b7480", linewidth=0.8)
    axes.set_title(_title(reasons))
    return figure


def _title(reasons: Reasons) -> str:
    if reasons.importance:
        return "Importance of columns, with 95 % intervals"
    one = len(reasons.predictions) == 1
    return f"Reasons for {safe_text(reasons.predictions[0], 60)}" if one else "Mean size of the shares of columns"


def _bars(reasons: Reasons) -> tuple[list[str], list[float], Any]:
    """Return (names, values, distances of the intervals' ends or None) of the largest bars."""
    if reasons.importance:
        top = reasons.importance[:_MOST_COLUMNS]
        ends = [[max(0.0, e.value - e.low) for e in top], [max(0.0, e.high - e.value) for e in top]]
        return [e.name for e in top], [e.value for e in top], ends
    values = _by_column(reasons)
    sizes = values[0] if len(values) == 1 else np.abs(values).mean(0)
    order = np.argsort(-np.abs(sizes), kind="stable")[:_MOST_COLUMNS]
    return [reasons.columns[at] for at in order], sizes[order].tolist(), None


def _heat(reasons: Reasons) -> "Figure":
    assert reasons.values is not None
    values = reasons.values[0] if len(reasons.values) == 1 else np.abs(reasons.values).mean(0)
    figure = new_figure((7.0, 1.2 + 0.3 * values.shape[1]))
    axes, bound = figure.subplots(), float(np.abs(values).max()) or 1.0
    image = axes.imshow(values.T, aspect="auto", cmap="RdBu_r", vmin=-bound, vmax=bound, interpolation="nearest")
    axes.set_yticks(range(len(reasons.columns)), [safe_text(name, 30) for name in reasons.columns])
    axes.set(title=_title(reasons), xlabel="step of the window")
    figure.colorbar(image)
    return figure


@in_style(grid=False)
def _overlays(reasons: Reasons, rows: Sequence[int]) -> "Figure":
    """Return pictures with their maps over them."""
    assert reasons.values is not None
    assert reasons.pictures is not None
    across = min(4, len(rows))
    down = -(-len(rows) // across)
    figure = new_figure((2.6 * across, 2.9 * down))
    grid = figure.subplots(down, across, squeeze=False).flatten()
    for axes in grid:
        axes.set_axis_off()
    for axes, row in zip(grid, rows, strict=False):
        picture, values = reasons.pictures[row], reasons.values[row]
        bound = float(np.abs(values).max()) or 1.0
        grey = picture[..., :3].mean(-1) if picture.shape[-1] > 1 else picture[..., 0]
        axes.imshow(grey, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.imshow(values, cmap="RdBu_r", vmin=-bound, vmax=bound, alpha=np.abs(values) / bound * 0.75,
                    interpolation="nearest")  # fmt: skip
        axes.set_title(safe_text(reasons.predictions[row], 30), fontsize=9)
    return figure
