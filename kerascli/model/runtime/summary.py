"""Summary of a model, like Keras's `summary()`: its layers, their shapes, parameters and inputs."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from kerascli.layers.base import BaseLayer
from kerascli.model.ir.nodes import Call, Entry, Node, flat
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
    inputs = () if graph.model.is_sequential else graph.model.inputs
    rows, shown = [Row(each.name, "input", str(each.spec), 0, (), True) for each in inputs], set[str]()
    for each in (graph, *updates):
        rows += _rows(each, expand=expand, without=None if each is graph else shown)
        shown |= {entry.of.name for entry in each.model.entries if isinstance(entry, Call)}
    trainable, fixed = ([w for w in weights if w.trainable is flag] for flag in (True, False))
    counts = sum(w.count for w in trainable), sum(w.count for w in fixed)
    return Summary(title, tuple(rows), graph.model.is_sequential, *counts, _bytes(trainable), _bytes(fixed))


def _rows(graph: Graph, *, expand: bool, without: Collection[str] | None = None) -> Iterator[Row]:
    """Yield the rows of a model's nodes, one for each; all calls of a shared layer or model have one row.

    With `without` only shared ones that are not among those names.
    """
    weights = graph.weights_by_node()

    def row(title: str, layer: BaseLayer | None, entries: Sequence[Entry], counted: set[str]) -> Row:
        """Return the row of a layer, or of a model (`layer` is None), for the entries that call it; `counted` are the
        names of weights that earlier rows have counted."""
        nodes = flat(entries[:1])
        shapes = ", ".join(str(graph.specs[output]) for output in entries[0].outputs if output in graph.specs)
        own = {weight.name: weight for node in nodes for weight in lasting(weights[node.name])}
        count = sum(weight.count for name, weight in own.items() if name not in counted)
        counted.update(own)
        frozen = bool(own) and not any(node.layer.trainable for node in nodes)
        used = tuple(name for each in entries for name in each.used_names())
        return Row(title, layer.component_name if layer else "model", shapes, count, used, not frozen)

    counted: set[str] = set()
    by_name: dict[str, list[Entry]] = {}
    for entry in graph.model.entries:
        by_name.setdefault(entry.of.name if isinstance(entry, Call) else entry.name, []).append(entry)
    for name, entries in by_name.items():
        first, names = entries[0], [each.name for each in entries]
        if without is not None and (isinstance(first, Node) or name in without):
            continue
        layer = first.layer if isinstance(first, Node) else first.of.layer
        yield row(name if names == [name] else f"{name}: {', '.join(names)}", layer, entries, counted)
        seen: set[str] = set()
        for node in flat([first]) if expand and layer is None else ():
            yield replace(row(node.name, node.layer, [node], seen), inside=True)


def _bytes(weights: list[Weight]) -> int:
    return sum(w.count * (w.spec.dtype or torch.get_default_dtype()).itemsize for w in weights)
