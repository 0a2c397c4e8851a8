"""Summary of a model, like Keras's `summary()`: its layers, their shapes, parameters and inputs."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from kerascli.model.ir.nodes import Call, Node
from kerascli.model.runtime.graph import Graph
from kerascli.model.runtime.weights import Weight, lasting


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    kind: str
    output_shape: str
    parameters: int
    connected_to: tuple[str, ...]
    trainable: bool
    inside: bool = False
    """True for a layer in the shared model of a row above; that row counts the layer's parameters."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Summary of a model as data: rows for its layers, numbers of parameters, and their sizes in bytes."""

    title: str
    rows: tuple[Row, ...]
    sequential: bool
    """True if the model is one like Keras's Sequential."""
    trainable: int
    """Number of trainable parameters."""
    non_trainable: int
    """Number of parameters that are not trained."""
    trainable_bytes: int
    non_trainable_bytes: int

    @property
    def total(self) -> int:
        return self.trainable + self.non_trainable


def summarize(graph: Graph, title: str, *, expand: bool = False, updates: Sequence[Graph] = ()) -> Summary:
    """Return the summary of a model, which may be on the meta device (without weights).

    With `expand`, the layers in shared models have rows, too. `updates` are the graphs of the forward passes of
    `fit.train_step`; shared layers and models that only these call have rows, too.
    """
    weights = lasting({w.name: w for each in (graph, *updates) for w in each.weights()}.values())
    rows = tuple(_rows(graph, expand=expand))
    shown = {entry.of.name for entry in graph.model.entries if isinstance(entry, Call)}
    for each in updates:
        rows += tuple(_rows(each, expand=expand, without=shown))
        shown |= {entry.of.name for entry in each.model.entries if isinstance(entry, Call)}
    trainable, fixed = ([w for w in weights if w.trainable is flag] for flag in (True, False))
    counts = sum(w.count for w in trainable), sum(w.count for w in fixed)
    return Summary(title, rows, graph.model.is_sequential, *counts, _bytes(trainable), _bytes(fixed))


def _rows(graph: Graph, *, expand: bool, without: Collection[str] | None = None) -> Iterator[Row]:
    """Yield the rows of a model's summary, one for each node; all calls of a shared layer or model have one row.

    With `without` only shared ones that are not among those names.
    """
    model, weights = graph.model, graph.weights_by_node()
    if not model.is_sequential and without is None:
        yield from (Row(each.name, "input", str(each.spec), 0, (), True) for each in model.inputs)

    def row(name: str, kind: str, nodes: Sequence[Node], outputs: Sequence[str], counted: set[str]) -> Row:
        """Return the row of a layer or model; `counted` are the names of weights that earlier rows have counted."""
        shapes = ", ".join(str(graph.specs[output]) for output in outputs if output in graph.specs)
        own = {weight.name: weight for node in nodes for weight in lasting(weights[node.name])}
        count = sum(weight.count for name, weight in own.items() if name not in counted)
        counted.update(own)
        frozen = bool(own) and not any(node.layer.trainable for node in nodes)
        return Row(name, kind, shapes, count, tuple(nodes[0].used_names()), not frozen)

    counted: set[str] = set()
    calls: dict[str, list[Call]] = {}
    for entry in model.entries:
        if isinstance(entry, Call):
            calls.setdefault(entry.of.name, []).append(entry)
    for entry in model.entries:
        if isinstance(entry, Node):
            if without is None:
                yield row(entry.name, entry.layer.component_name, (entry,), entry.outputs, counted)
        elif entry is calls[entry.of.name][0] and entry.of.name not in (without or ()):
            yield from _shared_rows(row, calls[entry.of.name], counted, expand=expand)


def _shared_rows(row: Callable[..., Row], calls: list[Call], counted: set[str], *, expand: bool) -> Iterator[Row]:
    """Yield the row of a shared layer or model, with the names of its calls if they differ from its name, and rows of
    the layers in it."""
    call, shared, names = calls[0], calls[0].of, [each.name for each in calls]
    title = shared.name if names == [shared.name] else f"{shared.name}: {', '.join(names)}"
    kind = "model" if shared.layer is None else shared.layer.component_name
    used = tuple(name for each in calls for name in each.used_names())
    yield replace(row(title, kind, call.nodes, call.outputs, counted), connected_to=used)
    seen: set[str] = set()
    for node in call.nodes if expand and shared.layer is None else ():
        yield replace(row(node.name, node.layer.component_name, (node,), node.outputs, seen), inside=True)


def _bytes(weights: list[Weight]) -> int:
    return sum(w.count * (w.spec.dtype or torch.get_default_dtype()).itemsize for w in weights)
