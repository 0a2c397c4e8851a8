"""Diagrams of models as Mermaid flowcharts, which GitHub, GitLab and Jupyter draw in Markdown."""

import json
import re
from collections.abc import Iterator

from kerascli.report.architecture.colors import DARK, color_of
from kerascli.report.architecture.connections import Way, connections
from kerascli.report.architecture.diagram import Box, Diagram
from kerascli.report.architecture.layout import lines_of

_SPECIAL = re.compile(r"[^\w .,:()\[\]/+*=-]")
"""Characters that may have a meaning in Mermaid or HTML."""


def mermaid(diagram: Diagram, title: str, totals: str) -> str:
    """Return a model's diagram as Mermaid text, with a title and `totals`, the line on numbers of parameters."""
    ids: dict[Way, str] = {}
    lines = ["---", f"title: {json.dumps(f'{title}   {totals}', ensure_ascii=False)}", "---", "flowchart TB"]
    lines += _boxes(diagram, (), ids)
    for each in connections(diagram):
        label = f"|{_quoted(each.label)}|" if each.label else ""
        lines.append(f"  {ids[each.source]} -->{label} {ids[each.target]}")
    return "\n".join(lines) + "\n"


def _boxes(diagram: Diagram, at: Way, ids: dict[Way, str]) -> Iterator[str]:
    space = "  " * (len(at) + 1)
    for box in diagram.boxes:
        if box.role in {"entry", "exit"}:
            continue
        way = (*at, box.key)
        name = ids[way] = f"n{len(ids)}"
        if box.inside is not None:
            yield f"{space}subgraph {name}[{_quoted(_label(box, '  '))}]"
            yield from _boxes(box.inside, way, ids)
            yield f"{space}end"
            yield f"{space}style {name} fill:#f5f7f9,stroke:{DARK}"
            continue
        left, right = {"input": ("([", "])"), "output": ("([", "])"), "model": ("[[", "]]"), "block": ("[[", "]]")}.get(
            box.role, ("[", "]")
        )
        yield f"{space}{name}{left}{_quoted(_label(box, '<br/>'))}{right}"
        dashes = ",stroke-dasharray:5 3" if box.frozen or box.role == "figure" else ""
        yield f"{space}style {name} fill:{color_of(box)}22,stroke:{color_of(box)}{dashes}"


def _label(box: Box, between: str) -> str:
    return between.join(map(_escaped, lines_of(box)))


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda found: f"#{ord(found.group())};", text)


def _quoted(text: str) -> str:
    return f'"{text}"'
