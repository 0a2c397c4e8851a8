"""Config errors for nodes, calls, inputs and shared layers that no output of the model depends on."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from kerascli.foundation.errors import Fault, Path
from kerascli.model.ir.nodes import Call, Entry, Input, Model, Node, Shared, flat
from kerascli.model.ir.rnn import CustomCellRNN
from kerascli.model.ir.shared_layer import wrapped


def dead_node_faults(
    inputs: Iterable[Input],
    entries: Sequence[Entry],
    outputs: Sequence[str],
    at: str = "model.outputs",
    *,
    inside: bool = True,
) -> list[Fault]:
    """Return config errors for nodes, calls and inputs that lead to no output; of a chain of such nodes, only for the
    last one.

    With `inside`, unused nodes of the shared models that are called count, too; without, other graphs may use them,
    which `dead_inner_node_faults` checks.
    """
    nodes = flat(entries)
    uses = Counter([*outputs, *(name for node in nodes for name in node.used_names())])
    hint = f"use it below, or name it under {at} (now: {', '.join(dict.fromkeys(outputs))})"
    faults: list[Fault] = []
    idle: set[str] = set()
    for entry in entries:
        if not isinstance(entry, Call) or any(not node.outputs for node in entry.nodes):
            continue
        within = Counter(name for node in entry.nodes for name in node.used_names())
        if all(uses[output] == within[output] for node in entry.nodes for output in node.outputs):
            faults.append(Fault(f"'{entry.name}' leads to no output", entry.path, "key", hint=hint))
            idle.update(node.name for node in entry.nodes)
    checked = nodes if inside else [entry for entry in entries if isinstance(entry, Node)]
    used = set(uses)
    faults += _unused_nodes([(node, used) for node in checked if node.name not in idle], hint)
    for given in inputs:
        if given.name not in uses:
            faults.append(Fault(f"input '{given.name}' is not used by the model", given.path, "key"))
    return faults


def dead_inner_node_faults(models: Iterable[Model]) -> list[Fault]:
    """Return config errors for nodes of shared models that lead to no output in any of the models that call them."""
    nodes: list[tuple[Node, set[str]]] = []
    for model in models:
        used = {*model.outputs, *(name for node in model.nodes for name in node.used_names())}
        nodes += [(node, used) for entry in model.entries if isinstance(entry, Call) for node in entry.nodes]
    return _unused_nodes(nodes, "")


def _unused_nodes(nodes: Iterable[tuple[Node, set[str]]], hint: str) -> list[Fault]:
    """Return config errors for nodes whose outputs are unused; `nodes` are pairs of a node and the names of all tensors
    that its graph uses.

    Nodes of one entry of `layers`, such as in several calls or repetitions, are unused only if all of them are.
    """
    by_place: dict[Path, list[tuple[Node, set[str]]]] = {}
    for node, used in nodes:
        by_place.setdefault(node.path, []).append((node, used))
    faults = []
    for path, same in by_place.items():
        if all(node.outputs and not used.intersection(node.outputs) for node, used in same):
            first, _ = same[0]
            is_inner = "." in first.name
            text = f"'{first.name.rpartition('.')[2]}' leads to no output"
            faults.append(Fault(text, path, "key", hint="use it below, or remove it" if is_inner else hint))
    return faults


def called_in(entries: Iterable[Entry]) -> set[str]:
    """Return the weight name prefixes of the shared layers and models that nodes call, directly or through other
    models.

    A call may also be the layer of `time_distributed`, or be in a custom cell.
    """
    found: set[str] = set()
    waiting = list(entries)
    while waiting:
        entry = waiting.pop()
        called = [entry.of] if isinstance(entry, Call) else []
        for node in flat([entry]):
            if isinstance(node.layer, CustomCellRNN):
                waiting += node.layer.cell.entries
            elif (inner := wrapped(node)) is not None:
                called.append(inner)
        waiting += [inner for each in called if each.weights not in found for inner in each.entries]
        found.update(each.weights for each in called)
    return found


def uncalled_faults(shared: Mapping[str, Shared | None], entries: Iterable[Entry]) -> list[Fault]:
    """Return a config error for each shared layer or model that is never called."""
    called = called_in(entries)
    return [
        Fault(f"'{name}' is shared but never called", _place_of(each), "key", hint="call it as a layer, by its name")
        for name, each in shared.items()
        if each is not None and each.weights not in called
    ]


def _place_of(shared: Shared) -> Path:
    """Return the config path of the name of a shared layer or model in the section `model.shared`.

    The path recorded for a layer is longer: it ends with the kind of the layer.
    """
    return shared.path if shared.layer is None else shared.path[:-1]
