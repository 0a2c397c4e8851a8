"""Layered layout (Sugiyama) of a diagram, without the content of frames: edges go down.

Ranks by the longest path, dummy nodes where an edge passes a rank, orders by barycenters, positions by least squares.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from kerascli.foundation.errors import ConfigError

_SWEEPS = 8
_MOST_STAND_INS = 100_000
_PASSING_WIDTH, _PASSING_WEIGHT = 14.0, 0.05
"""Width in pixels, and weight, of a dummy node (where an edge passes a row of boxes); low, so that boxes take
precedence."""
_APART = 26.0
"""Distance in pixels between the boxes of one row of a diagram."""

Key = str | tuple[int, int]
"""Key of a layout node: the key of a box, or (edge, row) for the dummy node where an edge passes a row of boxes."""


class Ranks(NamedTuple):
    """Positions of layout nodes: `rows` of nodes from left to right, `rank` (row of each box), and `x` (centers)."""

    rows: list[list[Key]]
    rank: dict[str, int]
    x: dict[Key, float]
    paths: list[list[Key]]
    """For each edge, a list of the layout nodes along it: the source, a dummy node in each row that it passes, the
    target."""


def arrange(
    widths: Mapping[str, float], edges: Sequence[tuple[str, str]], *,
    ports: Sequence[tuple[float, float]] | None = None, first: Collection[str] = (), last: Collection[str] = (),
) -> Ranks:  # fmt: skip
    """Return the positions of a diagram's boxes, without the content of frames.

    `widths` are those of the boxes, in topological order. `ports` are the distances from the middle of its boxes at
    which each edge begins and ends. `first` are placed above, `last` below all others. Raises ConfigError if there are
    too many long edges.
    """
    rank = _ranks(list(widths), edges, first, last)
    if sum(rank[target] - rank[source] for source, target in edges) > _MOST_STAND_INS:
        raise ConfigError("the model has too many long connections to draw")
    rows: list[list[Key]] = [[] for _ in range(max(rank.values(), default=0) + 1)]
    for key in widths:
        rows[rank[key]].append(key)
    ranks = Ranks(rows, rank, {}, [])
    for number, (source, target) in enumerate(edges):
        passing: list[Key] = [(number, between) for between in range(rank[source] + 1, rank[target])]
        for between, stand_in in enumerate(passing, rank[source] + 1):
            rows[between].append(stand_in)
        ranks.paths.append([source, *passing, target])
    above, below = _neighbours(ranks.paths, ports or [(0.0, 0.0)] * len(edges))
    _order(rows, above, below)
    _place(ranks, widths, above, below)
    return ranks


def _ranks(
    keys: Sequence[str], edges: Sequence[tuple[str, str]], first: Collection[str], last: Collection[str]
) -> dict[str, int]:
    rank = dict.fromkeys(keys, 0)
    sources: dict[str, list[str]] = {key: [] for key in keys}
    targets: dict[str, list[str]] = {key: [] for key in keys}
    for source, target in edges:
        sources[target].append(source)
        targets[source].append(target)
    for key in keys:
        rank[key] = max((rank[source] + 1 for source in sources[key]), default=1 if first and key not in first else 0)
    for key in keys:  # inputs that are used late are placed late
        if not sources[key] and targets[key] and key not in first:
            rank[key] = min(rank[target] for target in targets[key]) - 1
    lowest = max((rank[key] for key in keys if key not in last), default=0) + 1
    return rank | dict.fromkeys(last, lowest)


Neighbours = dict[Key, list[tuple[Key, float]]]
"""Mapping from a layout node to its neighbours in the row above (or below), each with the x offset at which an edge is
straight."""


def _neighbours(paths: Sequence[Sequence[Key]], ports: Sequence[tuple[float, float]]) -> tuple[Neighbours, Neighbours]:
    above: Neighbours = {}
    below: Neighbours = {}
    for path, (begin, end) in zip(paths, ports, strict=True):
        for place, (upper, lower) in enumerate(pairwise(path)):
            shift = (begin if place == 0 else 0.0) - (end if place == len(path) - 2 else 0.0)
            below.setdefault(upper, []).append((lower, -shift))
            above.setdefault(lower, []).append((upper, shift))
    return above, below


def _order(rows: list[list[Key]], above: Neighbours, below: Neighbours) -> None:
    """Sort the nodes of each row by the mean position of their neighbours, in the rows above and below by turns."""
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        near = above if down else below
        for row, other in zip(rows[1:], rows, strict=False) if down else zip(rows[-2::-1], rows[:0:-1], strict=False):
            at = {key: place for place, key in enumerate(other)}
            own = {key: place for place, key in enumerate(row)}
            middles = {key: _mean([at[n] for n, _ in near.get(key, ())], own[key]) for key in row}
            row.sort(key=middles.__getitem__)


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _place(ranks: Ranks, widths: Mapping[str, float], above: Neighbours, below: Neighbours) -> None:
    """Move layout nodes towards their neighbours in the rows above and below; order and minimum distances are kept."""

    def width(key: Key) -> float:
        return widths[key] if isinstance(key, str) else _PASSING_WIDTH

    x = ranks.x
    for row in ranks.rows:
        left = 0.0
        for key in row:
            x[key] = left + width(key) / 2
            left += width(key) + _APART
        for key in row:
            x[key] -= (left - _APART) / 2
    for sweep in range(2 * _SWEEPS + 1):  # the last sweep goes down, so that chains are straight
        near, rows = (above, ranks.rows) if sweep % 2 == 0 else (below, ranks.rows[::-1])
        for row in rows:
            best = [_best(key, near.get(key, []), x) for key in row]
            weights = [1.0 if isinstance(key, str) else _PASSING_WEIGHT for key in row]
            steps = [(width(a) + width(b)) / 2 + _APART for a, b in pairwise(row)]
            for key, place in zip(row, _apart(best, weights, steps), strict=True):
                x[key] = place


def _best(key: Key, near: Sequence[tuple[Key, float]], x: Mapping[Key, float]) -> float:
    """Return the best x for a layout node: the mean x of its neighbouring boxes or, without any, of dummy nodes."""
    boxes = [x[other] + shift for other, shift in near if isinstance(other, str)]
    return _mean(boxes or [x[other] + shift for other, shift in near], x[key])


def _apart(best: Sequence[float], weights: Sequence[float], steps: Sequence[float]) -> list[float]:
    """Return ascending positions at least `steps` apart and as close as possible (weighted least squares) to `best`.

    Without the steps this is isotonic regression: neighbours that are out of order get their mean.
    """
    offsets = [*accumulate(steps, initial=0.0)]
    pools: list[list[float]] = []  # mean, weight, number of positions
    for place, weight, offset in zip(best, weights, offsets, strict=True):
        pools.append([place - offset, weight, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, more, count = pools.pop()
            before = pools[-1]
            before[0] = (before[0] * before[1] + mean * more) / (before[1] + more)
            before[1] += more
            before[2] += count
    means = [mean for mean, _, count in pools for _ in range(int(count))]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]
