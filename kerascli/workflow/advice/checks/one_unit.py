"""Advice check: warns of a softmax over a single unit, whose result is always 1."""

from collections.abc import Iterator
from typing import Any

from kerascli.foundation.errors import Fault
from kerascli.layers.activations.softmax import Softmax as SoftmaxLayer
from kerascli.layers.base import BaseLayer
from kerascli.model.ir.nodes import Node
from kerascli.model.runtime.built import Built
from kerascli.parts.activations import Softmax, Sparsemax
from kerascli.workflow.advice.case import Case, warning


def check(case: Case) -> Iterator[Fault]:
    """Yield a warning for each layer of the model whose softmax is over an axis of size 1."""
    for graph in case.spec.graphs:
        for node in graph.model.nodes:
            axes = _axes(node.layer)
            shape = _shape(node, graph)
            if axes and shape and all(_size(shape, axis) == 1 for axis in axes):
                text = f"'{node.weights_name}' is a softmax over one value: the result is always 1"
                yield warning(text, node.path, "use activation: sigmoid for one unit; softmax needs one unit per class")


def _axes(layer: BaseLayer) -> tuple[int, ...]:
    """Return the axes of a layer's softmax, counted with the batch axis; empty if it has no softmax."""
    inner: Any = layer
    while inner.component_name in {"time_distributed", "spectral_normalization"}:
        inner = inner.layer
    if isinstance(inner, SoftmaxLayer):
        return inner.axis if isinstance(inner.axis, tuple) else (inner.axis,)
    activation = getattr(inner, "activation", None)
    gated = inner.component_name in {"lstm", "gru"} or inner.component_name.startswith("conv_lstm")
    return (activation.axis,) if isinstance(activation, Softmax | Sparsemax) and not gated else ()


def _shape(node: Node, graph: Built) -> tuple[int | None, ...]:
    """Return the shape (with the batch axis) of a node's first output; empty if the config does not use that output."""
    spec = graph.specs.get(node.outputs[0]) if node.outputs else None
    return () if spec is None else (None, *spec.shape)


def _size(shape: tuple[int | None, ...], axis: int) -> int | None:
    return shape[axis] if -len(shape) <= axis < len(shape) else None
