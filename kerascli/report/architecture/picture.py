"""Picture of a diagram: its boxes, lines and labels with positions, in pixels from its upper left corner.

The widths of texts are those of the font DejaVu Sans, from a table, without a library that reads fonts.
"""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

from kerascli.report.architecture.diagram import Box

Point = tuple[float, float]


class Placed(NamedTuple):
    box: Box
    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    @property
    def corners(self) -> tuple[Point, Point]:
        return (self.x, self.y), (self.x + self.width, self.y + self.height)

    def moved(self, dx: float, dy: float) -> "Placed":
        return self._replace(x=self.x + dx, y=self.y + dy)


class Line(NamedTuple):
    """Line of a diagram: an edge, or its part outside a frame. It is a curve, or straight if it leads to a new
    column."""

    points: tuple[Point, ...]
    arrow: bool = True
    leads_on: bool = False
    """True if the line leads from the last box of one column to the first box of the next column."""


class Label(NamedTuple):
    x: float
    y: float
    text: str


@dataclass(slots=True)
class Picture:
    width: float = 0.0
    height: float = 0.0
    boxes: list[Placed] = field(default_factory=list)
    """Boxes of the diagram with positions and sizes; a frame comes before the boxes inside it."""
    lines: list[Line] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)

    def add(self, other: "Picture", dx: float, dy: float) -> None:
        """Add the boxes, lines and labels of another picture to this one, shifted by (dx, dy) pixels."""
        self.boxes += [each.moved(dx, dy) for each in other.boxes]
        self.lines += [each._replace(points=tuple((x + dx, y + dy) for x, y in each.points)) for each in other.lines]
        self.labels += [each._replace(x=each.x + dx, y=each.y + dy) for each in other.labels]


_FIRST = 32
_FURTHER = {"\N{MULTIPLICATION SIGN}": 1716, "\N{MIDDLE DOT}": 651}
_OTHER = 2048
"""Width of a character that is not in the table: no letter is much wider."""


_WIDTHS: dict[str, list[int]] = json.loads(Path(__file__).with_name("text_widths.json").read_text(encoding="utf-8"))
"""Widths of the characters from the space to `~`, in 2048ths of the font size, regular and bold."""


@cache
def text_width(text: str, size: float, bold: bool) -> float:
    """Return the width of a text in pixels; `size` is the font size in pixels."""
    widths = _WIDTHS["bold" if bold else "regular"]
    listed = (widths[at] if 0 <= (at := ord(c) - _FIRST) < len(widths) else _FURTHER.get(c, _OTHER) for c in text)
    return size * sum(listed) / 2048
