"""Weights that `update` nodes assign: one per node, which neither the optimizer nor another node changes."""

from collections.abc import Sequence

from kerascli.foundation.errors import Fault, Related
from kerascli.layers.expressions.update import Update
from kerascli.layers.expressions.weight import Weight
from kerascli.model.ir.nodes import Node


def set_by(nodes: Sequence[Node]) -> dict[str, Node]:
    """Return a mapping from the name of each `update` node to the weight node that it assigns."""
    makers = {output: node for node in nodes for output in node.outputs}
    updates = (node for node in nodes if isinstance(node.layer, Update))
    return {node.name: makers[node.inputs[0]] for node in updates if node.inputs[0] in makers}


def update_faults(nodes: Sequence[Node]) -> list[Fault]:
    """Return errors for `update` nodes that assign no weight, a trainable weight, or one that another node assigns."""
    found: dict[str, Fault] = {}
    weights, first = set_by(nodes), dict[str, Node]()
    for node in nodes:
        if not isinstance(node.layer, Update):
            continue
        weight, name = weights.get(node.name), node.layer.weight
        path = (*node.path, "weight")
        if weight is None or not isinstance(weight.layer, Weight):
            fault = Fault(f"'{name}' is not a weight: update assigns to 'weight' nodes only", path)
        elif weight.layer.trainable:
            text = f"'{name}' is trainable: the optimizer would change it, too"
            related = (Related(f"'{name}'", weight.path),)
            fault = Fault(text, path, hint=f"set trainable: false on {name}", related=related)
        elif (other := first.setdefault(weight.weights_name, node)).weights_name != node.weights_name:
            related = (Related("the first one", other.path),)
            fault = Fault(f"'{name}' has an update already", path, hint="combine both in one formula", related=related)
        else:
            continue
        found.setdefault(node.weights_name, fault)
    return list(found.values())
