"""How many rows are judged or predicted at once, where the config does not say: more than are trained on."""

import math

from kerascli.config.run import RunSpec
from kerascli.model.ir.nodes import Node, flat
from kerascli.model.runtime.submodules import Inner, inside
from kerascli.model.syntax.views import leading_to
from kerascli.training.checks.row_independence import judge_keeps_rows_apart, node_keeps_rows_apart

_CACHED_BYTES = 2**21
"""Of a node's inputs and outputs together: what a core's cache holds. Beyond it, larger batches gain nothing."""


def rows_at_once(spec: RunSpec, *, figures: bool) -> int:
    """Rows in a batch without training. With `figures`, only as many as leave these what batch_size makes them."""
    fit = spec.fit
    if any(node.layer.keeps_states() for node in spec.model.nodes):
        return fit.batch_size
    if fit.validation_batch_size is not None:
        return fit.validation_batch_size
    if figures and (fit.validation_steps is not None or not _adds_up(spec)):
        return fit.batch_size
    rows = _CACHED_BYTES // max(1, _widest(spec))
    return rows if rows > fit.batch_size and _keeps_rows_apart(spec, figures=figures) else fit.batch_size


def _keeps_rows_apart(spec: RunSpec, *, figures: bool) -> bool:
    """Not where a formula on the way to what is asked for holds rows of a batch against each other."""
    specs, model = spec.built.specs, spec.model
    nodes = model.nodes if figures else flat(leading_to(model.entries, model.outputs))
    pairs = spec.compile.pairs if spec.compile is not None and figures else ()
    judges = [(judge, pair.output) for pair in pairs for judge in (pair.loss, *(use.metric for use in pair.metrics))]
    all_nodes = [*(Inner(node, specs) for node in nodes), *inside(spec.built.modules[node.name] for node in nodes)]
    return all(judge_keeps_rows_apart(judge, specs[output]) for judge, output in judges) and all(
        node_keeps_rows_apart(each.node, each.specs)
        for each in all_nodes
        if all(name in each.specs for name in each.node.inputs)
    )


def _adds_up(spec: RunSpec) -> bool:
    """Whether the mean over all rows is the mean of batches' means: not where a batch counts what it divides by."""
    if spec.compile is None or any(node.layer.makes_mask() or "mask" in node.call for node in spec.model.nodes):
        return False
    if any(_sums_up_a_batch(spec, node) for node in spec.model.nodes):
        return False
    pairs = spec.compile.pairs
    losses = all(pair.loss.adds_up() for pair in pairs if pair.loss is not None)
    return losses and all(use.metric.adds_up() for pair in pairs for use in pair.metrics)


def _sums_up_a_batch(spec: RunSpec, node: Node) -> bool:
    """A formula over samples whose result is one for the batch: a loss or a metric may be made of it."""
    specs = spec.built.specs
    sees = any(name not in specs or specs[name].batched for name in node.inputs)
    return sees and any(name in specs and not specs[name].batched for name in node.outputs)


def _widest(spec: RunSpec) -> int:
    """Bytes of a row where a node's inputs and outputs take the most; sizes that are unknown count as 1."""
    specs = spec.built.specs

    def size(name: str) -> int:
        return 4 * math.prod(n or 1 for n in specs[name].shape) if name in specs and specs[name].batched else 0

    return max(sum(map(size, {*node.inputs, *node.outputs})) for node in spec.model.nodes)
