"""The order that Keras gives the layers of a graph: its files number weights by it, whatever the order written."""

from collections.abc import Mapping, Sequence

Place = tuple[str, int]
"""A call of a layer: the layer's name, and which of its calls."""


def keras_order(parents: Mapping[Place, Sequence[Place]], ends: Sequence[Place]) -> tuple[list[str], list[Place]]:
    """Layers that lead to `ends`, as Keras sorts them, and their calls that do.

    The farthest from an output come first, then those that are met first; one that is called several times is as far
    as the farthest of its calls. `parents` are what each call is on, in the order of its arguments.
    """
    met, finished = _walked(parents, ends)
    far, _ = _depths(parents, finished)
    return sorted(far, key=lambda name: (-far[name], met[name])), finished


def keras_runs(parents: Mapping[Place, Sequence[Place]], ends: Sequence[Place]) -> list[Place]:
    """The calls that lead to `ends`, in the order in which Keras runs them: the farthest from an output first."""
    _, depths = _depths(parents, _walked(parents, ends)[1])
    return sorted(depths, key=lambda place: -depths[place])


def _depths(
    parents: Mapping[Place, Sequence[Place]], finished: Sequence[Place]
) -> tuple[dict[str, int], dict[Place, int]]:
    """Return the depths of layers and of calls (distances from an output), in the order in which Keras finds them."""
    far: dict[str, int] = {}
    depths: dict[Place, int] = {}
    for place in reversed(finished):
        depth = far[place[0]] = depths[place] = max(depths.get(place, 0), far.get(place[0], 0))
        for parent in parents[place]:
            depths[parent] = max(depth + 1, depths.get(parent, 0))
    return far, depths


def _walked(parents: Mapping[Place, Sequence[Place]], ends: Sequence[Place]) -> tuple[dict[str, int], list[Place]]:
    """Depth first, from each output back to the inputs: when each layer was met, and all calls as they were done."""
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
