"""Picture of a diagram: its boxes, lines and labels with positions, in pixels from its upper left corner."""

from dataclasses import dataclass, field, replace

from kerascli.report.architecture.diagram import Box

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Placed:
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


@dataclass(frozen=True, slots=True)
class Line:
    """Line of a diagram: an edge, or its part outside a frame. It is a curve, or straight if it leads to a new
    column."""

    points: tuple[Point, ...]
    arrow: bool = True
    leads_on: bool = False
    """True if the line leads from the last box of one column to the first box of the next column."""


@dataclass(frozen=True, slots=True)
class Label:
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
        self.boxes += [replace(each, x=each.x + dx, y=each.y + dy) for each in other.boxes]
        self.lines += [replace(each, points=tuple((x + dx, y + dy) for x, y in each.points)) for each in other.lines]
        self.labels += [replace(each, x=each.x + dx, y=each.y + dy) for each in other.labels]
