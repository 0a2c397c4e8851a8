"""Compute the positions of a diagram's boxes, edges and labels, in pixels from its upper left corner."""

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from kerascli.report.architecture import columns
from kerascli.report.architecture.diagram import Box, Diagram, Edge, Role
from kerascli.report.architecture.layered import Key, arrange
from kerascli.report.architecture.picture import Label, Line, Picture, Placed, Point, text_width

TITLE, DETAIL, LABEL = 12.5, 10.5, 10.0
"""Font sizes of titles, details and edge labels of a diagram, in pixels."""
_PADDING = 12.0
_LINE = 17.0
_GAP, _HEAD, _STUB = 34.0, 26.0, 15.0
"""Distances in pixels: between rows of boxes, below a frame's title, and below edge labels where edges bend."""
_FRAME_MARGIN = 18.0
"""Distance in pixels between the left and right border of a diagram's frame and the boxes in it."""


def picture_of(diagram: Diagram) -> Picture:
    """Return the positions of everything in a diagram; a tall diagram is split into columns."""
    return _Level(diagram, whole=True).picture()


def title_width(box: Box) -> float:
    return text_width(box.title, TITLE, True) + text_width(box.second_title, TITLE, False)


class _Level:
    """Layout of one diagram, computed after the layouts of the diagrams in its frames."""

    def __init__(self, diagram: Diagram, *, whole: bool = False) -> None:
        self.boxes = {box.key: box for box in diagram.boxes}
        self.edges = diagram.edges
        self.whole = whole
        self.inner = {key: _Level(box.inside).picture() for key, box in self.boxes.items() if box.inside is not None}
        self.sizes = {key: self._size(box) for key, box in self.boxes.items()}
        self.out = {key: self._ports(key) for key in self.boxes}
        widths = {key: max(size[0], self._with_labels(key)) for key, size in self.sizes.items()}
        self.first = [key for key, box in self.boxes.items() if box.role == "entry"]
        self.last = [key for key, box in self.boxes.items() if box.role == "exit"]
        pairs = [(edge.source, edge.target) for edge in self.edges]
        ports = [(self.out[e.source][e.tensor], self._crossing(e.target, "entry", e.tensor)) for e in self.edges]
        self.ranks = arrange(widths, pairs, ports=ports, first=self.first, last=self.last)
        self.tops, self.heights = self._rows()
        self.shifts = [columns.Shift(0.0, 0.0, 0.0)] * len(self.tops)
        if whole:
            extents = [self._extent(row, widths) for row in self.ranks.rows]
            self.shifts = columns.shifts(self.tops, self.heights, extents, self._may_end())

    def _size(self, box: Box) -> tuple[float, float]:
        if box.is_end:
            return 0.0, 0.0
        title, words = title_width(box), box.description
        if (inside := self.inner.get(box.key)) is not None:
            needed = title + text_width(f"   {words}", DETAIL, False)
            return max(inside.width, needed) + 2 * _FRAME_MARGIN, inside.height
        width = max(title, text_width(words, DETAIL, False)) + 2 * _PADDING
        return max(width, 64.0), 2 * 5.0 + _LINE * (2 if words else 1)

    def _ports(self, key: str) -> dict[str, float]:
        """Return a mapping from tensor to the x at which its edge leaves the box, relative to the box's middle; labels
        are to the right."""
        tensors = {edge.tensor: edge.label for edge in self.edges if edge.source == key}
        if key in self.inner:
            return {tensor: self._crossing(key, "exit", tensor) for tensor in tensors}
        steps = [text_width(label, LABEL, False) + 22.0 for label in list(tensors.values())[:-1]]
        places = [*accumulate(steps, initial=0.0)]
        return {tensor: place - places[-1] / 2 for tensor, place in zip(tensors, places, strict=False)}

    def _crossing(self, key: str, role: Role, tensor: str) -> float:
        """Return the x at which the edges of a tensor enter (or leave) a frame, relative to its middle; 0 for a box."""
        if (inside := self.inner.get(key)) is None:
            return 0.0
        ends = {each.box.key: each.middle - inside.width / 2 for each in inside.boxes if each.box.role == role}
        return ends.get(f"{role} {tensor}", ends.get("<" if role == "entry" else ">", 0.0))

    def _with_labels(self, key: str) -> float:
        if self.boxes[key].role == "exit":  # its label is drawn outside
            return max(text_width(f"{e.tensor}: {e.label}", LABEL, False) for e in self.edges if e.target == key)
        labels = {edge.tensor: edge.label for edge in self.edges if edge.source == key}
        right = [self.out[key][tensor] + text_width(label, LABEL, False) + 12.0 for tensor, label in labels.items()]
        return 2 * max(right, default=0.0)

    def _steps(self) -> Iterator[tuple[int, Key, Key, Edge]]:
        """Yield (row, layout node in it, layout node in the next row, edge) for each row from which an edge leads to
        the next."""
        for edge, path in zip(self.edges, self.ranks.paths, strict=True):
            for number, (upper, lower) in enumerate(pairwise(path), self.ranks.rank[edge.source]):
                yield number, upper, lower, edge

    def _rows(self) -> tuple[list[float], list[float]]:
        """Return (tops, heights) of all rows of boxes in the diagram, in pixels."""
        heights = [max((self.sizes[k][1] for k in row if isinstance(k, str)), default=0.0) for row in self.ranks.rows]
        bends = [0.0] * len(heights)
        for number, upper, lower, _ in self._steps():
            bends[number] = max(bends[number], abs(self.ranks.x[lower] - self.ranks.x[upper]))
        tops, y = [], 0.0 if self.first else _HEAD
        for number, (height, bend) in enumerate(zip(heights, bends, strict=True)):
            tops.append(y)
            y += height + _GAP + (_STUB + min(40.0, 0.07 * bend) if bend > 1.0 else 0.0)
            y += _HEAD if self.first and not number else 0.0
        return tops, heights

    def _may_end(self) -> list[bool]:
        """Return, for each row of boxes, True if a single tensor leads to the next row, so that a column may end
        there."""
        crossing: list[set[tuple[Key, str]]] = [set() for _ in self.ranks.rows]
        for number, upper, _, edge in self._steps():
            crossing[number].add((upper, edge.tensor))
        return [len(ways) == 1 and isinstance(next(iter(ways))[0], str) for ways in crossing]

    def _extent(self, row: Sequence[Key], widths: dict[str, float]) -> tuple[float, float]:
        half = [(self.ranks.x[key], widths[key] / 2 if isinstance(key, str) else 8.0) for key in row]
        return min(x - w for x, w in half), max(x + w for x, w in half)

    def picture(self) -> Picture:
        """Return the positions of all boxes, edges and labels of the diagram, whose upper left corner is (0, 0)."""
        drawn = Picture()
        for key, box in self.boxes.items():
            width, height = self.sizes[key]
            x, y = self._corner(key)
            drawn.boxes.append(Placed(box, x, y, width, height))
            if (inside := self.inner.get(key)) is not None:
                drawn.add(inside, x + (width - inside.width) / 2, y)
        self._add_edges(drawn)
        points = [point for line in drawn.lines for point in line.points]
        points += [(label.x + text_width(label.text, LABEL, False), label.y) for label in drawn.labels]
        points += [corner for each in drawn.boxes for corner in each.corners]
        xs, ys = zip(*points, strict=True)
        left, top = min(xs), min(ys) if self.whole else 0.0
        moved = Picture(max(xs) - left, max(ys) - top + (0.0 if self.last or self.whole else _HEAD))
        moved.add(drawn, -left, -top)
        return moved

    def _corner(self, key: str) -> Point:
        rank = self.ranks.rank[key]
        (dx, dy, _), (width, height) = self.shifts[rank], self.sizes[key]
        return self.ranks.x[key] - width / 2 + dx, self.tops[rank] + (self.heights[rank] - height) / 2 + dy

    def _add_edges(self, drawn: Picture) -> None:
        starts: dict[tuple[str, str], Point] = {}
        for edge in self.edges:
            if (edge.source, edge.tensor) not in starts:
                starts[edge.source, edge.tensor] = self._start(edge, drawn)
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
            drawn.lines.append(Line((*points, ends[number]), arrow=box.inside is None and box.role != "exit"))

    def _start(self, edge: Edge, drawn: Picture) -> Point:
        """Return the point at which the edge's tensor leaves its box; add its label, and any line to the next column,
        to `drawn`."""
        (x, y), (width, height), rank = self._corner(edge.source), self.sizes[edge.source], self.ranks.rank[edge.source]
        start = x + width / 2 + self.out[edge.source][edge.tensor], y + height
        if edge.label and self.boxes[edge.target].role != "exit":
            drawn.labels.append(Label(start[0] + 5.0, start[1] + 9.0, edge.label))
        here, following = self.shifts[rank], self.shifts[min(rank + 1, len(self.shifts) - 1)]
        if here == following:
            return start
        head = start[0] - here.dx + following.dx, columns.TOP
        drawn.lines.append(Line(columns.way_on(start, following.way, head), arrow=False, leads_on=True))
        return head

    def _ends(self, starts: dict[tuple[str, str], Point]) -> dict[int, Point]:
        """Return a mapping from edge number to the point where it meets its target: side by side, in the order of
        sources."""
        into: dict[str, list[tuple[float, int]]] = {}
        for number, (edge, path) in enumerate(zip(self.edges, self.ranks.paths, strict=True)):
            key = path[-2]
            last = starts[edge.source, edge.tensor][0]
            x = last if isinstance(key, str) else self.ranks.x[key] + self.shifts[key[1]].dx
            into.setdefault(edge.target, []).append((x, number))
        points: dict[int, Point] = {}
        for key, edges in into.items():
            (x, y), (width, _) = self._corner(key), self.sizes[key]
            step = min(26.0, (width - 16.0) / max(1, len(edges))) if width else 0.0
            for place, (_, number) in enumerate(sorted(edges)):
                offset = (place - (len(edges) - 1) / 2) * step
                if key in self.inner:
                    offset = self._crossing(key, "entry", self.edges[number].tensor)
                points[number] = x + width / 2 + offset, y
        return points
