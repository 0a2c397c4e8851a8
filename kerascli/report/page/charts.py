"""Charts of evaluations as SVG: lines, points and bars over two axes, drawn from plain numbers."""

import math
from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element

from kerascli.report.markup import element, figure

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 328, 256, 80, 40, 10, 14
Points = Sequence[Sequence[float]]
Range = tuple[float, float]
Ticks = Mapping[float, str]


class Chart:
    """Chart with a caption, two axes of a given range, and what is drawn between them."""

    def __init__(
        self, caption: str, across: str, up: str, x: Range = (0.0, 1.0), y: Range = (0.0, 1.0), *,
        x_ticks: Ticks | None = None, y_ticks: Ticks | None = None, width: int = _WIDTH,
    ) -> None:  # fmt: skip
        """Begin a chart; `across` and `up` are the labels of its axes, `x` and `y` their ranges, and `x_ticks` and
        `y_ticks` what is written at places of them; None: round numbers."""
        self._caption, self._labels, self._width = caption, (across, up), width
        self._x, self._y = _widened(x), _widened(y)
        self._ticks = [_ticks(span) if own is None else own for span, own in ((self._x, x_ticks), (self._y, y_ticks))]
        self._drawn: list[Element] = []

    def line(self, points: Points, kind: str = "line", title: str | None = None) -> "Chart":
        """Draw a line through points (x, y); `kind` is its class in the page's style, `title` is shown above it."""
        name = None if title is None else element("title", title)
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(self._at, points))
        self._drawn.append(element("polyline", name, points=places, class_=kind))
        return self

    def text(self, point: Sequence[float], text: str) -> "Chart":
        """Write a text at a point (x, y)."""
        self._drawn.append(_text(text, *self._at(point), "middle"))
        return self

    def dots(self, points: Points, kind: str = "dot", radius: float = 2.5) -> "Chart":
        """Draw points (x, y)."""
        for x, y in map(self._at, points):
            self._drawn.append(element("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=radius, class_=kind))
        return self

    def bars(self, edges: Sequence[float], heights: Sequence[float]) -> "Chart":
        """Draw the bars of a histogram."""
        for left, right, height in zip(edges, edges[1:], heights, strict=False):
            (x, y), (end, floor) = self._at((left, height)), self._at((right, self._y[0]))
            size = {"width": f"{max(0.5, end - x - 1):.1f}", "height": f"{floor - y:.1f}"}
            self._drawn.append(element("rect", x=f"{x:.1f}", y=f"{y:.1f}", class_="bar", **size))
        return self

    def figure(self) -> Element:
        """Return the chart as a figure with its caption."""
        return figure(self._caption, self.svg())

    def svg(self) -> Element:
        """Return the chart as SVG."""
        right, bottom = self._width - _RIGHT, _HEIGHT - _BOTTOM
        axes = element("path", d=f"M{_LEFT} {_TOP}V{bottom}H{right}", class_="axis")
        labels = [_text(self._labels[0], (_LEFT + right) / 2, _HEIGHT - 4, "middle")]
        labels.append(_text(self._labels[1], 0, 0, "middle", transform=f"translate(12 {bottom / 2}) rotate(-90)"))
        across, up = self._ticks
        labels += [_text(text, self._at((value, 0))[0], bottom + 16, "middle") for value, text in across.items()]
        labels += [_text(text, _LEFT - 6, self._at((0, value))[1] + 4, "end") for value, text in up.items()]
        title = element("title", self._caption)
        size = {"viewBox": f"0 0 {self._width} {_HEIGHT}", "width": self._width, "height": _HEIGHT}
        return element("svg", title, axes, *labels, *self._drawn, role="img", **size)

    def _at(self, point: Sequence[float]) -> tuple[float, float]:
        """Return the place of a point, in pixels from the upper left corner."""
        x, y = ((value - low) / (high - low) for value, (low, high) in zip(point, (self._x, self._y), strict=True))
        return _LEFT + x * (self._width - _LEFT - _RIGHT), _TOP + (1 - y) * (_HEIGHT - _TOP - _BOTTOM)


def _widened(span: Range) -> Range:
    low, high = span
    margin = abs(low) / 2 or 0.5
    return (low, high) if high > low else (low - margin, high + margin)


def _ticks(span: Range) -> Ticks:
    """Return two to six round values within a range, with their texts."""
    low, high = span
    step = 10 ** math.floor(math.log10((high - low) / 2))
    step *= next(size for size in (5, 2, 1) if (high - low) / (size * step) >= 2 - 1e-9)
    first = math.ceil(low / step - 1e-9)
    values = (number * step for number in range(first, math.floor(high / step + 1e-9) + 1))
    if max(abs(low), abs(high)) >= 1e6:
        return {each: f"{each / 1e6:.6g}M" if each else "0" for each in values}
    return {each: f"{each:,.0f}" if abs(each) >= 1000 else f"{each:.6g}" for each in values}


def _text(text: str, x: float, y: float, anchor: str, **more: object) -> Element:
    return element("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, class_="soft", **more)
