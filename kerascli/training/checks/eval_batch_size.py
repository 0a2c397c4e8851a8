"""Choose the batch size of evaluation and prediction if the config sets none.

It is larger than in training, but gives equal results.
"""

import math
from collections.abc import Sequence

from kerascli.metrics.comparisons import OutputTarget
from kerascli.model.ir.nodes import flat
from kerascli.model.runtime.built import Built
from kerascli.model.syntax.views import leading_to
from kerascli.training.checks.row_independence import (
    comparison_keeps_rows_apart,
    node_keeps_rows_apart,
    reduces_a_batch,
    with_inner_nodes,
)

_CACHED_BYTES = 2**21
"""Number of bytes of a node's inputs and outputs (for a batch) that fit a CPU core's cache; larger batches are no
faster."""


def rows_at_once(
    built: Built,
    pairs: Sequence[OutputTarget] | None,
    *,
    metrics: bool,
    batch_size: int,
    validation_batch_size: int | None = None,
    validation_steps: int | None = None,
) -> int:
    """Return the batch size for evaluation or prediction.

    With `metrics`, it is for evaluation, whose loss and metrics must not depend on it. `pairs` are the outputs and
    targets of losses and metrics; None if unknown.
    """
    if any(node.layer.keeps_states() for node in built.model.nodes):
        return batch_size
    if validation_batch_size is not None:
        return validation_batch_size
    if metrics and (validation_steps is not None or pairs is None or not _adds_up(built, pairs)):
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
    losses = all(pair.loss.adds_up() for pair in pairs if pair.loss is not None)
    return losses and all(use.metric.adds_up() for pair in pairs for use in pair.metrics)


def _widest(built: Built) -> int:
    """Return the number of bytes per row of the inputs and outputs of the model's largest node; unknown sizes count as
    1."""
    specs = built.specs

    def size(name: str) -> int:
        return 4 * math.prod(n or 1 for n in specs[name].shape) if name in specs and specs[name].batched else 0

    return max(sum(map(size, {*node.inputs, *node.outputs})) for node in built.model.nodes)
