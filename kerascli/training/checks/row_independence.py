"""Test by evaluation whether a formula treats the rows of a batch separately; `x - mean(x, axis=0)` does not.

If all formulas of a model treat rows separately, evaluation and prediction may use larger batches, with equal results.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from kerascli.foundation import draws
from kerascli.foundation.shapes import Shape, TensorSpec
from kerascli.language.component import Component
from kerascli.language.expressions import ExpressionError
from kerascli.layers.expressions.base import ExpressionLayer
from kerascli.losses.expr import Expr as LossExpr
from kerascli.losses.ranks import runs_along_rows
from kerascli.metrics.comparisons import OutputTarget
from kerascli.metrics.expr import Expr as MetricExpr
from kerascli.model.ir.gradients import differentiated
from kerascli.model.ir.nodes import Node, flat
from kerascli.model.runtime.built import Built, InnerNode, inner_nodes
from kerascli.model.syntax.views import leading_to
from kerascli.ops.expression import expression, value_of_pair

_ROWS = 4
_UNKNOWN = 6
_FAILURES = (ExpressionError, RuntimeError, IndexError, ValueError, TypeError)
"""Exceptions of a formula that cannot be evaluated on the test values."""

Formula = Callable[[list[Tensor]], Any]


def components_in(value: object) -> Iterator[Component]:
    """Yield the components (layers, losses ...) in a value, and those in their arguments, however deeply nested."""
    if isinstance(value, Component):
        yield value
        value = [getattr(value, name) for name in type(value).model_fields]
    elif isinstance(value, dict):
        value = list(value.values())
    for inner in value if isinstance(value, (list, tuple)) else ():
        yield from components_in(inner)


def with_inner_nodes(built: Built, nodes: Iterable[Node] | None = None) -> list[InnerNode]:
    """Return the given nodes of the model `built` (None: all), and the nodes inside these (in `rnn` cells ...)."""
    outer = list(built.model.nodes if nodes is None else nodes)
    return [*(InnerNode(n, built.specs) for n in outer), *inner_nodes(built.modules[n.name] for n in outer)]


def reduces_a_batch(node: Node, specs: Mapping[str, TensorSpec]) -> bool:
    """Return True if a model's node reduces a whole batch to one result (a tensor without a batch axis).

    `specs` maps names of tensors to their specs (shape, dtype). An input of the node that is not in `specs` may have a
    batch axis; an output that is not in `specs` counts as one with a batch axis.
    """
    sees = any(name not in specs or specs[name].batched for name in node.inputs)
    return sees and any(name in specs and not specs[name].batched for name in node.outputs)


def node_keeps_rows_apart(node: Node, specs: Mapping[str, TensorSpec]) -> bool:
    """Return False if a node is a formula (`expr`) that combines different rows of a batch, or cannot be evaluated.

    It is False also for one that takes a gradient: of a sum over the batch, with the memory of a training step.

    The result is True if each row of the formula's output depends only on the same row of its inputs, as found by
    evaluating it. It is also True for all nodes that are not tested: other layers, which may combine rows, and formulas
    without an input that has a batch axis. `specs` maps tensor names to shapes and dtypes.
    """
    if not isinstance(node.layer, ExpressionLayer):
        return True
    if differentiated([node]):
        return False
    xs = [specs[name] for name in node.inputs]
    if not any(spec.batched for spec in xs):
        return True
    return _rows_stay_apart(_formula(node.layer, xs), xs)


def _formula(layer: ExpressionLayer, xs: Sequence[TensorSpec]) -> Formula:
    """Return the formula of an `expr` layer as a function of its input tensors; one of them must have a batch axis."""
    compiled = expression(layer.value)
    sized_by = next(index for index, spec in enumerate(xs) if spec.batched)
    return lambda tensors: compiled(dict(zip(compiled.names, tensors, strict=False)), tensors[sized_by], training=False)


def comparison_keeps_rows_apart(component: object, output: TensorSpec) -> bool:
    """Return True if a loss or metric (`component`) computes each row's value from that row of output and target alone.

    `output` is the output's shape and dtype. Formulas are tested by evaluation: with targets of the output's shape, and
    with targets without its last axis. Others say it by `compares_rows`, or by axes: null is the whole batch.
    """
    if not isinstance(component, LossExpr | MetricExpr):
        whole = getattr(component, "axis", ()) is None or getattr(component, "compares_rows", False)
        return not whole and not runs_along_rows(component, output)
    text = component.value
    targets = (output, TensorSpec(output.shape[:-1], output.dtype))
    return any(_rows_stay_apart(lambda pair: value_of_pair(text, *pair), [target, output]) for target in targets)


def _rows_stay_apart(formula: Formula, xs: list[TensorSpec]) -> bool:
    """Return True if changing the first or last row, or leaving out the last, leaves a formula's results for other rows
    unchanged; False on errors."""
    try:
        every = [_numbers(*each) for each in enumerate(xs)]
        before = _parts(formula, every)
        for changed in (0, _ROWS - 1):
            after = _parts(formula, [_numbers(*each, changed) for each in enumerate(xs)])
            rest = [row for row in range(_ROWS) if row != changed]
            if not all(torch.equal(one[rest], other[rest]) for one, other in zip(before, after, strict=True)):
                return False
        fewer = [values[:-1] if spec.batched else values for values, spec in zip(every, xs, strict=True)]
        pairs = zip(*(_parts(formula, each, draws.Tape()) for each in (every, fewer)), strict=True)
        return all(torch.allclose(one[: len(other)], other) for one, other in pairs)
    except _FAILURES:
        return False


def _parts(formula: Formula, xs: list[Tensor], source: draws.Drawer | None = None) -> list[Tensor]:
    """Return the results of a formula as tensors to compare: nan is replaced, random numbers are always the same."""
    with torch.no_grad(), draws.using(source or draws.Draws(0, "rows", 0)):
        value = formula(xs)
    parts = value if isinstance(value, list) else [value]
    return [part.double().nan_to_num() for part in parts if isinstance(part, Tensor)]


def _numbers(place: int, spec: TensorSpec, changed: int | None = None) -> Tensor:
    """Return test values of the input at a place, from 0 to 1 (0 or 1 for integers); the row `changed` has others."""
    shape: Shape = (_ROWS, *spec.shape) if spec.batched else spec.shape
    sizes = [_UNKNOWN if size is None else size for size in shape]
    count = torch.arange(torch.Size(sizes).numel(), dtype=torch.float32).reshape(sizes)
    values = 0.5 + 0.4 * torch.sin(1.7 * count + place)
    if changed is not None and spec.batched:
        values[changed] = 0.5 + 0.4 * torch.cos(2.3 * count[changed] + place)
    return (values > 0.5).to(torch.int64) if spec.is_integer else values


_CACHED_BYTES = 2**21
"""Number of bytes of a node's inputs and outputs (for a batch) that fit a CPU core's cache; larger batches are no
faster."""


def rows_at_once(built: Built, pairs: Sequence[OutputTarget] | None, batch_size: int, *, metrics: bool) -> int:
    """Return a batch size for evaluation or prediction: above `batch_size` if larger batches give the same results.

    `built` is the model. With `metrics`, the batches are for evaluation, whose loss and metrics must not depend on the
    batch size; else for prediction. `pairs` are the outputs and targets of losses and metrics; None if unknown.
    """
    if metrics and (pairs is None or not _adds_up(built, pairs)):
        return batch_size
    rows = _CACHED_BYTES // max(1, _widest(built))
    return rows if rows > batch_size and _keeps_rows_apart(built, pairs or (), metrics=metrics) else batch_size


def _keeps_rows_apart(built: Built, pairs: Sequence[OutputTarget], *, metrics: bool) -> bool:
    """Return False if a formula of the model (or of its losses and metrics) combines different rows of a batch."""
    specs, model = built.specs, built.model
    nodes = model.nodes if metrics else flat(leading_to(model.entries, model.outputs))
    pairs = pairs if metrics else ()
    compared = [(each, pair.output) for pair in pairs for each in (pair.loss, *(use.metric for use in pair.metrics))]
    return all(comparison_keeps_rows_apart(each, specs[output]) for each, output in compared) and all(
        node_keeps_rows_apart(each.node, each.specs)
        for each in with_inner_nodes(built, nodes)
        if all(name in each.specs for name in each.node.inputs)
    )


def _adds_up(built: Built, pairs: Sequence[OutputTarget]) -> bool:
    """Return True if loss and metrics of all rows equal the mean of their values for batches, weighted by rows.

    They do not if a batch determines its own denominator, as with masks.
    """
    if any(node.layer.makes_mask() or "mask" in node.call for node in built.model.nodes):
        return False
    if any(reduces_a_batch(node, built.specs) for node in built.model.nodes):
        return False
    return all(pair.loss.adds_up() for pair in pairs if pair.loss is not None)


def _widest(built: Built) -> int:
    """Return the number of bytes per row of the inputs and outputs of the model's largest node; unknown sizes count as
    1."""
    specs = built.specs

    def size(name: str) -> int:
        return 4 * math.prod(n or 1 for n in specs[name].shape) if name in specs and specs[name].batched else 0

    return max(sum(map(size, {*node.inputs, *node.outputs})) for node in built.model.nodes)
