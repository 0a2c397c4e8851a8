"""Convert the graph of a model to the content of its diagram: boxes, edges, frames."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from kerascli.foundation.errors import counted
from kerascli.model.ir.analysis import name_of
from kerascli.model.ir.nodes import Node
from kerascli.model.runtime.built import submodules_of
from kerascli.model.runtime.graph import Graph
from kerascli.model.runtime.weights import weights_of
from kerascli.report.architecture.diagram import Box, Diagram, Edge, folded
from kerascli.report.architecture.layer_details import details, family_of, shape_label
from kerascli.report.architecture.nesting import Part, Place, enclosing_parts

Way = tuple[str, ...]
"""Path to a box of a diagram: the keys of the frames around it, from the outermost, and the box's key."""


@dataclass(frozen=True, slots=True)
class _Link:
    """Tensor that leads from one box of a model's diagram to another, whatever frames the boxes are in."""

    source: Way
    target: Way
    tensor: str
    label: str
    inner: str
    """Name that the tensor has inside a shared model, which is drawn once for all of its calls."""


@dataclass(slots=True)
class _Drawn:
    graph: Graph
    expand: bool
    ways: dict[str, Way]
    """Mapping from the name of a model's node to the path of its box in the diagram."""
    parts: dict[Way, Part]
    nodes: dict[Way, list[Node]]
    """Mapping from the path of a box to the nodes of the model that it stands for; for a shared layer, the nodes of all
    calls."""
    counts: dict[str, dict[str, int]]
    """Mapping from node name and weight name to the number of elements of the weight."""
    links: list[_Link] = field(default_factory=list)


def diagram_of(graph: Graph, *, expand: bool = False) -> Diagram:
    """Return the diagram of a model; without `expand`, blocks and shared models are boxes, and repeats are collapsed.

    A shared model is drawn once, too, unless one of its calls needs the result of another.
    """
    drawn = _drawn(graph, expand=expand, shared_once=True)
    if not _is_ordered(drawn):
        drawn = _drawn(graph, expand=expand, shared_once=False)
    diagram = _level(drawn, (), drawn.links)
    return diagram if expand else folded(diagram)


def _drawn(graph: Graph, *, expand: bool, shared_once: bool) -> _Drawn:
    model = graph.model
    drawn = _Drawn(graph, expand, {}, {}, {}, _counts(graph))
    parts = enclosing_parts(model, shared_once=shared_once)
    for node in model.nodes:
        place = parts[node.name]
        way = _way(place, node, shared_once=shared_once)
        drawn.ways[node.name] = way
        for depth, part in enumerate(place, 1):
            drawn.parts[way[:depth]] = part
        drawn.nodes.setdefault(way, []).append(node)
    _link(drawn)
    return drawn


def _way(place: Place, node: Node, *, shared_once: bool) -> Way:
    own = node.weights_name if shared_once else node.name
    return (*(f"part {part.key}" for part in place), f"node {own}")


def _link(drawn: _Drawn) -> None:
    model, specs = drawn.graph.model, drawn.graph.specs
    given = [each.name for each in (*model.inputs, *model.targets)]
    made: dict[str, tuple[Way, str]] = {name: ((f"input {name}",), "0") for name in given}
    for node in model.nodes:
        for name in dict.fromkeys(node.used_names()):
            source, number = made[name]
            label = shape_label(specs[name])
            drawn.links.append(_Link(source, drawn.ways[node.name], name, label, f"{source[-1]}:{number}"))
        made |= {name: (drawn.ways[node.name], str(i)) for i, name in enumerate(node.outputs) if name != "_"}
    for name in model.outputs:
        source, number = made[name]
        label = shape_label(specs[name])
        drawn.links.append(_Link(source, (f"output {name}",), name, label, f"{source[-1]}:{number}"))


def _is_ordered(drawn: _Drawn) -> bool:
    """Return True if a diagram has no cycle: no path along its edges leads from a box or frame back to it."""
    after: dict[Way, set[Way]] = {}
    for link in drawn.links:
        common = _common(link.source, link.target)
        first, second = link.source[: common + 1], link.target[: common + 1]
        if first == second:
            return False
        after.setdefault(first, set()).add(second)
    left = {way for pair in after.items() for way in (pair[0], *pair[1])}
    while left:
        free = left - {target for way in left for target in after.get(way, ())}
        if not free:
            return False
        left -= free
    return True


def _common(first: Way, second: Way) -> int:
    return next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )


def _level(drawn: _Drawn, way: Way, links: Sequence[_Link]) -> Diagram:
    """Return the diagram inside the frame at the path `way` (empty: the whole diagram); `links` are the tensors in
    it."""
    depth = len(way)
    edges: dict[tuple[str, str, str], Edge] = {}
    for link in links:
        starts, ends = link.source[:depth] == way, link.target[:depth] == way
        source = link.source[depth] if starts else f"entry {_tensor(drawn, link, way[:-1])}"
        target = link.target[depth] if ends else f"exit {_tensor(drawn, link, way[:-1])}"
        if source == target:
            continue
        tensor = _tensor(drawn, link, way)
        label = link.label if starts else ""
        if starts and _is_one_of_several(drawn, link.source[: depth + 1], way):
            label = f"{link.tensor}: {label}"
        edges.setdefault((source, target, tensor), Edge(source, target, tensor, label))
    return Diagram(tuple(_boxes(drawn, way, links, edges.values())), tuple(edges.values()))


def _tensor(drawn: _Drawn, link: _Link, way: Way) -> str:
    """Return the name that a tensor (of a link between boxes) has inside the frame (a shared model or block) at the
    path `way`."""
    depth = len(way)
    is_inside = link.source[:depth] == way and link.target[:depth] == way
    return link.inner if is_inside and way and _is_shared(drawn, way) else link.tensor


def _is_shared(drawn: _Drawn, way: Way) -> bool:
    return any(drawn.parts[way[:depth]].is_shared for depth in range(1, len(way) + 1) if way[:depth] in drawn.parts)


def _is_one_of_several(drawn: _Drawn, box: Way, way: Way) -> bool:
    """Return True if a box has several outputs or calls, so that labels of edges must name the tensor."""
    if box in drawn.parts:
        return drawn.parts[box].is_shared and len(_call_names(_nodes_below(drawn, box))) > 1
    nodes = drawn.nodes.get(box, [])
    results = [name for node in nodes for name in node.outputs if name != "_"]
    return len(results) > 1 and (len(nodes) == 1 or not _is_shared(drawn, way))


def _boxes(drawn: _Drawn, way: Way, links: Sequence[_Link], edges: Collection[Edge]) -> Iterable[Box]:
    if not way:
        for given in drawn.graph.model.inputs:
            yield Box(f"input {given.name}", "input", "input", given.name)
        for target in drawn.graph.model.targets:
            if any(edge.source == f"input {target.name}" for edge in edges):
                yield Box(f"input {target.name}", "input", "target", name_of(target))
    used = [key for edge in edges for key in (edge.source, edge.target)]
    yield from (Box(key, "entry", "") for key in dict.fromkeys(used) if key.startswith("entry "))
    depth = len(way)
    below = [other for other in drawn.nodes if other[:depth] == way]
    for key in dict.fromkeys(other[: depth + 1] for other in below):
        yield _part_box(drawn, key, links) if key in drawn.parts else _box(drawn, key)
    yield from (Box(key, "exit", "") for key in dict.fromkeys(used) if key.startswith("exit "))
    if not way:
        for name in drawn.graph.model.outputs:
            yield Box(f"output {name}", "output", "output", name)


def _part_box(drawn: _Drawn, way: Way, links: Sequence[_Link]) -> Box:
    part, nodes = drawn.parts[way], _nodes_below(drawn, way)
    layers = len({node.weights_name for node in nodes})
    calls = _call_names(nodes) if part.is_shared else []
    words = [] if drawn.expand else [counted(layers, "layer")]
    words += [f"{len(calls)} calls"] * (len(calls) > 1)
    depth = len(way)
    own = [link for link in links if link.source[:depth] == way or link.target[:depth] == way]
    return Box(
        way[-1],
        "model" if part.is_shared else "block",
        part.name,
        "" if calls == [part.name] else ", ".join(calls),
        ", ".join(words),
        _parameters(drawn, nodes),
        frozen=_is_frozen(drawn, nodes),
        inside=_level(drawn, way, own) if drawn.expand else None,
    )


def _nodes_below(drawn: _Drawn, way: Way) -> list[Node]:
    return [node for other, nodes in drawn.nodes.items() if other[: len(way)] == way for node in nodes]


def _call_names(nodes: Iterable[Node]) -> list[str]:
    return list(dict.fromkeys(node.name.partition(".")[0] for node in nodes))


def _box(drawn: _Drawn, way: Way) -> Box:
    nodes = drawn.nodes[way]
    first = nodes[0]
    kind = first.layer.component_name
    own = first.weights_name.rpartition("/")[2]
    numbered = own.rpartition("_")[0] == kind and own.rpartition("_")[2].isdigit()
    words = [details(first.layer), f"{len(nodes)} calls" if len(nodes) > 1 and len(way) == 1 else ""]
    return Box(
        way[-1],
        "layer" if first.outputs else "figure",
        kind,
        "" if own == kind or numbered else own,
        ", ".join(filter(None, words)),
        _parameters(drawn, nodes),
        family_of(first.layer),
        _is_frozen(drawn, nodes),
    )


def _counts(graph: Graph) -> dict[str, dict[str, int]]:
    return {
        node.name: {
            weight.name: weight.count
            for part in submodules_of(node, module)
            for weight in weights_of(part.module, part.name, trainable=True)
        }
        for node, module in zip(graph.model.nodes, graph.nodes, strict=True)
    }


def _parameters(drawn: _Drawn, nodes: Iterable[Node]) -> int:
    each = {name: count for node in nodes for name, count in drawn.counts[node.name].items()}
    return sum(each.values())


def _is_frozen(drawn: _Drawn, nodes: Sequence[Node]) -> bool:
    """Return True if the nodes of a diagram's box have weights, none of which are trainable."""
    return any(drawn.counts[node.name] and not node.layer.trainable for node in nodes) and not any(
        drawn.counts[node.name] and node.layer.trainable for node in nodes
    )
