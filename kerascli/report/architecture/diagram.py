"""Content of a model's diagram as immutable data: boxes, edges between them, and frames that contain a diagram."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Role = Literal["layer", "input", "output", "figure", "model", "block", "repeat", "entry", "exit"]
"""Kind of a box in a diagram; a `figure` is a loss or metric without output, `entry` and `exit` are ends of a frame's
edges."""

Way = tuple[str, ...]
"""Path to a box of a diagram: the keys of the frames around it, from the outermost, and the box's key."""

TIMES = "\N{MULTIPLICATION SIGN}"
_LONGEST_PERIOD = 8
_COLORS = {
    "core": "#2f6fd6", "convolutional": "#e2632b", "pooling": "#cf3d7d", "recurrent": "#2b9a66",
    "attention": "#8b4fc6", "normalization": "#c99a06", "regularization": "#7a6248", "reshaping": "#5b6573",
    "merging": "#0e9fb5", "activations": "#b0567c", "preprocessing": "#6f8f12", "wrappers": "#2b9a66",
    "expressions": "#4b5bb5", "own": "#9c3fb0",
}  # fmt: skip
"""Mapping from a family of layers (the folder that has the layer's file) to the color of its boxes in a diagram."""
DARK = "#3d4854"
"""Color of the inputs, outputs and frames of a diagram."""


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

    @property
    def title(self) -> str:
        """Bold title of the box in a diagram: its kind (`dense`), and the number of boxes it stands for, if several."""
        return f"{self.kind} {TIMES}{self.times}" if self.times > 1 else self.kind

    @property
    def second_title(self) -> str:
        """Name of the box in a picture, with the space before it; empty if it has none."""
        return f"  {self.name}" if self.name else ""

    @property
    def description(self) -> str:
        """Second line of text in the diagram's box: details, parameters, `frozen`; empty if there are none."""
        parameters = f"{self.parameters:,} parameters" if self.parameters else ""
        return "  ·  ".join(filter(None, (self.details, parameters, "frozen" if self.frozen else "")))

    @property
    def lines(self) -> list[str]:
        """Lines of text in the diagram's box: its title and name, and its description, if any."""
        return list(filter(None, (" ".join(filter(None, (self.title, self.name))), self.description)))

    @property
    def color(self) -> str:
        """Border color of the box in a diagram: that of its layer's family; layers of plugins have one color."""
        return DARK if not self.family else _COLORS.get(self.family, _COLORS["own"])

    @property
    def is_end(self) -> bool:
        """True if the box only marks where edges cross the frame around it, and is not drawn."""
        return self.role in {"entry", "exit"}


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
        parts = [(replace(boxes[key], key="", name=""), incoming[key][0].label) for key in chain]
        for first in range(len(chain)):
            period, times = _repetition(parts[first:])
            if times > 1:
                return folded(_once(diagram, boxes, chain[first : first + period * times], period, times))
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


def _repetition(parts: Sequence[tuple[Box, str]]) -> tuple[int, int]:
    """Return (period, times) of the repeated pattern at the beginning of a list of boxes; times is 1 without
    repetition."""
    for period in range(1, min(_LONGEST_PERIOD, len(parts) // 2) + 1):
        same = period
        while same < len(parts) and parts[same] == parts[same - period]:
            same += 1
        times = same // period
        if times >= (2 if period == 1 and parts[0][0].role != "layer" else 3):
            return period, times
    return 1, 1


def _pile(first: Box, last: Box, times: int) -> Box:
    """Return one box of a diagram that replaces several equal ones; it counts a shared model's parameters only once."""
    names = dict.fromkeys(box.name or box.kind for box in (first, last))
    count = first.parameters * (1 if first.role == "model" else times)
    return replace(first, name=" to ".join(names) if len(names) > 1 else "", times=times, parameters=count)


def _once(diagram: Diagram, boxes: dict[str, Box], run: Sequence[str], period: int, times: int) -> Diagram:
    """Return a diagram in which the repeated boxes `run` are replaced by one box, or by a frame of the first `period`
    ones."""
    outgoing, incoming = _sides(diagram)
    enters, leaves = incoming[run[0]][0], outgoing[run[-1]][0]
    if period == 1:
        new = _pile(boxes[run[0]], boxes[run[-1]], times)
    else:
        kept = [boxes[key] for key in run[:period]]
        inner = [outgoing[box.key][0] for box in kept]
        inner = [replace(enters, source="<", tensor="<", label=""), *inner[:-1], replace(inner[-1], target=">")]
        inside = Diagram((Box("<", "entry", ""), *kept, Box(">", "exit", "")), tuple(inner))
        total = times * sum(box.parameters for box in kept)
        new = Box(f"repeat {run[0]}", "repeat", "repeat", parameters=total, times=times, inside=inside)
    edges = [e for e in diagram.edges if e is enters or not {e.source, e.target} & {*run}]
    edges.sort(key=lambda edge: edge is enters and period > 1)
    edges = [replace(edge, target=new.key) if edge is enters else edge for edge in edges]
    rest = [new if box.key == run[0] else box for box in diagram.boxes if box.key not in run[1:]]
    return Diagram(tuple(rest), (*edges, replace(leaves, source=new.key)))
