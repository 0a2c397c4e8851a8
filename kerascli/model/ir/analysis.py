"""Analyses of a model's graph: nodes that lead to no output, that need targets, or that update weights."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from kerascli.foundation.errors import Fault, Path, Related
from kerascli.foundation.shapes import Specs
from kerascli.layers.expressions.expr import Update
from kerascli.layers.expressions.weight import Weight
from kerascli.model.ir.inner_models import CustomCellRNN, wrapped
from kerascli.model.ir.nodes import Call, Entry, Input, Model, Node, Shared, flat, names_used_by


def dead_node_faults(
    inputs: Iterable[Input],
    entries: Sequence[Entry],
    outputs: Sequence[str],
    at: str = "model.outputs",
    *,
    inside: bool = True,
) -> list[Fault]:
    """Return config errors for nodes, inputs and calls of shared models that lead to none of a model's outputs.

    Of a chain of such nodes, only the last one is reported. `at` is the config key that lists the outputs. With
    `inside`, the nodes inside calls of shared models are checked, too; otherwise `dead_inner_node_faults` must check
    them, since other graphs may use them.
    """
    nodes = flat(entries)
    uses = Counter(outputs) + _uses(nodes)
    hint = f"use it below, or name it under {at} (now: {', '.join(dict.fromkeys(outputs))})"
    calls = [entry for entry in entries if isinstance(entry, Call) and _is_unused(entry, uses)]
    used, idle = set(uses), {node.name for call in calls for node in call.nodes}
    checked = nodes if inside else [entry for entry in entries if isinstance(entry, Node)]
    faults = [Fault(f"'{call.name}' leads to no output", call.path, "key", hint=hint) for call in calls]
    faults += _unused_nodes([(node, used) for node in checked if node.name not in idle], hint)
    unused = (each for each in inputs if each.name not in used)
    return faults + [Fault(f"input '{each.name}' is not used by the model", each.path, "key") for each in unused]


def _is_unused(call: Call, uses: Mapping[str, int]) -> bool:
    """Return True if no node of a call is used outside of it, given the number of uses of each tensor, and each node of
    the call has an output."""
    within = _uses(call.nodes)
    return all(node.outputs and all(uses[output] == within[output] for output in node.outputs) for node in call.nodes)


def _uses(nodes: Iterable[Node]) -> Counter[str]:
    """Return the number of times that nodes take each tensor."""
    return Counter(name for node in nodes for name in node.used_names())


def dead_inner_node_faults(models: Iterable[Model]) -> Iterator[Fault]:
    """Yield config errors for nodes of shared models that lead to no output in any of the models that call them."""
    nodes: list[tuple[Node, set[str]]] = []
    for model in models:
        used = {*model.outputs, *names_used_by(model.entries)}
        nodes += [(node, used) for entry in model.entries if isinstance(entry, Call) for node in entry.nodes]
    return _unused_nodes(nodes, "")


def _unused_nodes(nodes: Iterable[tuple[Node, set[str]]], hint: str) -> Iterator[Fault]:
    """Yield config errors for nodes whose outputs are unused; `nodes` are pairs of a node and the names of all tensors
    that its graph uses.

    Nodes of one item of `layers`, such as in several calls or repetitions, are unused only if all of them are.
    """
    names: dict[Path, str] = {}
    used: set[Path] = set()
    for node, used_names in nodes:
        names.setdefault(node.path, node.name)
        if not node.outputs or used_names.intersection(node.outputs):
            used.add(node.path)
    for path, name in names.items():
        if path not in used:
            call, _, own = name.rpartition(".")
            inner_hint = "use it below, or remove it" if call else hint
            yield Fault(f"'{own}' leads to no output", path, "key", hint=inner_hint)


def called_in(entries: Iterable[Entry]) -> set[str]:
    """Return the weight name prefixes of all shared layers and models that nodes call, directly or indirectly.

    A call may also be the layer of `time_distributed`, or be in a custom cell.
    """
    names: set[str] = set()
    waiting = list(entries)
    while waiting:
        entry = waiting.pop()
        called = [entry.of] if isinstance(entry, Call) else []
        for node in flat([entry]):
            if isinstance(node.layer, CustomCellRNN):
                waiting += node.layer.cell.entries
            elif (inner := wrapped(node)) is not None:
                called.append(inner)
        waiting += [inner for each in called if each.weights not in names for inner in each.entries]
        names.update(each.weights for each in called)
    return names


def uncalled_faults(shared: Mapping[str, Shared | None], entries: Iterable[Entry]) -> Iterator[Fault]:
    """Yield a config error for each layer or model in `shared` that is not called by `entries`, a model's nodes."""
    called = called_in(entries) if shared else set()
    for name, each in shared.items():
        if each is not None and each.weights not in called:
            # the path of a shared layer ends with the kind of the layer, which is not part of the path of its name
            path = each.path if each.layer is None else each.path[:-1]
            yield Fault(f"'{name}' is shared but never called", path, "key", hint="call it as a layer, by its name")


PREFIX = "targets."


def targets_of(nodes: Sequence[Node], targets: Specs) -> tuple[Input, ...]:
    """Return the data's targets that the formulas of nodes use, as model inputs with the names `targets.NAME`."""
    used = names_used_by(nodes)
    return tuple(
        Input(f"{PREFIX}{name}", spec, ("data", "targets", name))
        for name, spec in targets.items()
        if f"{PREFIX}{name}" in used
    )


def name_of(target: Input) -> str:
    """Return the name in the data of a target, given as a model input with the name `targets.NAME`."""
    return target.name.removeprefix(PREFIX)


def needing_targets(nodes: Sequence[Node], targets: Iterable[Input]) -> frozenset[str]:
    """Return the names of the nodes that depend on a target of the data, directly or through other nodes."""
    tensors = {target.name for target in targets}
    names: set[str] = set()
    for node in nodes:
        if not tensors.isdisjoint(node.used_names()):
            names.add(node.name)
            tensors.update(node.outputs)
    return frozenset(names)


def target_faults(model: Model) -> Iterator[Fault]:
    """Yield a config error for each output of the model that depends on a target of the data."""
    needing = needing_targets(model.nodes, model.targets)
    for node in (node for node in model.nodes if node.name in needing):
        for output in (output for output in node.outputs if output in model.outputs):
            text = f"the output '{output}' depends on a target, which is not available when the model predicts"
            yield Fault(text, node.path, "key", hint="use targets in add_loss, add_metric and what leads to them")


def set_by(nodes: Sequence[Node]) -> dict[str, Node]:
    """Return a mapping from the name of each `update` node to the `weight` node that it assigns to."""
    makers = {output: node for node in nodes for output in node.outputs}
    updates = (node for node in nodes if isinstance(node.layer, Update))
    return {node.name: makers[node.inputs[0]] for node in updates if node.inputs[0] in makers}


def update_faults(nodes: Sequence[Node]) -> list[Fault]:
    """Return errors for `update` nodes that assign no weight, a trainable one, or one that another node assigns."""
    faults: dict[str, Fault] = {}
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
        faults.setdefault(node.weights_name, fault)
    return list(faults.values())
