"""The order that Keras gives the layers of a graph: its files number weights by it, whatever the order written."""

from collections.abc import Mapping, Sequence


def keras_order(parents: Mapping[str, Sequence[str]], ends: Sequence[str]) -> list[str]:
    """Nodes that lead to `ends`, as Keras sorts them: the farthest from an output first, then as they are met.

    `parents` are what each node is called on, in the order of its arguments.
    """
    met, finished = _walked(parents, ends)
    depths: dict[str, int] = {}
    for name in reversed(finished):
        depth = depths.setdefault(name, 0)
        for parent in parents[name]:
            depths[parent] = max(depth + 1, depths.get(parent, 0))
    return sorted(depths, key=lambda name: (-depths[name], met[name]))


def _walked(parents: Mapping[str, Sequence[str]], ends: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """Depth first, from each output back to the inputs: when each node was met, and all as they were done with."""
    met: dict[str, int] = {}
    finished: list[str] = []
    for end in ends:
        pending = [] if end in met else [(end, iter(parents[end]))]
        met.setdefault(end, len(met))
        while pending:
            name, rest = pending[-1]
            parent = next((parent for parent in rest if parent not in met), None)
            if parent is None:
                finished.append(name)
                pending.pop()
            else:
                met[parent] = len(met)
                pending.append((parent, iter(parents[parent])))
    return met, finished
