"""Draw diagrams of models into files: SVG by kerascli itself, other images with matplotlib, or text for other tools.

A run's folder has its diagram as JSON, so that its page can draw it without torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar
from xml.etree.ElementTree import Element, tostring

from pydantic import TypeAdapter, ValidationError

from kerascli.foundation.errors import ConfigError, FileRefused, safe_text
from kerascli.report import plots
from kerascli.report.architecture.canvas import Canvas, FigureCanvas, SvgCanvas
from kerascli.report.architecture.diagram import DARK, Box, Diagram
from kerascli.report.architecture.layout import DETAIL, LABEL, TITLE, picture_of, title_width
from kerascli.report.architecture.picture import Line, Placed, Point, text_width
from kerascli.report.architecture.texts import dot, mermaid

if TYPE_CHECKING:
    from kerascli.model.runtime.graph import Graph

C = TypeVar("C", SvgCanvas, FigureCanvas)

_TEXTS = {".mmd": mermaid, ".dot": dot, ".gv": dot}
SUFFIXES = (*plots.SUFFIXES, *_TEXTS)
MOST_BOXES = 2_000
_MARGIN, _HEADING = 26.0, 40.0
_INK, _GREY, _EDGE = "#20262e", "#5b6573", "#7f8a97"
_FRAME = "#f5f7f9"


@dataclass(frozen=True, slots=True)
class TitledDiagram:
    """Diagram of a model with its title and the line on its numbers of parameters."""

    title: str
    totals: str
    diagram: Diagram


def encoded_model(
    graph: "Graph", name: str, suffix: str, updates: Sequence["Graph"] = (), expand: bool = False
) -> bytes:
    """Return the contents of a file with a model's diagram, as bytes: an image, or text for Mermaid or Graphviz.

    `suffix` (one of SUFFIXES) sets the format. Of the graphs `updates` (of `fit.train_step`), only shared layers not
    yet shown are drawn. Raises ConfigError for a model that is too large to draw.
    """
    titled = titled_diagram(graph, name, updates, expand=expand)
    if (write := _TEXTS.get(suffix.lower())) is not None:
        return write(titled.diagram, name, titled.totals).encode()
    if (count := titled.diagram.count()) > MOST_BOXES:
        hint = "without --expand, blocks and repeats are drawn once" if expand else "define repeated layers as a block"
        raise ConfigError(f"the diagram would have {count:,} boxes; at most {MOST_BOXES:,} can be drawn", hint=hint)
    if suffix.lower() == ".svg":
        return f"{tostring(draw(titled, SvgCanvas).root, 'unicode')}\n".encode()
    return plots.encoded(draw(titled, FigureCanvas).figure, suffix)


def titled_diagram(graph: "Graph", name: str, updates: Sequence["Graph"], *, expand: bool = False) -> TitledDiagram:
    """Return the diagram of a model, and of the graphs `updates` (of `fit.train_step`), with the name as its title."""
    from kerascli.model.runtime.summary import summarize
    from kerascli.report.architecture.from_graph import whole_diagram

    summary = summarize(graph, name, updates=updates)
    fixed = f", {summary.non_trainable:,} of them not trainable" if summary.non_trainable else ""
    return TitledDiagram(name, f"{summary.total:,} parameters{fixed}", whole_diagram(graph, updates, expand=expand))


def draw(titled: TitledDiagram, kind: type[C]) -> C:
    """Draw a model's diagram on a new canvas, below its title and the line on numbers of parameters."""
    picture, totals = picture_of(titled.diagram), f"   {titled.totals}"
    needed = text_width(titled.title, 14.0, True) + text_width(totals, DETAIL, False)
    width, height = max(picture.width, needed) + 2 * _MARGIN, picture.height + 2 * _MARGIN + _HEADING
    left, y = (width - picture.width) / 2, -_HEADING + 6.0
    canvas = kind(width, height, left, _MARGIN + _HEADING)
    end = _text(canvas, _MARGIN - left, y, titled.title, 14.0, color=_INK, bold=True)
    _text(canvas, end, y, totals, DETAIL)
    for placed in picture.boxes:
        if placed.box.inside is not None:
            canvas.rounded(placed, 9.0, _FRAME, DARK)
    for line in picture.lines:
        _line(canvas, line)
    for placed in picture.boxes:
        if placed.box.inside is not None:
            end = _title(canvas, placed.box, placed.x + 10.0, placed.y + 13.0)
            _text(canvas, end + 12.0, placed.y + 13.0, placed.box.description, DETAIL, back=_FRAME)
        elif not placed.box.is_end:
            _box(canvas, placed)
    for label in picture.labels:
        _text(canvas, label.x, label.y, label.text, LABEL, back="#ffffff")
    return canvas


def _box(canvas: Canvas, placed: Placed) -> None:
    box = placed.box
    is_end = box.role in {"input", "output"}
    fill = "#ffffff" if is_end else _tint(box.color, 0.13)
    for behind in range(min(2, box.times - 1), 0, -1):  # a pile, where a box stands for several
        canvas.rounded(placed.moved(3.0 * behind, 3.0 * behind), 6.0, fill, box.color)
    canvas.rounded(placed, placed.height / 2 if is_end else 6.0, fill, box.color)
    words = box.description
    y = placed.y + (13.0 if words else placed.height / 2)
    _title(canvas, box, placed.middle - title_width(box) / 2, y)
    _text(canvas, placed.middle - text_width(words, DETAIL, False) / 2, placed.y + 29.5, words, DETAIL)


def _title(canvas: Canvas, box: Box, x: float, y: float) -> float:
    """Draw the kind (bold) and name of a diagram's box, starting at `x`; return the x at which they end."""
    end = _text(canvas, x, y, box.title, TITLE, color=_INK, bold=True)
    return _text(canvas, end, y, box.second_title, TITLE)


def _line(canvas: Canvas, line: Line) -> None:
    """Draw an edge: straight down or into another column, else as a cubic Bezier curve, with its arrow."""
    curves: list[list[Point]] = []
    for (x, y), (to_x, to_y) in pairwise(line.points):
        bend = (to_y - y) * 0.55
        straight = line.leads_on or x == to_x
        curves.append([(to_x, to_y)] if straight else [(x, y + bend), (to_x, to_y - bend), (to_x, to_y)])
    canvas.path(line.points[0], curves, _EDGE, (5.0, 3.0) if line.leads_on else ())
    if line.arrow:
        x, y = line.points[-1]
        canvas.path((x, y), [[(x - 3.6, y - 7.5)], [(x + 3.6, y - 7.5)]], _EDGE, filled=True)


def _text(
    canvas: Canvas, x: float, y: float, text: str, size: float, *,
    color: str = _GREY, bold: bool = False, back: str | None = None,
) -> float:  # fmt: skip
    """Draw a text, unless it is empty, starting at `x`; return the x at which it ends."""
    if text:
        canvas.text(x, y, safe_text(text), size, color, bold=bold, back=back)
    return x + text_width(text, size, bold)


def _tint(color: str, share: float) -> str:
    """Return a color mixed with white; `share` is the color's part in the mixture, from 0 to 1."""
    parts = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(255 - share * (255 - part)):02x}" for part in parts)


def diagram_json(graph: "Graph", name: str, updates: Sequence["Graph"] = ()) -> str:
    """Return the text of diagram.json for a model, and for the graphs `updates` (of `fit.train_step`)."""
    stored = titled_diagram(graph, name, updates)
    return TypeAdapter(TitledDiagram).dump_json(stored, exclude_defaults=True).decode() + "\n"


def diagram_svg(text: str) -> Element | None:
    """Return the picture of a diagram, given the text of diagram.json; None if it is too large to draw.

    Raises FileRefused if the text is not a diagram.
    """
    try:
        stored = TypeAdapter(TitledDiagram).validate_json(text)
    except ValidationError:
        raise FileRefused("diagram.json is damaged: it has values that kerascli does not write") from None
    return None if stored.diagram.count() > MOST_BOXES else draw(stored, SvgCanvas).root
