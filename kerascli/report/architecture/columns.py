"""Split a tall diagram of a model into columns, each of which ends where a single tensor leads to the next box."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from kerascli.report.architecture.picture import Point

TOP = -30.0
"""Vertical position, in pixels, at which the line from the previous column ends; a column's first box begins at 0."""
_TURN = 16.0
_TALL = 1500.0
_BETWEEN = 64.0
_SHAPE = 1.2
"""Desired ratio of height to width for a diagram that is split into columns."""


class Shift(NamedTuple):
    """Offset (dx, dy) of a row of boxes in a diagram; `way` is the x of the vertical line from the previous column."""

    dx: float
    dy: float
    way: float


def shifts(
    tops: Sequence[float], heights: Sequence[float], extents: Sequence[Point], may_end: Sequence[bool]
) -> list[Shift]:
    """Return an offset for each row of boxes in a diagram, so that rows form columns; `extents` are rows' (left, right)
    ends."""
    height = tops[-1] + heights[-1]
    width = max(right for _, right in extents) - min(left for left, _ in extents)
    count = round(math.sqrt(height / (_SHAPE * (width + _BETWEEN)))) if height > _TALL else 1
    places = [number for number, free in enumerate(may_end[:-1]) if free]
    desired = [height * k / count for k in range(1, count)] if places else []
    ends = {min(places, key=lambda n: abs(tops[n + 1] - y)) for y in desired}
    moved: list[Shift] = []
    first, left = 0, 0.0
    for end in (*sorted(ends), len(tops) - 1):
        rows = range(first, end + 1)
        start = min(extents[row][0] for row in rows)
        moved += [Shift(left - start, -tops[first], left - _BETWEEN / 2)] * len(rows)
        left += max(extents[row][1] for row in rows) - start + _BETWEEN
        first = end + 1
    return moved


def way_on(start: Point, way: float, head: Point) -> tuple[Point, ...]:
    """Return the points of a line that leads from a column's foot, up at x = `way`, to the head of the next column."""
    foot, top = start[1] + _TURN + 6.0, head[1] - _TURN
    return start, (start[0], foot), (way, foot), (way, top), (head[0], top), head
