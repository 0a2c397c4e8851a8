"""Diagram of a model and, in frames beside it, of shared layers that only the updates of `fit.train_step` call."""

from collections.abc import Sequence

from kerascli.model.ir.nodes import Call, Input, Model, flat
from kerascli.model.runtime.built import Built
from kerascli.model.runtime.graph import Graph
from kerascli.report.architecture.diagram import Box, Diagram
from kerascli.report.architecture.from_graph import diagram_of


def whole_diagram(graph: Graph, beside: Sequence[Graph] = (), *, expand: bool = False) -> Diagram:
    """Return a model's diagram, with frames for shared layers that only graphs in `beside` call; for a model without
    layers of its own, only frames."""
    drawn = Diagram((), ()) if graph.model.alone else diagram_of(graph, expand=expand)
    shown = set() if graph.model.alone else {call.of.name for call in _calls(graph)}
    frames: list[Box] = []
    for each in (graph, *beside):
        for call in _calls(each):
            if call.of.name not in shown:
                inside = diagram_of(_called(each, call), expand=expand)
                frames.append(Box(f"called {call.of.name}", "model", call.of.name, inside=inside))
            shown.add(call.of.name)
    return Diagram((*drawn.boxes, *frames), drawn.edges)


def _calls(graph: Graph) -> list[Call]:
    return [entry for entry in graph.model.entries if isinstance(entry, Call)]


def _called(graph: Graph, call: Call) -> Graph:
    """Return the shared layer or model that `call` uses as a separate graph, with the tensor names used inside it."""
    shared = call.of
    entries = shared.entries or call.nodes
    names = shared.inputs if shared.entries else call.inputs
    specs = {target.name: target.spec for target in graph.model.targets}
    specs |= {name: graph.specs[given] for name, given in zip(names, call.inputs, strict=True)}
    modules = dict(zip((node.name for node in graph.model.nodes), graph.nodes, strict=True))
    own = {}
    for inner, node in zip(flat(entries), call.nodes, strict=True):
        own[inner.name] = modules[node.name]
        specs |= {a: graph.specs[b] for a, b in zip(inner.outputs, node.outputs, strict=True) if b in graph.specs}
    given = tuple(Input(name, specs[name]) for name in names)
    model = Model(given, entries, shared.outputs or call.outputs, shared.shared, targets=graph.model.targets)
    return Graph(Built(model, own, specs, {}, {}))
