"""Diagrams of models as text: Mermaid flowcharts, which GitHub, GitLab and Jupyter draw, and Graphviz's DOT."""

import json
import re
from collections.abc import Callable, Iterator
from functools import partial

from kerascli.report.architecture.diagram import DARK, Box, Diagram, Way

_SPECIAL = re.compile(r"[^\w .,:()\[\]/+*=-]")
"""Characters that may have a meaning in Mermaid or HTML."""
_quoted = partial(json.dumps, ensure_ascii=False)

Connection = tuple[Way, Way, str]
"""Type of (source, target, label) of an edge of a diagram between two boxes that are not frames."""


def connections(diagram: Diagram, at: Way = ()) -> list[Connection]:
    """Return the edges between all boxes of a diagram, also inside frames; `at` is the path to the frame of the
    diagram.

    An edge to or from a frame is replaced by edges to or from the boxes in it.
    """
    edges: list[Connection] = []
    ends: dict[Way, dict[Way, None]] = {}  # where edges cross a frame -> the boxes that they lead to in it
    for box in diagram.boxes:
        for source, target, label in connections(box.inside, (*at, box.key)) if box.inside is not None else ():
            if _is_end(source[-1]):
                ends.setdefault(source, {})[target] = None
            elif _is_end(target[-1]):
                ends.setdefault(target, {})[source] = None
            else:
                edges.append((source, target, label))
    for edge in diagram.edges:
        source, target = (*at, edge.source), (*at, edge.target)
        sources = ends.get((*source, f"exit {edge.tensor}")) or ends.get((*source, ">")) or [source]
        targets = ends.get((*target, f"entry {edge.tensor}")) or ends.get((*target, "<")) or [target]
        edges += [(first, second, edge.label) for first in sources for second in targets]
    return edges


def _is_end(key: str) -> bool:
    return key in {"<", ">"} or key.startswith(("entry ", "exit "))


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
        *_box_lines(diagram, _dot_box, (), ids),
    ]
    for source, target, label in connections(diagram):
        lines.append(f"  {ids[source]} -> {ids[target]}" + (f" [label={_quoted(label)}]" if label else ""))
    return "\n".join([*lines, "}"]) + "\n"


def mermaid(diagram: Diagram, title: str, totals: str) -> str:
    """Return a model's diagram as Mermaid text, with a title and `totals`, the line on numbers of parameters."""
    ids: dict[Way, str] = {}
    lines = ["---", f"title: {_quoted(f'{title}   {totals}')}", "---", "flowchart TB"]
    lines += _box_lines(diagram, _mermaid_box, (), ids)
    for source, target, label in connections(diagram):
        lines.append(f"  {ids[source]} -->" + (f'|"{label}"|' if label else "") + f" {ids[target]}")
    return "\n".join(lines) + "\n"


Describe = Callable[[str, Box], tuple[list[str], list[str]]]
"""Function (id, box) -> lines of text for a box of a diagram: those before, and those after the boxes inside it."""


def _box_lines(diagram: Diagram, describe: Describe, at: Way, ids: dict[Way, str]) -> Iterator[str]:
    """Yield the lines for the boxes of a diagram, and for those inside frames; add the boxes' ids to `ids`."""
    space = "  " * (len(at) + 1)
    for box in diagram.boxes:
        if not box.is_end:
            way = (*at, box.key)
            ids[way] = f"n{len(ids)}"
            before, after = describe(ids[way], box)
            yield from (space + line for line in before)
            if box.inside is not None:
                yield from _box_lines(box.inside, describe, way, ids)
            yield from (space + line for line in after)


def _dot_box(name: str, box: Box) -> tuple[list[str], list[str]]:
    if box.inside is not None:
        style = f'style="rounded,filled"; fillcolor="#f5f7f9"; color="{DARK}"'
        return [f"subgraph cluster_{name} {{", f"  label={_quoted('  '.join(box.lines))}; {style}"], ["}"]
    label = _quoted("\n".join(box.lines))
    return [f'{name} [label={label}, color="{box.color}", fillcolor="{box.color}22"]'], []


def _mermaid_box(name: str, box: Box) -> tuple[list[str], list[str]]:
    lines = [_SPECIAL.sub(lambda match: f"#{ord(match.group())};", line) for line in box.lines]
    if box.inside is not None:
        return [f'subgraph {name}["{"  ".join(lines)}"]'], ["end", f"style {name} fill:#f5f7f9,stroke:{DARK}"]
    left, right = ("([", "])") if box.role in {"input", "output"} else ("[", "]")
    box_line = f'{name}{left}"{"<br/>".join(lines)}"{right}'
    return [box_line, f"style {name} fill:{box.color}22,stroke:{box.color}"], []
