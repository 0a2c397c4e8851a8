"""Keras's order of the layers in a graph, by which its files number the groups of weights."""

from collections.abc import Mapping, Sequence

Place = tuple[str, int]
"""A call of a layer: the layer's name and the number of the call."""


def keras_order(parents: Mapping[Place, Sequence[Place]], ends: Sequence[Place]) -> tuple[list[str], list[Place]]:
    """Return the layers that the outputs `ends` depend on, in Keras's order, and the calls that they depend on.

    Layers farther from an output come first, then those that a depth-first search finds first; a layer that is called
    several times is as far as the farthest of its calls. `parents` are the inputs of each call, in order.
    """
    met, finished = _depth_first(parents, ends)
    far, _ = _depths(parents, finished)
    return sorted(far, key=lambda name: (-far[name], met[name])), finished


def keras_runs(parents: Mapping[Place, Sequence[Place]], ends: Sequence[Place]) -> list[Place]:
    """Return the calls that the outputs `ends` depend on, in Keras's order of running: farthest from them first."""
    _, depths = _depths(parents, _depth_first(parents, ends)[1])
    return sorted(depths, key=lambda place: -depths[place])


def _depths(
    parents: Mapping[Place, Sequence[Place]], finished: Sequence[Place]
) -> tuple[dict[str, int], dict[Place, int]]:
    """Return the depth (distance from an output) of each layer and each call, in the order that Keras finds them."""
    far: dict[str, int] = {}
    depths: dict[Place, int] = {}
    for place in reversed(finished):
        depth = far[place[0]] = depths[place] = max(depths.get(place, 0), far.get(place[0], 0))
        for parent in parents[place]:
            depths[parent] = max(depth + 1, depths.get(parent, 0))
    return far, depths


def _depth_first(parents: Mapping[Place, Sequence[Place]], ends: Sequence[Place]) -> tuple[dict[str, int], list[Place]]:
    """Search depth first from each output to the inputs; return the order of finding layers, and of finishing calls."""
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
