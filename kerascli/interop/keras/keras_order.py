"""Order in which Keras stores a graph's layers; files of Keras number the groups of weights in that order."""

from collections.abc import Mapping, Sequence

Place = tuple[str, int]
"""Type of a pair (name of a layer, number of one of its calls), which identifies the call."""


def keras_order(parents: Mapping[Place, Sequence[Place]], ends: Sequence[Place]) -> tuple[list[str], list[Place]]:
    """Return (layers in Keras's order, calls of layers) that the model outputs `ends` depend on.

    Layers farther from an output come first, then those that a depth-first search finds first; a layer that is called
    several times is as far as the farthest of its calls. `parents` are the inputs of each call, in order.
    """
    met, finished = _depth_first(parents, ends)
    far, _ = _depths(parents, finished)
    return sorted(far, key=lambda name: (-far[name], met[name])), finished


def keras_runs(parents: Mapping[Place, Sequence[Place]], ends: Sequence[Place]) -> list[Place]:
    """Return the calls that the outputs `ends` depend on, in the order in which Keras runs them: the farthest from an
    output first."""
    _, depths = _depths(parents, _depth_first(parents, ends)[1])
    return sorted(depths, key=lambda place: -depths[place])


def _depths(
    parents: Mapping[Place, Sequence[Place]], finished: Sequence[Place]
) -> tuple[dict[str, int], dict[Place, int]]:
    """Return the depth (largest distance to an output) of each layer and of each call, as mappings in Keras's order."""
    far: dict[str, int] = {}
    depths: dict[Place, int] = {}
    for place in reversed(finished):
        depth = far[place[0]] = depths[place] = max(depths.get(place, 0), far.get(place[0], 0))
        for parent in parents[place]:
            depths[parent] = max(depth + 1, depths.get(parent, 0))
    return far, depths


def _depth_first(parents: Mapping[Place, Sequence[Place]], ends: Sequence[Place]) -> tuple[dict[str, int], list[Place]]:
    """Search depth first from the outputs; return (number of each layer in order of discovery, calls in the order in
    which they are finished)."""
    met: dict[str, int] = {}
    seen: set[Place] = set()
    finished: list[Place] = []
    for end in ends:
        pending = []
        if end not in seen:
            pending.append((end, iter(parents[end])))
            seen.add(end)
            met.setdefault(end[0], len(met))
        while pending:
            place, rest = pending[-1]
            parent = next((parent for parent in rest if parent not in seen), None)
            if parent is None:
                finished.append(place)
                pending.pop()
            else:
                seen.add(parent)
                met.setdefault(parent[0], len(met))
                pending.append((parent, iter(parents[parent])))
    return met, finished
