"""Read calls of shared layers and models: each call becomes nodes, named after the call, that use the shared
weights."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kerascli.foundation.errors import Path, counted, one_of, show, suggestion
from kerascli.language.section import key_names, keys_of
from kerascli.layers.base import CallArgument
from kerascli.model.ir.nodes import Call, CallValue, Node, Shared, flat
from kerascli.model.syntax.reader import Reading
from kerascli.model.syntax.schema import NodeKeys
from kerascli.model.syntax.written import ANY_CALL, as_list, call_arguments


@dataclass(frozen=True, slots=True)
class _Written:
    """A call of a shared layer or model as written, split into node keys (`name`, `inputs` ...) and call arguments.

    `inputs` is the path of the call's inputs.
    """

    keys: NodeKeys
    call: Mapping[str, Any]
    path: Path
    inputs: Path


def read_call(reading: Reading, written: str, arguments: Any, entry: Path) -> None:
    """Read a call of the shared layer or model named `written`, and add its nodes to the model; `arguments` follow the
    name in the config."""
    faults, names, shared = reading.faults, reading.names, reading.shared[written]
    before = len(faults.found)
    known = {} if shared is None else call_arguments(type(shared.layer)) if shared.layer is not None else ANY_CALL
    found = _take_apart(reading, written, arguments, (*entry, written), known if shared is not None else None)
    name = reading.name(found.keys, found.path, written)
    if shared is None:
        reading.mark_broken(name, found.keys)
        return
    inputs = _inputs(reading, shared, found)
    call = reading.call(known, found.call, found.path)
    wanted = reading.is_wanted(found.keys, found.path)
    count = len(shared.outputs) if shared.layer is None else shared.layer.results_of(call)
    outputs = reading.results(name, count, found.keys, found.path) if wanted else ()
    if len(faults.found) > before:
        reading.mark_broken(name, found.keys)
        return
    place, unique = reading.place(found.path), names.unique(name)
    if not wanted:
        reading.pass_on(name, inputs[0], place)
        return
    names.take(name, place, node=unique)
    tensors = tuple("_" if o == "_" else unique if o == name else names.unique(o) for o in outputs)
    if shared.layer is not None:
        node = Node(unique, shared.layer, inputs, tensors, call, shared.weights, shared.path, (*faults.uses, place))
        nodes, meanings, also = (node,), {}, {}
    else:
        nodes, meanings, also = _nodes(shared, unique, inputs, tensors, call, (*faults.uses, place))
    reading.budget.spend(len(nodes), found.path, faults)
    for output, tensor in zip(outputs, tensors, strict=True):
        if output != "_":
            names.give(output, place, means=also.get(tensor, tensor))
    for inner, tensor in meanings.items():
        names.give(f"{name}.{inner}", place, means=tensor)
    reading.entries.append(Call(unique, shared, inputs, tensors, call, nodes, place))
    names.previous = next((names.find(output) for output in outputs if output != "_"), None)


def _nodes(
    shared: Shared,
    call: str,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    arguments: Mapping[str, CallValue],
    uses: tuple[Path, ...],
) -> tuple[tuple[Node, ...], dict[str, str], dict[str, str]]:
    """Return the nodes of a shared model's call, its tensors by name in the shared model, and the tensors of outputs
    without a node of their own.

    An output of a shared model has none if it is an input passed through, or the same tensor as another output.
    """
    inner = flat(shared.entries)
    given = dict(zip(shared.inputs, inputs, strict=True))
    tensors = {output: f"{call}.{output}" for node in inner for output in node.outputs if output != "_"} | given
    also: dict[str, str] = {}
    for output, tensor in zip(outputs, shared.outputs, strict=True):
        if tensor in given or tensors[tensor] in outputs:  # an input passed through, or the same tensor twice
            also[output] = tensors[tensor]
        elif output != "_":
            tensors[tensor] = output
    nodes = tuple(
        replace(
            node.renamed(tensors),
            name=f"{call}.{node.name}",
            call={**arguments, **node.renamed(tensors).call},
            uses=(*uses, *node.uses),
        )
        for node in inner
    )
    meanings = {name: tensors[tensor] for name, tensor in shared.tensors.items() if tensor not in given}
    return nodes, meanings, also


def _take_apart(
    reading: Reading, written: str, arguments: Any, path: Path, known: Mapping[str, CallArgument] | None
) -> _Written:
    """Return a call of a shared layer or model, as written in the config, split into node keys and call arguments.

    `known` are the arguments that it takes, None if the shared layer or model could not be read.
    """
    if isinstance(arguments, (str, list)):
        return _Written(keys_of(NodeKeys, {"inputs": arguments}), {}, path, path)
    given, call, node_keys = arguments if isinstance(arguments, dict) else {}, {}, key_names(NodeKeys)
    for key in given:
        if key in node_keys:
            continue
        if known is None or key in known:
            call[key] = given[key]
            continue
        words = [*node_keys, *known]
        text = f"a call of '{written}' takes no '{key}'{suggestion(str(key), words)}"
        hint = f"arguments of the layer belong in model.shared; a call takes {one_of(words)}"
        reading.faults.add(text, (*path, key), at="key", hint=hint)
    if not isinstance(arguments, dict):
        text = f"a call of '{written}': expected the names of its inputs, or keys such as name, got {show(arguments)}"
        reading.faults.add(text, path, hint=f"write '{written}' alone to call it on the previous node")
    return _Written(keys_of(NodeKeys, given), call, path, (*path, "inputs"))


def _inputs(reading: Reading, shared: Shared, found: _Written) -> tuple[str, ...]:
    """Return the input tensors of a call of a shared model, in the order in which the shared model declares its
    inputs."""
    wanted, layer = list(shared.inputs), shared.layer
    merges = layer is not None and layer.call_form == "several"
    several = merges or len(wanted) > 1
    if not found.keys.has("inputs"):
        if not several:
            return reading.previous(found.path)
        words = f": {', '.join(wanted)}" if wanted else ""
        reading.faults.add(f"a call of '{shared.name}' needs 'inputs'{words}", found.path, at="key")
        return ()
    written = found.keys.inputs
    if isinstance(written, dict) and layer is None:
        return _named(reading, shared, written, found.inputs)
    names = as_list(written)
    if merges:
        if len(names) < 2:
            reading.faults.add(f"'{shared.name}' needs two or more inputs, got {len(names)}", found.inputs)
    elif len(names) != max(1, len(wanted)):
        words = f" ({', '.join(wanted)})" if several else ""
        text = f"'{shared.name}' takes {counted(max(1, len(wanted)), 'input')}{words}, got {len(names)}"
        reading.faults.add(text, found.inputs)
    return reading.tensors(written, found.inputs) if names else ()


def _named(reading: Reading, shared: Shared, written: dict[Any, Any], path: Path) -> tuple[str, ...]:
    for key in written:
        if key not in shared.inputs:
            text = f"'{shared.name}' has no input '{key}'{suggestion(str(key), shared.inputs)}"
            hint = f"its inputs: {', '.join(shared.inputs)}"
            reading.faults.add(text, (*path, key), at="key", hint=hint)
    missing = [name for name in shared.inputs if name not in written]
    if missing and len(missing) + len(written) == len(shared.inputs):
        reading.faults.add(f"a call of '{shared.name}' lacks the input '{missing[0]}'", path, at="key")
    found = [reading.tensor(written[name], (*path, name)) for name in shared.inputs if name in written]
    return tuple(tensor for tensor in found if tensor is not None)
