"""Compute the positions of a diagram's boxes, edges and labels, in pixels from its upper left corner."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from kerascli.report.architecture import columns
from kerascli.report.architecture.diagram import TIMES, Box, Diagram, Edge
from kerascli.report.architecture.layered import Key, Ranks, arrange

Measure = Callable[[str, float, bool], float]
"""Function (text, font size in pixels, True if bold) -> width of the text in pixels."""
Point = tuple[float, float]

TITLE, DETAIL, LABEL = 12.5, 10.5, 10.0
"""Font sizes of titles, details and edge labels of a diagram, in pixels."""
_PADDING = 12.0
_LINE = 17.0
_GAP, _HEAD, _STUB = 34.0, 26.0, 15.0
"""Distances in pixels: between rows of boxes, below a frame's title, and below edge labels where edges bend."""
_BESIDE = 18.0
"""Distance in pixels between the left and right border of a diagram's frame and the boxes in it."""


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


def title_of(box: Box) -> str:
    """Return the bold title of a box in a diagram: its kind (`dense`), and the number of boxes it stands for, if
    several."""
    return f"{box.kind} {TIMES}{box.times}" if box.times > 1 else box.kind


def words_of(box: Box) -> str:
    """Return the second line of text in a diagram's box: details, parameters, `frozen`; empty if there are none."""
    parameters = f"{box.parameters:,} parameters" if box.parameters else ""
    return "  ·  ".join(filter(None, (box.details, parameters, "frozen" if box.frozen else "")))


def lines_of(box: Box) -> list[str]:
    """Return the lines of text in a diagram's box: its kind and name, and its details, if any."""
    return list(filter(None, (" ".join(filter(None, (title_of(box), box.name))), words_of(box))))


def picture_of(diagram: Diagram, measure: Measure) -> Picture:
    """Return the positions of everything in a diagram; a tall diagram is split into columns."""
    return _Level(diagram, measure, whole=True).picture()


class _Level:
    """Layout of one diagram, computed after the layouts of the diagrams in its frames."""

    def __init__(self, diagram: Diagram, measure: Measure, *, whole: bool = False) -> None:
        self.boxes = {box.key: box for box in diagram.boxes}
        self.edges = diagram.edges
        self.whole = whole
        self.measure = measure
        self.inner = {
            key: _Level(box.inside, measure).picture() for key, box in self.boxes.items() if box.inside is not None
        }
        self.sizes = {key: self._size(box) for key, box in self.boxes.items()}
        self.out = {key: self._ports(key) for key in self.boxes}
        widths = {key: max(size[0], self._with_labels(key)) for key, size in self.sizes.items()}
        self.first = [key for key, box in self.boxes.items() if box.role == "entry"]
        self.last = [key for key, box in self.boxes.items() if box.role == "exit"]
        pairs = [(edge.source, edge.target) for edge in self.edges]
        ports = [(self.out[edge.source][edge.tensor], self._entry(edge)) for edge in self.edges]
        self.ranks = arrange(widths, pairs, ports=ports, first=self.first, last=self.last)
        self.tops, self.heights = self._rows()
        self.shifts = [columns.Shift(0.0, 0.0, 0.0)] * len(self.tops)
        if whole:
            extents = [self._extent(row, widths) for row in self.ranks.rows]
            self.shifts = columns.shifts(self.tops, self.heights, extents, _one_way_on(self.ranks, self.edges))

    def _size(self, box: Box) -> tuple[float, float]:
        if box.role in {"entry", "exit"}:
            return 0.0, 0.0
        name = f"  {box.name}" if box.name else ""
        title = self.measure(title_of(box), TITLE, True) + self.measure(name, TITLE, False)
        words = words_of(box)
        if (inside := self.inner.get(box.key)) is not None:
            needed = title + self.measure(f"   {words}", DETAIL, False)
            return max(inside.width, needed) + 2 * _BESIDE, inside.height
        width = max(title, self.measure(words, DETAIL, False)) + 2 * _PADDING
        return max(width, 64.0), 2 * 5.0 + _LINE * (2 if words else 1)

    def _ports(self, key: str) -> dict[str, float]:
        """Return a mapping from tensor to the x at which its edge leaves the box, relative to the box's middle; labels
        are to the right."""
        tensors = {edge.tensor: edge.label for edge in self.edges if edge.source == key}
        if (inside := self.inner.get(key)) is not None:
            exits = {each.box.key: each.middle - inside.width / 2 for each in inside.boxes if each.box.role == "exit"}
            return {tensor: exits.get(f"exit {tensor}", exits.get(">", 0.0)) for tensor in tensors}
        steps = [self.measure(label, LABEL, False) + 22.0 for label in list(tensors.values())[:-1]]
        places = [0.0]
        for step in steps:
            places.append(places[-1] + step)
        return {tensor: place - places[-1] / 2 for tensor, place in zip(tensors, places, strict=False)}

    def _entry(self, edge: Edge) -> float:
        """Return the x, relative to the middle of the frame that is the edge's target, at which the edge enters; 0 for
        a box."""
        inside = self.inner.get(edge.target)
        if inside is None:
            return 0.0
        entries = {each.box.key: each.middle - inside.width / 2 for each in inside.boxes if each.box.role == "entry"}
        return entries.get(f"entry {edge.tensor}", entries.get("<", 0.0))

    def _with_labels(self, key: str) -> float:
        if self.boxes[key].role == "exit":  # its label is drawn outside
            return max(self.measure(f"{e.tensor}: {e.label}", LABEL, False) for e in self.edges if e.target == key)
        labels = {edge.tensor: edge.label for edge in self.edges if edge.source == key}
        right = [self.out[key][tensor] + self.measure(label, LABEL, False) + 12.0 for tensor, label in labels.items()]
        return 2 * max(right, default=0.0)

    def _rows(self) -> tuple[list[float], list[float]]:
        """Return (tops, heights) of all rows of boxes in the diagram, in pixels."""
        heights = [max((self.sizes[k][1] for k in row if isinstance(k, str)), default=0.0) for row in self.ranks.rows]
        tops, y, x = [], 0.0 if self.first else _HEAD, self.ranks.x
        for number, height in enumerate(heights):
            tops.append(y)
            down = [abs(x[b] - x[a]) for path in self.ranks.paths for a, b in _steps(path, self.ranks, number)]
            bend = max(down, default=0.0)
            y += height + _GAP + (_STUB + min(40.0, 0.07 * bend) if bend > 1.0 else 0.0)
            y += _HEAD if self.first and not number else 0.0
        return tops, heights

    def _extent(self, row: Sequence[Key], widths: dict[str, float]) -> tuple[float, float]:
        half = [(self.ranks.x[key], widths[key] / 2 if isinstance(key, str) else 8.0) for key in row]
        return min(x - w for x, w in half), max(x + w for x, w in half)

    def picture(self) -> Picture:
        """Return the positions of all boxes, edges and labels of the diagram, whose upper left corner is (0, 0)."""
        found = Picture()
        for key, box in self.boxes.items():
            width, height = self.sizes[key]
            x, y = self._corner(key)
            found.boxes.append(Placed(box, x, y, width, height))
            if (inside := self.inner.get(key)) is not None:
                found.add(inside, x + (width - inside.width) / 2, y)
        self._draw_edges(found)
        points = [point for line in found.lines for point in line.points]
        left = min([*(each.x for each in found.boxes), *(x for x, _ in points)])
        top = min([*(each.y for each in found.boxes), *(y for _, y in points)]) if self.whole else 0.0
        ends = [label.x + self.measure(label.text, LABEL, False) for label in found.labels]
        moved = Picture()
        moved.add(found, -left, -top)
        moved.width = max([*(each.x + each.width for each in found.boxes), *ends, *(x for x, _ in points)]) - left
        moved.height = max([*(each.y + each.height for each in found.boxes), *(y for _, y in points)]) - top
        moved.height += 0.0 if self.last or self.whole else _HEAD
        return moved

    def _corner(self, key: str) -> Point:
        rank = self.ranks.rank[key]
        (dx, dy, _), (width, height) = self.shifts[rank], self.sizes[key]
        return self.ranks.x[key] - width / 2 + dx, self.tops[rank] + (self.heights[rank] - height) / 2 + dy

    def _draw_edges(self, found: Picture) -> None:
        starts: dict[tuple[str, str], Point] = {}
        for edge in self.edges:
            port = edge.source, edge.tensor
            if port not in starts:
                starts[port] = self._start(edge, found)
        ends = self._ends(starts)
        for number, (edge, path) in enumerate(zip(self.edges, self.ranks.paths, strict=True)):
            box = self.boxes[edge.target]
            points = [starts[edge.source, edge.tensor]]
            if edge.label and box.role != "exit":
                points.append((points[0][0], points[0][1] + _STUB))
            for key in path[1:-1]:
                assert not isinstance(key, str)
                dx, dy, _ = self.shifts[key[1]]
                x, top = self.ranks.x[key] + dx, self.tops[key[1]] + dy
                points += [(x, top), (x, top + self.heights[key[1]])]
            found.lines.append(Line((*points, ends[number]), arrow=box.inside is None and box.role != "exit"))

    def _start(self, edge: Edge, found: Picture) -> Point:
        """Return the point at which the edge's tensor leaves its box; add its label, and any line to the next column,
        to `found`."""
        (x, y), (width, height), rank = self._corner(edge.source), self.sizes[edge.source], self.ranks.rank[edge.source]
        start = x + width / 2 + self.out[edge.source][edge.tensor], y + height
        if edge.label and self.boxes[edge.target].role != "exit":
            found.labels.append(Label(start[0] + 5.0, start[1] + 9.0, edge.label))
        here, following = self.shifts[rank], self.shifts[min(rank + 1, len(self.shifts) - 1)]
        if here == following:
            return start
        head = start[0] - here.dx + following.dx, columns.TOP
        found.lines.append(Line(columns.way_on(start, following.way, head), arrow=False, leads_on=True))
        return head

    def _ends(self, starts: dict[tuple[str, str], Point]) -> dict[int, Point]:
        """Return a mapping from edge number to the point where it meets its target: side by side, in the order of
        sources."""
        into: dict[str, list[tuple[float, int]]] = {}
        for number, (edge, path) in enumerate(zip(self.edges, self.ranks.paths, strict=True)):
            key = path[-2]
            x = starts[edge.source, edge.tensor][0] if isinstance(key, str) else self.ranks.x[key]
            x += 0.0 if isinstance(key, str) else self.shifts[key[1]][0]
            into.setdefault(edge.target, []).append((x, number))
        found: dict[int, Point] = {}
        for key, edges in into.items():
            (x, y), (width, _) = self._corner(key), self.sizes[key]
            if key in self.inner:
                found |= {number: (x + width / 2 + self._entry(self.edges[number]), y) for _, number in edges}
                continue
            step = min(26.0, (width - 16.0) / max(1, len(edges))) if width else 0.0
            for place, (_, number) in enumerate(sorted(edges)):
                found[number] = x + width / 2 + (place - (len(edges) - 1) / 2) * step, y
        return found


def _steps(path: Sequence[Key], ranks: Ranks, number: int) -> Iterable[tuple[Key, Key]]:
    """If an edge (through the layout nodes `path`) leads from row `number` to the next row, yield the two nodes that it
    connects there."""
    assert isinstance(path[0], str)
    begin = ranks.rank[path[0]]
    if begin <= number < begin + len(path) - 1:
        yield path[number - begin], path[number - begin + 1]


def _one_way_on(ranks: Ranks, edges: Sequence[Edge]) -> list[bool]:
    """Return, for each row of boxes, True if a single tensor leads to the next row, so that a column may end there."""
    crossing: list[set[tuple[Key, str]]] = [set() for _ in ranks.rows]
    for edge, path in zip(edges, ranks.paths, strict=True):
        for number, (upper, _) in enumerate(pairwise(path), ranks.rank[edge.source]):
            crossing[number].add((upper, edge.tensor))
    return [len(ways) == 1 and isinstance(next(iter(ways))[0], str) for ways in crossing]
