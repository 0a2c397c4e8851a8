"""Charts of evaluations as SVG: lines, points and bars over two axes, drawn from plain numbers."""

import math
from collections.abc import Sequence
from xml.etree.ElementTree import Element

from kerascli.report.markup import element

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 328, 256, 66, 40, 10, 14
Points = Sequence[Sequence[float]]
Range = tuple[float, float]


class Chart:
    """Chart with a caption, two axes of a given range, and what is drawn between them."""

    def __init__(self, caption: str, across: str, up: str, x: Range, y: Range) -> None:
        """Begin a chart; `across` and `up` are the labels of its axes, `x` and `y` their ranges."""
        self._caption, self._labels = caption, (across, up)
        self._x, self._y = _widened(x), _widened(y)
        self._drawn: list[Element] = []

    def line(self, points: Points, kind: str = "line") -> "Chart":
        """Draw a line through points (x, y); `kind` is its class in the page's style."""
        self._drawn.append(element("polyline", points=" ".join(map(self._place, points)), class_=kind))
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
        return element("figure", element("figcaption", self._caption), self.svg())

    def svg(self) -> Element:
        """Return the chart as SVG."""
        right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
        axes = element("path", d=f"M{_LEFT} {_TOP}V{bottom}H{right}", class_="axis")
        labels = [_text(self._labels[0], (_LEFT + right) / 2, _HEIGHT - 4, "middle")]
        labels.append(_text(self._labels[1], 0, 0, "middle", transform=f"translate(12 {bottom / 2}) rotate(-90)"))
        for value in _ticks(self._x):
            labels.append(_text(_tick(value), self._at((value, 0))[0], bottom + 16, "middle"))
        for value in _ticks(self._y):
            labels.append(_text(_tick(value), _LEFT - 6, self._at((0, value))[1] + 4, "end"))
        title = element("title", self._caption)
        box = f"0 0 {_WIDTH} {_HEIGHT}"
        return element("svg", title, axes, *labels, *self._drawn, viewBox=box, width=_WIDTH, height=_HEIGHT, role="img")

    def _at(self, point: Sequence[float]) -> tuple[float, float]:
        """Return the place of a point, in pixels from the upper left corner."""
        x, y = ((value - low) / (high - low) for value, (low, high) in zip(point, (self._x, self._y), strict=True))
        return _LEFT + x * (_WIDTH - _LEFT - _RIGHT), _TOP + (1 - y) * (_HEIGHT - _TOP - _BOTTOM)

    def _place(self, point: Sequence[float]) -> str:
        x, y = self._at(point)
        return f"{x:.1f},{y:.1f}"


def _widened(span: Range) -> Range:
    low, high = span
    margin = abs(low) / 2 or 0.5
    return (low, high) if high > low else (low - margin, high + margin)


def _ticks(span: Range) -> list[float]:
    """Return three to six round values within a range."""
    low, high = span
    step = 10 ** math.floor(math.log10((high - low) / 2))
    step *= next(size for size in (5, 2, 1) if (high - low) / (size * step) >= 2)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _tick(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"


def _text(text: str, x: float, y: float, anchor: str, **more: object) -> Element:
    return element("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, class_="soft", **more)
