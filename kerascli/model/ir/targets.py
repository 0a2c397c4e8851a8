"""Nodes that need a target (label), which is not available when a model predicts."""

from collections.abc import Iterable, Mapping, Sequence

from kerascli.foundation.errors import Fault
from kerascli.foundation.shapes import TensorSpec
from kerascli.model.ir.nodes import Input, Model, Node

PREFIX = "targets."


def targets_of(nodes: Sequence[Node], known: Mapping[str, TensorSpec]) -> tuple[Input, ...]:
    """Return the targets of the data that nodes use, as model inputs with the names `targets.NAME`."""
    used = {name for node in nodes for name in node.used_names()}
    return tuple(
        Input(f"{PREFIX}{name}", spec, ("data", "targets", name))
        for name, spec in known.items()
        if f"{PREFIX}{name}" in used
    )


def name_of(target: Input) -> str:
    """Return a target's name in the data, which is the name of its model input without `targets.`."""
    return target.name.removeprefix(PREFIX)


def needing_targets(nodes: Sequence[Node], targets: Iterable[Input]) -> frozenset[str]:
    """Return the names of the nodes that depend on a target."""
    tensors = {target.name for target in targets}
    found: set[str] = set()
    for node in nodes:
        if not tensors.isdisjoint(node.used_names()):
            found.add(node.name)
            tensors.update(node.outputs)
    return frozenset(found)


def target_faults(model: Model) -> list[Fault]:
    """Return a config error for each output of the model that depends on a target."""
    needing = needing_targets(model.nodes, model.targets)
    return [
        Fault(
            f"the output '{output}' depends on a target, which is not available when the model predicts",
            node.path, "key", hint="use targets in add_loss, add_metric and what leads to them",
        )
        for node in model.nodes
        for output in node.outputs
        if node.name in needing and output in model.outputs
    ]  # fmt: skip
