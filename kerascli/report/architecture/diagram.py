"""Content of a model's diagram as immutable data: boxes, edges between them, and frames that contain a diagram."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Role = Literal["layer", "input", "output", "figure", "model", "block", "repeat", "entry", "exit"]
"""Kind of a box in a diagram; a `figure` is a loss or metric without output, `entry` and `exit` are ends of a frame's
edges."""

TIMES = "\N{MULTIPLICATION SIGN}"
_LONGEST_PERIOD = 8


@dataclass(frozen=True, slots=True)
class Box:
    key: str
    role: Role
    kind: str
    """Name of the layer, block or shared model that a box of the diagram stands for, such as `dense` or `tower`."""
    name: str = ""
    """Name of the model's node that the box stands for; empty if it says no more than `kind`."""
    details: str = ""
    parameters: int = 0
    family: str = ""
    frozen: bool = False
    times: int = 1
    """Number of consecutive equal layers, blocks or models that the box stands for."""
    inside: "Diagram | None" = None

    def is_like(self, other: "Box") -> bool:
        """Return True if two boxes of a diagram are equal, keys and names aside."""
        return replace(self, key="", name="") == replace(other, key="", name="")


@dataclass(frozen=True, slots=True)
class Edge:
    source: str
    target: str
    tensor: str
    """Name of the tensor that the edge carries; all edges of one tensor leave a box at the same point."""
    label: str


@dataclass(frozen=True, slots=True)
class Diagram:
    boxes: tuple[Box, ...]
    """Boxes of the diagram in topological order, so that each edge leads to a later box."""
    edges: tuple[Edge, ...]

    def count(self) -> int:
        """Return the number of boxes in the diagram, including the boxes inside frames."""
        return sum(1 + (box.inside.count() if box.inside is not None else 0) for box in self.boxes)


def folded(diagram: Diagram) -> Diagram:
    """Return a diagram with repetitions in chains collapsed: of at least 2 equal blocks, or 3 equal layers or
    sequences."""
    _, incoming = _sides(diagram)
    boxes = {box.key: box for box in diagram.boxes}
    for chain in _chains(diagram):
        labels = [next(iter({edge.label for edge in incoming[key]}), "") for key in chain]
        first = 0
        while first < len(chain):
            period, times = _repetition([boxes[key] for key in chain[first:]], labels[first:])
            if times > 1:
                run = chain[first : first + period * times]
                return folded(_once(diagram, boxes, run, period, times))
            first += 1
    return diagram


def _sides(diagram: Diagram) -> tuple[dict[str, list[Edge]], dict[str, list[Edge]]]:
    outgoing: dict[str, list[Edge]] = defaultdict(list)
    incoming: dict[str, list[Edge]] = defaultdict(list)
    for edge in diagram.edges:
        outgoing[edge.source].append(edge)
        incoming[edge.target].append(edge)
    return outgoing, incoming


def _chains(diagram: Diagram) -> Iterator[list[str]]:
    """Yield the chains in a diagram: sequences of boxes that each have one edge in and one edge out."""
    outgoing, incoming = _sides(diagram)
    foldable = {
        box.key
        for box in diagram.boxes
        if box.role in {"layer", "model", "block"} and len(outgoing[box.key]) == len(incoming[box.key]) == 1
    }
    for box in diagram.boxes:
        if box.key in foldable and incoming[box.key][0].source not in foldable:
            chain, key = [], box.key
            while key in foldable:
                chain.append(key)
                key = outgoing[key][0].target
            yield chain


def _repetition(boxes: Sequence[Box], labels: Sequence[str]) -> tuple[int, int]:
    """Return (period, times) of the repeated pattern at the beginning of a list of boxes; times is 1 without
    repetition."""
    for period in range(1, min(_LONGEST_PERIOD, len(boxes) // 2) + 1):
        same = period
        while same < len(boxes) and boxes[same].is_like(boxes[same - period]):
            if labels[same] != labels[same - period]:
                break
            same += 1
        times = same // period
        if times >= (2 if period == 1 and boxes[0].role != "layer" else 3):
            return period, times
    return 1, 1


def _pile(boxes: Sequence[Box]) -> Box:
    """Return one box of a diagram that replaces several equal ones; it counts a shared model's parameters only once."""
    first = boxes[0]
    names = dict.fromkeys(box.name or box.kind for box in (first, boxes[-1]))
    count = first.parameters * (1 if first.role == "model" else len(boxes))
    return replace(first, name=" to ".join(names) if len(names) > 1 else "", times=len(boxes), parameters=count)


def _once(diagram: Diagram, boxes: dict[str, Box], run: Sequence[str], period: int, times: int) -> Diagram:
    """Return a diagram in which the repeated boxes `run` are replaced by one box, or by a frame of the first `period`
    ones."""
    kept, gone = run[:period], set(run[period:])
    outgoing, incoming = _sides(diagram)
    enters, leaves = incoming[kept[0]][0], outgoing[run[-1]][0]
    if period == 1:
        one = _pile([boxes[key] for key in run])
        edges = [edge for edge in diagram.edges if edge.source not in run]
        edges.append(replace(leaves, source=one.key))
        rest = [one if box.key == one.key else box for box in diagram.boxes if box.key not in gone]
        return Diagram(tuple(rest), tuple(edges))
    total = times * sum(boxes[key].parameters for key in kept)
    inner = [
        replace(enters, source="<", tensor="<", label=""),
        *(outgoing[key][0] for key in kept[:-1]),
        replace(outgoing[kept[-1]][0], target=">"),
    ]
    inside = Diagram((Box("<", "entry", ""), *(boxes[key] for key in kept), Box(">", "exit", "")), tuple(inner))
    frame = Box(f"repeat {kept[0]}", "repeat", "repeat", parameters=total, times=times, inside=inside)
    edges = [e for e in diagram.edges if e.source not in run and e.target not in run]
    edges += [replace(enters, target=frame.key), replace(leaves, source=frame.key)]
    place = [box.key for box in diagram.boxes].index(kept[0])
    rest = [box for box in diagram.boxes if box.key not in run]
    before = sum(box.key not in run for box in diagram.boxes[:place])
    return Diagram((*rest[:before], frame, *rest[before:]), tuple(edges))
