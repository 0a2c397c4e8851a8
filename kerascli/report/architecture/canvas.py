"""Canvases on which a diagram is drawn, in pixels from the upper left corner of the picture: SVG, or matplotlib's."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kerascli.report.architecture.picture import Placed, Point, text_width
from kerascli.report.markup import element

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PER_INCH = 100.0
_SHARP, _LARGEST = 200, 30_000
"""Resolution of an image in dots per inch, and the maximum number of dots per side, which may lower the resolution."""
_FONT = "DejaVu Sans"
_LINE, _BORDER = 1.2, 1.1
_PAD = 1.5

Curves = Sequence[Sequence[Point]]
"""Continuations of a path: each has one point (a straight line to it) or three (a cubic Bezier curve to the last)."""
Dashes = tuple[float, ...]


class SvgCanvas:
    """Canvas that is an SVG element; texts keep their widths whatever font a reader has."""

    def __init__(self, width: float, height: float, left: float, top: float) -> None:
        """Create a canvas of a size in pixels; the picture's upper left corner is at (`left`, `top`)."""
        box = f"{-left:.1f} {-top:.1f} {width:.1f} {height:.1f}"
        ground = element("rect", x=f"{-left:.1f}", y=f"{-top:.1f}", width="100%", height="100%", fill="#ffffff")
        self.root = element(
            "svg", ground, xmlns="http://www.w3.org/2000/svg", viewBox=box,
            width=f"{width:.0f}", height=f"{height:.0f}", font_family=f"{_FONT}, sans-serif",
        )  # fmt: skip

    def rounded(self, placed: Placed, radius: float, fill: str, edge: str) -> None:
        """Draw a box with round corners; the colors are #rrggbb."""
        place = {name: f"{getattr(placed, name):.1f}" for name in ("x", "y", "width", "height")} | {"rx": radius}
        self.root.append(element("rect", fill=fill, stroke=edge, stroke_width=_BORDER, **place))

    def path(self, start: Point, curves: Curves, color: str, dashes: Dashes = (), *, filled: bool = False) -> None:
        """Draw a line, or fill the area in it."""
        steps = (f"{'C' if len(points) > 1 else 'L'}{' '.join(map(_place, points))}" for points in curves)
        look = {"fill": color} if filled else {"fill": "none", "stroke": color, "stroke_width": _LINE}
        dashed = {"stroke_dasharray": " ".join(map(str, dashes))} if dashes else {}
        self.root.append(element("path", d=f"M{_place(start)}{''.join(steps)}", **look, **dashed))

    def text(
        self, x: float, y: float, text: str, size: float, color: str, *, bold: bool = False, back: str | None = None
    ) -> None:
        """Write a text from `x` on, vertically centered at `y`; `back` is the color of the area behind it."""
        width = text_width(text, size, bold)
        if back is not None:
            area = {"x": f"{x - _PAD:.1f}", "y": f"{y - size / 2 - _PAD:.1f}", "width": f"{width + 2 * _PAD:.1f}"}
            height = f"{size + 2 * _PAD:.1f}"
            self.root.append(element("rect", height=height, fill=back, fill_opacity=0.85, **area))
        weight = {"font_weight": "bold"} if bold else {}
        made = element("text", text, x=f"{x:.1f}", y=f"{y + 0.36 * size:.1f}", fill=color, font_size=size, **weight)
        made.set("{http://www.w3.org/XML/1998/namespace}space", "preserve")
        made.set("textLength", f"{width:.1f}")
        made.set("lengthAdjust", "spacingAndGlyphs")
        self.root.append(made)


class FigureCanvas:
    """Canvas that is a matplotlib figure, with the methods of `SvgCanvas`."""

    def __init__(self, width: float, height: float, left: float, top: float) -> None:
        from matplotlib.figure import Figure

        inches = width / _PER_INCH, height / _PER_INCH
        self.figure = Figure(figsize=inches, dpi=max(20.0, min(_SHARP, _LARGEST / max(inches))))
        self._axes: Axes = self.figure.add_axes((0.0, 0.0, 1.0, 1.0))
        self._axes.set(xlim=(-left, width - left), ylim=(height - top, -top))
        self._axes.set_axis_off()

    def rounded(self, placed: Placed, radius: float, fill: str, edge: str) -> None:
        from matplotlib.patches import FancyBboxPatch

        _, x, y, width, height = placed
        look: dict[str, Any] = {"facecolor": fill, "edgecolor": edge, "linewidth": _BORDER}
        shape = f"round,pad=0,rounding_size={radius}"
        self._axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=shape, mutation_aspect=1, **look))

    def path(self, start: Point, curves: Curves, color: str, dashes: Dashes = (), *, filled: bool = False) -> None:
        from matplotlib.patches import PathPatch
        from matplotlib.path import Path

        codes = [Path.MOVETO, *(code for each in curves for code in ([Path.CURVE4] * 3 if each[1:] else [Path.LINETO]))]
        path = Path([start, *(point for each in curves for point in each)], codes)
        look = {"color": color, "linewidth": 0.0 if filled else _LINE, "linestyle": (0, dashes) if dashes else "-"}
        self._axes.add_patch(PathPatch(path, fill=filled, **look))

    def text(
        self, x: float, y: float, text: str, size: float, color: str, *, bold: bool = False, back: str | None = None
    ) -> None:
        area: dict[str, Any] = {"facecolor": back, "edgecolor": "none", "pad": 0.6, "alpha": 0.85}
        self._axes.text(
            x, y, text, fontsize=size * 72 / _PER_INCH, color=color, va="center_baseline",
            fontweight="bold" if bold else "normal", fontfamily=_FONT, parse_math=False, zorder=5,
            bbox=area if back else None,
        )  # fmt: skip


Canvas = SvgCanvas | FigureCanvas
"""Surface on which a diagram is drawn: boxes, lines, heads of arrows and texts, placed in pixels."""


def _place(point: Point) -> str:
    return f"{point[0]:.1f},{point[1]:.1f}"
