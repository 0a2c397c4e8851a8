"""Edges of a diagram from box to box: an edge to or from a frame is replaced by edges to or from the boxes in it."""

from dataclasses import dataclass

from kerascli.report.architecture.diagram import Diagram

Way = tuple[str, ...]
"""Path to a box of a diagram: the keys of the frames around it, from the outermost, and the box's key."""


@dataclass(frozen=True, slots=True)
class Connection:
    """An edge of a diagram between two boxes that are not frames."""

    source: Way
    target: Way
    label: str


def connections(diagram: Diagram, at: Way = ()) -> list[Connection]:
    """Return the edges between all boxes of a diagram, also inside frames; `at` is the path to the frame of the
    diagram."""
    found: list[Connection] = []
    enters: dict[str, list[Connection]] = {}
    leaves: dict[str, list[Connection]] = {}
    for box in diagram.boxes:
        if box.inside is None:
            continue
        doors = {(*at, box.key, inner.key) for inner in box.inside.boxes if inner.role in {"entry", "exit"}}
        for each in connections(box.inside, (*at, box.key)):
            if each.source in doors:
                enters.setdefault(box.key, []).append(each)
            elif each.target in doors:
                leaves.setdefault(box.key, []).append(each)
            else:
                found.append(each)
    for edge in diagram.edges:
        inner = enters.get(edge.target, [])
        targets = [each.target for each in inner if each.source[-1] in {f"entry {edge.tensor}", "<"}]
        inner = leaves.get(edge.source, [])
        sources = [each.source for each in inner if each.target[-1] in {f"exit {edge.tensor}", ">"}]
        found += [
            Connection(source, target, edge.label)
            for source in dict.fromkeys(sources or [(*at, edge.source)])
            for target in dict.fromkeys(targets or [(*at, edge.target)])
        ]
    return found
