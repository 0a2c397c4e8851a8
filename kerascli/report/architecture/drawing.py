"""Draw diagrams of models with matplotlib, imported when the first is drawn; torch is not imported."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from kerascli.foundation.errors import ConfigError, safe_text
from kerascli.report import plots
from kerascli.report.architecture.diagram import DARK, Diagram
from kerascli.report.architecture.layout import DETAIL, LABEL, TITLE, picture_of
from kerascli.report.architecture.picture import Line, Picture, Placed
from kerascli.report.architecture.texts import dot, mermaid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kerascli.model.runtime.graph import Graph

_TEXTS = {".mmd": mermaid, ".dot": dot, ".gv": dot}
SUFFIXES = (*plots.SUFFIXES, *_TEXTS)
_MOST_BOXES = 2_000
_PER_INCH = 100.0
_SHARP, _LARGEST = 200, 30_000
"""Resolution of a diagram's image in dots per inch, and the maximum number of dots per side, which may lower the
resolution."""
_MARGIN, _HEADING = 26.0, 40.0
_INK, _GREY, _EDGE = "#20262e", "#5b6573", "#7f8a97"
_FRAME = "#f5f7f9"
_FONT = "DejaVu Sans"


def encoded_model(
    graph: "Graph", name: str, suffix: str, *, expand: bool = False, updates: Sequence["Graph"] = ()
) -> bytes:
    """Return the contents of a file with a model's diagram, as bytes: an image, or text for Mermaid or Graphviz.

    `suffix` (one of SUFFIXES) sets the format. Of the graphs `updates` (of `fit.train_step`), only shared layers not
    yet shown are drawn. Raises ConfigError for a model that is too large to draw.
    """
    from kerascli.model.runtime.summary import summarize
    from kerascli.report.architecture.from_graph import whole_diagram

    diagram = whole_diagram(graph, updates, expand=expand)
    summary = summarize(graph, name, updates=updates)
    fixed = f", {summary.non_trainable:,} of them not trainable" if summary.non_trainable else ""
    totals = f"{summary.total:,} parameters{fixed}"
    if (write := _TEXTS.get(suffix.lower())) is not None:
        return write(diagram, name, totals).encode()
    if (count := diagram.count()) > _MOST_BOXES:
        hint = "without --expand, blocks and repeats are drawn once" if expand else "define repeated layers as a block"
        raise ConfigError(f"the diagram would have {count:,} boxes; at most {_MOST_BOXES:,} can be drawn", hint=hint)
    return plots.encoded(draw(diagram, name, totals), suffix)


def draw(diagram: Diagram, title: str, totals: str) -> "Figure":
    """Return a matplotlib figure of a model's diagram, with a title and `totals`, the line on numbers of parameters."""
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
    x, y = _MARGIN - left, -_HEADING + 6.0
    _text(axes, x, y, title, 14.0, color=_INK, bold=True)
    _text(axes, x + _measure(title, 14.0, True), y, f"   {totals}", DETAIL)
    _draw_picture(axes, picture)
    return figure


def _draw_picture(axes: "Axes", picture: Picture) -> None:
    for placed in picture.boxes:
        if placed.box.inside is not None:
            color = _GREY if placed.box.role == "repeat" else DARK
            dashes: dict[str, Any] = {} if placed.box.role == "model" else {"linestyle": (0, (4, 3))}
            _rounded(axes, placed, 9.0, {"facecolor": _FRAME, "edgecolor": color, "linewidth": 1.0, **dashes})
    for line in picture.lines:
        _line(axes, line)
    for placed in picture.boxes:
        if placed.box.inside is not None:
            end = _title(axes, placed, placed.x + 10.0, placed.y + 13.0)
            _text(axes, end + 12.0, placed.y + 13.0, placed.box.description, DETAIL, back=_FRAME)
        elif not placed.box.is_end:
            _box(axes, placed)
    for label in picture.labels:
        _text(axes, label.x, label.y, label.text, LABEL, back="white")


def _box(axes: "Axes", placed: Placed) -> None:
    box = placed.box
    pill = box.role in {"input", "output"}
    style: dict[str, Any] = {"facecolor": _tint(box.color, 0.13), "edgecolor": box.color, "linewidth": 1.1}
    if pill:
        style |= {"facecolor": DARK if box.role == "output" else "white", "edgecolor": DARK}
    if box.role == "figure":
        style |= {"linestyle": (0, (3, 2))}
    if box.frozen:
        style |= {"facecolor": "white", "hatch": "////", "edgecolor": _tint(box.color, 0.55)}
    for behind in range(min(2, box.times - 1), 0, -1):  # a pile, where a box stands for several
        _rounded(axes, placed, 6.0, style, shift=3.0 * behind)
    _rounded(axes, placed, placed.height / 2 if pill else 6.0, style)
    if box.role in {"model", "block"}:
        _rounded(axes, placed, 4.0, {**style, "facecolor": "none", "hatch": None, "linewidth": 0.7}, inset=3.0)
    name = f"  {box.name}" if box.name else ""
    x = placed.middle - (_measure(box.title, TITLE, True) + _measure(name, TITLE, False)) / 2
    back, words = "white" if box.frozen else None, box.description
    if not words:
        _title(axes, placed, x, placed.y + placed.height / 2, light=box.role == "output")
        return
    _title(axes, placed, x, placed.y + 13.0, back=back)
    _text(axes, placed.middle, placed.y + 29.5, words, DETAIL, align="center", back=back)


def _title(axes: "Axes", placed: Placed, x: float, y: float, *, light: bool = False, back: str | None = None) -> float:
    """Draw the kind (bold) and name of a diagram's box, starting at `x`; return the x at which they end."""
    box = placed.box
    name = f"  {box.name}" if box.name else ""
    kind = _measure(box.title, TITLE, True)
    _text(axes, x, y, box.title, TITLE, color="white" if light else _INK, bold=True, back=back)
    _text(axes, x + kind, y, name, TITLE, color="white" if light else _GREY, back=back)
    return x + (kind + _measure(name, TITLE, False))


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


def _text(
    axes: "Axes", x: float, y: float, text: str, size: float, *,
    color: str = _GREY, bold: bool = False, align: str = "left", back: str | None = None,
) -> None:  # fmt: skip
    patch: dict[str, Any] = {"facecolor": back, "edgecolor": "none", "pad": 0.6, "alpha": 0.85}
    axes.text(
        x, y, safe_text(text), fontsize=size * 72 / _PER_INCH, color=color, ha=align, va="center_baseline",
        fontweight="bold" if bold else "normal", fontfamily=_FONT, parse_math=False, zorder=5,
        bbox=patch if back else None,
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
