"""Draw diagrams of models with matplotlib, imported when the first is drawn; torch is not imported."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from kerascli.foundation.errors import ConfigError, safe_text
from kerascli.report.architecture.colors import DARK, color_of
from kerascli.report.architecture.diagram import Diagram
from kerascli.report.architecture.layout import (
    DETAIL,
    LABEL,
    TITLE,
    Label,
    Line,
    Picture,
    Placed,
    picture_of,
    title_of,
    words_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kerascli.model.runtime.graph import Graph

_MOST_BOXES = 2_000
_PER_INCH = 100.0
_SHARP, _LARGEST = 200, 30_000
"""Resolution of a diagram's image in dots per inch, and the maximum number of dots per side, which may lower the
resolution."""
_MARGIN, _HEADING = 26.0, 40.0
_INK, _GREY, _EDGE = "#20262e", "#5b6573", "#7f8a97"
_FRAME = "#f5f7f9"
_FONT = "DejaVu Sans"


def draw_graph(graph: "Graph", name: str, *, expand: bool = False, beside: Sequence["Graph"] = ()) -> "Figure":
    """Return a matplotlib figure of a model's diagram; of the graphs `beside`, only shared layers not yet shown are
    drawn.

    Raises ConfigError for a model that is too large to draw.
    """
    from kerascli.report.architecture.called_models import whole_diagram

    diagram = whole_diagram(graph, beside, expand=expand)
    if (count := diagram.count()) > _MOST_BOXES:
        hint = "without --expand, blocks and repeats are drawn once" if expand else "define repeated layers as a block"
        raise ConfigError(f"the diagram would have {count:,} boxes; at most {_MOST_BOXES:,} can be drawn", hint=hint)
    return _figure(diagram, name, totals_of(graph, name, beside))


def totals_of(graph: "Graph", name: str, beside: Sequence["Graph"] = ()) -> str:
    """Return a line of text with a model's number of parameters, and how many of them are not trainable."""
    from kerascli.report.summary import summarize

    found = summarize(graph, name, beside=beside)
    fixed = f", {found.non_trainable:,} of them not trainable" if found.non_trainable else ""
    return f"{found.total:,} parameters{fixed}"


def _figure(diagram: Diagram, title: str, totals: str) -> "Figure":
    from matplotlib.figure import Figure

    picture = picture_of(diagram, _measure)
    needed = _measure(title, 14.0, True) + _measure(f"   {totals}", DETAIL, False)
    width, height = max(picture.width, needed) + 2 * _MARGIN, picture.height + 2 * _MARGIN + _HEADING
    inches = width / _PER_INCH, height / _PER_INCH
    figure = Figure(figsize=inches, dpi=max(20.0, min(_SHARP, _LARGEST / max(inches))))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    left = (width - picture.width) / 2
    axes.set(xlim=(-left, width - left), ylim=(height - _MARGIN - _HEADING, -_MARGIN - _HEADING))
    axes.set_axis_off()
    corner = _MARGIN - left, -_HEADING + 6.0
    _text(axes, *corner, title, 14.0, bold=True, align="left")
    _text(axes, corner[0] + _measure(title, 14.0, True), corner[1], f"   {totals}", DETAIL, color=_GREY, align="left")
    _draw(axes, picture)
    return figure


def _draw(axes: "Axes", picture: Picture) -> None:
    for placed in picture.boxes:
        if placed.box.inside is not None:
            _frame(axes, placed)
    for line in picture.lines:
        _line(axes, line)
    for placed in picture.boxes:
        if placed.box.inside is not None:
            _title(axes, placed, placed.x + 10.0, placed.y + 13.0)
        elif placed.box.role not in {"entry", "exit"}:
            _box(axes, placed)
    for label in picture.labels:
        _label(axes, label)


def _frame(axes: "Axes", placed: Placed) -> None:
    color = _GREY if placed.box.role == "repeat" else DARK
    style: dict[str, Any] = {"facecolor": _FRAME, "edgecolor": color, "linewidth": 1.0}
    style |= {"linestyle": (0, (4, 3))} if placed.box.role != "model" else {}
    _rounded(axes, placed, 9.0, style)


def _box(axes: "Axes", placed: Placed) -> None:
    box = placed.box
    color = color_of(box)
    pill = box.role in {"input", "output"}
    style: dict[str, Any] = {"facecolor": _tint(color, 0.13), "edgecolor": color, "linewidth": 1.1}
    if pill:
        style |= {"facecolor": DARK if box.role == "output" else "white", "edgecolor": DARK}
    if box.role == "figure":
        style |= {"linestyle": (0, (3, 2))}
    if box.frozen:
        style |= {"facecolor": "white", "hatch": "////", "edgecolor": _tint(color, 0.55)}
    for behind in range(min(2, box.times - 1), 0, -1):  # a pile, where a box stands for several
        _rounded(axes, placed, 6.0, style, shift=3.0 * behind)
    _rounded(axes, placed, placed.height / 2 if pill else 6.0, style)
    if box.role in {"model", "block"}:
        _rounded(axes, placed, 4.0, {**style, "facecolor": "none", "hatch": None, "linewidth": 0.7}, inset=3.0)
    words = words_of(box)
    if not words:
        _title(axes, placed, None, placed.y + placed.height / 2, light=box.role == "output")
        return
    _title(axes, placed, None, placed.y + 13.0, back="white" if box.frozen else None)
    _text(axes, placed.middle, placed.y + 29.5, words, DETAIL, color=_GREY, back="white" if box.frozen else None)


def _title(
    axes: "Axes", placed: Placed, x: float | None, y: float, *, light: bool = False, back: str | None = None
) -> None:
    """Draw a diagram box's kind (bold), name and, for a frame, details; starting at `x`, or centered if `x` is None."""
    box = placed.box
    name, color = f"  {box.name}" if box.name else "", "white" if light else _INK
    kind = _measure(title_of(box), TITLE, True)
    x = placed.middle - (kind + _measure(name, TITLE, False)) / 2 if x is None else x
    _text(axes, x, y, title_of(box), TITLE, bold=True, align="left", color=color, back=back)
    _text(axes, x + kind, y, name, TITLE, align="left", color="white" if light else _GREY, back=back)
    if box.inside is not None:
        kind += _measure(name, TITLE, False) + 12.0
        _text(axes, x + kind, y, words_of(box), DETAIL, align="left", color=_GREY, back=_FRAME)


def _rounded(
    axes: "Axes", placed: Placed, radius: float, style: dict[str, Any], *, shift: float = 0.0, inset: float = 0.0
) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner = placed.x + shift + inset, placed.y + shift + inset
    shape = f"round,pad=0,rounding_size={radius}"
    width, height = placed.width - 2 * inset, placed.height - 2 * inset
    axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle=shape, mutation_aspect=1, **style))


def _line(axes: "Axes", line: Line) -> None:
    from matplotlib.patches import PathPatch, Polygon
    from matplotlib.path import Path

    points, codes = [line.points[0]], [Path.MOVETO]
    for (x, y), (to_x, to_y) in zip(line.points, line.points[1:], strict=False):
        if line.leads_on or x == to_x:
            points.append((to_x, to_y))
            codes.append(Path.LINETO)
        else:
            bend = (to_y - y) * 0.55
            points += [(x, y + bend), (to_x, to_y - bend), (to_x, to_y)]
            codes += [Path.CURVE4] * 3
    dashes: dict[str, Any] = {"linestyle": (0, (5, 3))} if line.leads_on else {}
    axes.add_patch(PathPatch(Path(points, codes), fill=False, edgecolor=_EDGE, linewidth=1.2, **dashes))
    if line.arrow:
        x, y = line.points[-1]
        head = [(x, y), (x - 3.6, y - 7.5), (x + 3.6, y - 7.5)]
        axes.add_patch(Polygon(head, facecolor=_EDGE, edgecolor="none"))


def _label(axes: "Axes", label: Label) -> None:
    _text(axes, label.x, label.y, label.text, LABEL, color=_GREY, align="left", back="white")


def _text(
    axes: "Axes",
    x: float,
    y: float,
    text: str,
    size: float,
    *,
    color: str = _INK,
    bold: bool = False,
    align: str = "center",
    back: str | None = None,
) -> None:
    patch: dict[str, Any] = (
        {"bbox": {"facecolor": back, "edgecolor": "none", "pad": 0.6, "alpha": 0.85}} if back else {}
    )
    axes.text(
        x, y, safe_text(text), fontsize=size * 72 / _PER_INCH, color=color, ha=align, va="center_baseline",
        fontweight="bold" if bold else "normal", fontfamily=_FONT, parse_math=False, zorder=5, **patch,
    )  # fmt: skip


def _tint(color: str, share: float) -> tuple[float, float, float]:
    """Return the RGB values of a color mixed with white; `share` is the color's part in the mixture, from 0 to 1."""
    from matplotlib.colors import to_rgb

    red, green, blue = (1 - share * (1 - part) for part in to_rgb(color))
    return red, green, blue


@cache
def _measure(text: str, size: float, bold: bool) -> float:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    if not text:
        return 0.0
    font = FontProperties(family=_FONT, weight="bold" if bold else "normal", size=size)
    return text_to_path.get_text_width_height_descent(safe_text(text), font, ismath=False)[0]
