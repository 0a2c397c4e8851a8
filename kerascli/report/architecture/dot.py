"""Diagrams of models in DOT, the language of Graphviz."""

from collections.abc import Iterator

from kerascli.report.architecture.colors import DARK, color_of
from kerascli.report.architecture.connections import Way, connections
from kerascli.report.architecture.diagram import Diagram
from kerascli.report.architecture.layout import lines_of


def dot(diagram: Diagram, title: str, totals: str) -> str:
    """Return a model's diagram as text in Graphviz's DOT, with a title and `totals`, the line on numbers of
    parameters."""
    ids: dict[Way, str] = {}
    lines = [
        f"digraph {_quoted(title)} {{",
        f"  label={_quoted(f'{title}   {totals}')}; labelloc=t; labeljust=l",
        '  graph [fontname="Helvetica", fontsize=12]',
        '  node [fontname="Helvetica", fontsize=10, shape=box, style="rounded,filled"]',
        '  edge [fontname="Helvetica", fontsize=9, color="#7f8a97"]',
        *_boxes(diagram, (), ids),
    ]
    for each in connections(diagram):
        label = f" [label={_quoted(each.label)}]" if each.label else ""
        lines.append(f"  {ids[each.source]} -> {ids[each.target]}{label}")
    return "\n".join([*lines, "}"]) + "\n"


def _boxes(diagram: Diagram, at: Way, ids: dict[Way, str]) -> Iterator[str]:
    space = "  " * (len(at) + 1)
    for box in diagram.boxes:
        if box.role in {"entry", "exit"}:
            continue
        way = (*at, box.key)
        name = ids[way] = f"n{len(ids)}"
        label = _quoted(("\n" if box.inside is None else "  ").join(lines_of(box)))
        if box.inside is not None:
            yield f"{space}subgraph cluster_{name} {{"
            yield f'{space}  label={label}; style="rounded,filled"; fillcolor="#f5f7f9"; color="{DARK}"'
            yield from _boxes(box.inside, way, ids)
            yield f"{space}}}"
            continue
        style = "rounded,filled,dashed" if box.frozen or box.role == "figure" else "rounded,filled"
        twice = ", peripheries=2" if box.role in {"model", "block"} else ""
        colors = f'color="{color_of(box)}", fillcolor="{color_of(box)}22"'
        yield f'{space}{name} [label={label}, {colors}, style="{style}"{twice}]'


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
