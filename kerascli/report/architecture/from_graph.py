"""Convert the graph of a model to the content of its diagram: boxes, edges, frames."""

from collections.abc import Iterable, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import takewhile
from typing import NamedTuple

from kerascli.foundation.errors import counted
from kerascli.model.ir.analysis import name_of
from kerascli.model.ir.nodes import Call, Input, Model, Node, Use, flat
from kerascli.model.runtime.built import Built
from kerascli.model.runtime.graph import Graph
from kerascli.report.architecture.diagram import Box, Diagram, Edge, Role, Way, folded
from kerascli.report.architecture.layer_details import details, family_of, shape_label


def whole_diagram(graph: Graph, updates: Sequence[Graph] = (), *, expand: bool = False) -> Diagram:
    """Return a model's diagram, with frames for shared layers that only the graphs `updates` (of `fit.train_step`)
    call; for a model without layers of its own, only frames."""
    diagram = Diagram((), ()) if graph.model.alone else diagram_of(graph, expand=expand)
    shown = set() if graph.model.alone else {call.of.name for call in _calls(graph)}
    frames: list[Box] = []
    for each in (graph, *updates):
        for call in _calls(each):
            if call.of.name not in shown:
                inside = diagram_of(_called(each, call), expand=expand)
                frames.append(Box(f"called {call.of.name}", "model", call.of.name, inside=inside))
            shown.add(call.of.name)
    return Diagram((*diagram.boxes, *frames), diagram.edges)


def _calls(graph: Graph) -> list[Call]:
    return [entry for entry in graph.model.entries if isinstance(entry, Call)]


def _called(graph: Graph, call: Call) -> Graph:
    """Return the shared layer or model that `call` uses as a separate graph, with the tensor names used inside it."""
    shared = call.of
    entries = shared.entries or call.nodes
    names = shared.inputs if shared.entries else call.inputs
    specs = {target.name: target.spec for target in graph.model.targets}
    specs |= {name: graph.specs[outer] for name, outer in zip(names, call.inputs, strict=True)}
    modules = dict(zip((node.name for node in graph.model.nodes), graph.nodes, strict=True))
    own = {}
    for inner, node in zip(flat(entries), call.nodes, strict=True):
        own[inner.name] = modules[node.name]
        specs |= {a: graph.specs[b] for a, b in zip(inner.outputs, node.outputs, strict=True) if b in graph.specs}
    inputs = tuple(Input(name, specs[name]) for name in names)
    model = Model(inputs, entries, shared.outputs or call.outputs, shared.shared, targets=graph.model.targets)
    return Graph(Built(model, own, specs, {}, {}))


def diagram_of(graph: Graph, *, expand: bool = False) -> Diagram:
    """Return the diagram of a model; without `expand`, blocks and shared models are boxes, and repeats are collapsed.

    A shared model is drawn once, too, unless one of its calls needs the result of another.
    """
    nesting = _Nesting(graph, expand=expand, shared_once=True)
    if not nesting.is_ordered():
        nesting = _Nesting(graph, expand=expand, shared_once=False)
    inner, model = nesting.level((), nesting.links), graph.model
    sources = {edge.source for edge in inner.edges}
    boxes = [Box(f"input {each.name}", "input", "input", each.name) for each in model.inputs]
    targets = [Box(f"input {each.name}", "input", "target", name_of(each)) for each in model.targets]
    boxes += [*(box for box in targets if box.key in sources), *inner.boxes]
    boxes += [Box(f"output {name}", "output", "output", name) for name in model.outputs]
    diagram = Diagram(tuple(boxes), inner.edges)
    return diagram if expand else folded(diagram)


class _Link(NamedTuple):
    """Tensor that leads from one box of a model's diagram to another, whatever frames the boxes are in."""

    source: Way
    target: Way
    tensor: str
    label: str
    inner: str
    """Name that the tensor has inside a shared model, which is drawn once for all of its calls."""


class _Nesting:
    """Boxes and frames of a model's diagram, by their paths, and the links between the boxes."""

    def __init__(self, graph: Graph, *, expand: bool, shared_once: bool) -> None:
        self.expand = expand
        self.parts: dict[Way, Use] = {}
        self.nodes: dict[Way, list[Node]] = {}  # of a shared layer, the nodes of all calls
        self.weights = graph.weights_by_node()
        ways: dict[str, Way] = {}
        for node in graph.model.nodes:
            frames, name = [*_frames(node, shared_once=shared_once)], node.weights_name if shared_once else node.name
            way = ways[node.name] = (*(key for key, _ in frames), f"node {name}")
            self.parts |= {way[:depth]: use for depth, (_, use) in enumerate(frames, 1)}
            self.nodes.setdefault(way, []).append(node)
        self.links = list(self._links(graph, ways))

    def _links(self, graph: Graph, ways: dict[str, Way]) -> Iterator[_Link]:
        model = graph.model
        made: dict[str, tuple[Way, int]] = {}
        made |= {each.name: ((f"input {each.name}",), 0) for each in (*model.inputs, *model.targets)}

        def link(name: str, target: Way) -> _Link:
            source, number = made[name]
            return _Link(source, target, name, shape_label(graph.specs[name]), f"{source[-1]}:{number}")

        for node in model.nodes:
            yield from (link(name, ways[node.name]) for name in dict.fromkeys(node.used_names()))
            made |= {name: (ways[node.name], i) for i, name in enumerate(node.outputs) if name != "_"}
        yield from (link(name, (f"output {name}",)) for name in model.outputs)

    def is_ordered(self) -> bool:
        """Return True if the diagram has no cycle: no path along its edges leads from a box or frame back to it."""
        sources: dict[Way, set[Way]] = {}
        for link in self.links:
            same = takewhile(lambda pair: pair[0] == pair[1], zip(link.source, link.target, strict=False))
            depth = len([*same]) + 1
            sources.setdefault(link.target[:depth], set()).add(link.source[:depth])
        try:
            TopologicalSorter(sources).prepare()
        except CycleError:
            return False
        return True

    def level(self, way: Way, links: Sequence[_Link]) -> Diagram:
        """Return the diagram inside the frame at the path `way` (empty: the whole diagram, without inputs and outputs);
        `links` are the tensors in it."""
        depth = len(way)
        edges: dict[tuple[str, str, str], Edge] = {}
        for link in links:
            outer, tensor = self._tensor(link, way[:-1]), self._tensor(link, way)
            starts = link.source[:depth] == way
            source = link.source[depth] if starts else f"entry {outer}"
            target = link.target[depth] if link.target[:depth] == way else f"exit {outer}"
            is_named = starts and self._is_one_of_several(link.source[: depth + 1], way)
            label = f"{link.tensor}: {link.label}" if is_named else link.label if starts else ""
            if source != target:
                edges.setdefault((source, target, tensor), Edge(source, target, tensor, label))
        ends = dict.fromkeys(key for edge in edges.values() for key in (edge.source, edge.target))
        boxes = [Box(key, "entry", "") for key in ends if key.startswith("entry ")]
        for key in dict.fromkeys(other[: depth + 1] for other in self.nodes if other[:depth] == way):
            boxes.append(self._part_box(key, links) if key in self.parts else self._layer_box(key))
        boxes += [Box(key, "exit", "") for key in ends if key.startswith("exit ")]
        return Diagram(tuple(boxes), tuple(edges.values()))

    def _tensor(self, link: _Link, way: Way) -> str:
        """Return the name that a tensor (of a link between boxes) has inside the frame (a shared model or block) at the
        path `way`."""
        is_inside = link.source[: len(way)] == way == link.target[: len(way)]
        return link.inner if is_inside and self._is_shared(way) else link.tensor

    def _is_shared(self, way: Way) -> bool:
        outer = (self.parts.get(way[:depth]) for depth in range(1, len(way) + 1))
        return any(part is not None and part.of == "model" for part in outer)

    def _is_one_of_several(self, box: Way, way: Way) -> bool:
        """Return True if a box has several outputs or calls, so that labels of edges must name the tensor."""
        if box in self.parts:
            return self.parts[box].of == "model" and len(_call_names(self._nodes_below(box))) > 1
        nodes = self.nodes.get(box, [])
        results = [name for node in nodes for name in node.outputs if name != "_"]
        return len(results) > 1 and (len(nodes) == 1 or not self._is_shared(way))

    def _part_box(self, way: Way, links: Sequence[_Link]) -> Box:
        part, nodes, depth = self.parts[way], self._nodes_below(way), len(way)
        calls = _call_names(nodes) if part.of == "model" else []
        words = [] if self.expand else [counted(len({node.weights_name for node in nodes}), "layer")]
        words += [f"{len(calls)} calls"] * (len(calls) > 1)
        own = [link for link in links if way in (link.source[:depth], link.target[:depth])]
        name = "" if calls == [part.path[-1]] else ", ".join(calls)
        inside = self.level(way, own) if self.expand else None
        return self._box(way, part.of, str(part.path[-1]), name, words, nodes, inside=inside)

    def _layer_box(self, way: Way) -> Box:
        nodes = self.nodes[way]
        first = nodes[0]
        kind, own = first.layer.component_name, first.weights_name.rpartition("/")[2]
        stem, _, number = own.rpartition("_")
        words = [details(first.layer), f"{len(nodes)} calls" if len(nodes) > 1 and len(way) == 1 else ""]
        name = "" if own == kind or (stem == kind and number.isdigit()) else own
        return self._box(way, "layer" if first.outputs else "figure", kind, name, words, nodes, family_of(first.layer))

    def _box(
        self, way: Way, role: Role, kind: str, name: str, words: Iterable[str], nodes: Sequence[Node],
        family: str = "", inside: Diagram | None = None,
    ) -> Box:  # fmt: skip
        """Return a box of the diagram; it is frozen if its nodes have weights, none of which are trainable."""
        counts = {weight.name: weight.count for node in nodes for weight in self.weights[node.name]}
        frozen = bool(counts) and not any(node.layer.trainable for node in nodes if self.weights[node.name])
        text = ", ".join(filter(None, words))
        return Box(way[-1], role, kind, name, text, sum(counts.values()), family, frozen, inside=inside)

    def _nodes_below(self, way: Way) -> list[Node]:
        return [node for other, nodes in self.nodes.items() if other[: len(way)] == way for node in nodes]


def _frames(node: Node, *, shared_once: bool) -> Iterator[tuple[str, Use]]:
    """Yield the uses of blocks and calls of shared models that are drawn as boxes or frames around a node, outermost
    first, each with the key of its box; with `shared_once`, all calls of a shared model have the same key."""
    calls = iter(node.name.split("."))  # `a.b.dense` is in the call `b` in the call `a`
    for use in node.uses:
        if use.of == "block":
            yield f"part {'.'.join(map(str, use.path))} {use.start}", use
        elif use.of == "model":
            yield f"part {use.path[-1]}{'' if shared_once else f' {next(calls)}'}", use


def _call_names(nodes: Iterable[Node]) -> list[str]:
    return list(dict.fromkeys(node.name.partition(".")[0] for node in nodes))
