"""Read the section `model.shared` (layers and models that are defined once), and the calls of them by name."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kerascli.foundation.errors import Path, one_of, show, suggestion
from kerascli.foundation.shapes import TensorSpec
from kerascli.language.section import key_names, keys_of
from kerascli.layers.base import ANY_CALL, CallArgument, call_arguments
from kerascli.model.ir.nodes import Call, CallValue, Node, Shared, Use, flat, names_used_by
from kerascli.model.syntax.inputs import read_input
from kerascli.model.syntax.layers import read_settings, split_entry
from kerascli.model.syntax.names import Names
from kerascli.model.syntax.reader import Reading
from kerascli.model.syntax.schema import NodeKeys, SharedSection


def read_shared(reading: Reading, section: Any, base: Path) -> None:
    """Add the layers and models of a `shared` section of the config to `reading.shared`.

    `base` is the config path of the model that has the section. Each layer or model may be called by the shared models
    that are defined after it, and by the model's layers.
    """
    path, unread = (*base, "shared"), reading.unread
    section = reading.items(section, "model.shared: expected a mapping of names to layers or models", path)
    for number, (name, written) in enumerate(section.items()):
        reading.unread = (*unread, *map(str, [*section][number:]))
        below, before = (*path, name), reading.faults.count
        if reading.is_name_of_part(name, below):
            is_model = isinstance(written, dict) and "layers" in written
            shared = (_model if is_model else _layer)(reading, str(name), written, below)
            reading.shared[str(name)] = shared if reading.faults.count == before else None
    reading.unread = unread


def _layer(reading: Reading, name: str, written: Any, path: Path) -> Shared | None:
    node = None
    with reading.faults.absorbing(path):
        node = split_entry(written, path, reading.faults)
    if node is None:
        return None
    if of_calls := {*node.keys.model_fields_set, *node.call}:
        settings = written[node.written] if isinstance(written[node.written], dict) else {}
        key = next((key for key in settings if key in of_calls), min(of_calls))
        text = f"'{name}' is shared: '{key}' belongs to its calls"
        reading.faults.add(text, (*node.path, key) if key in settings else node.path, "key")
    if node.cls.call_form == "names":
        text = f"{node.cls.component_name} names its inputs itself; share a model that contains it"
        reading.faults.add(text, node.path, "key", hint=f"{name}: {{layers: [{node.written}: ...]}}")
    layer = read_settings(reading, node)
    return layer and Shared(name, f"{reading.prefix}{name}", {}, layer=layer, path=node.path)


def _model(reading: Reading, name: str, written: dict[str, Any], path: Path) -> Shared:
    model = reading.faults.read(SharedSection, written, path, f"the shared model '{name}'")
    weights = f"{reading.prefix}{name}"
    inner = reading.inner(prefix=f"{weights}/", names=Names(), open_shared=(*reading.open_shared, name))
    inputs = _declared_inputs(inner, name, model.inputs, (*path, "inputs"))
    inner.inputs = tuple(inputs)
    before = reading.faults.count
    read_shared(inner, model.shared, path)
    outputs = inner.read_body(model, path)
    if reading.faults.count == before and not inner.names.has_broken():
        _check_use(inner, name, outputs, path)
    reading.faults.is_flag(model.trainable, (*path, "trainable"))
    if model.has("init_from") and len(path) > 3:
        text = "init_from: only a model of model.shared takes weights, with those of the models inside it"
        reading.faults.add(text, (*path, "init_from"), "key")
    entries = inner.entries if model.trainable else [entry.frozen() for entry in inner.entries]
    own = tuple(shared for shared in inner.shared.maps[0].values() if shared is not None)
    return Shared(
        name, weights, inputs, tuple(entries), outputs, own, None, model.trainable, inner.names.meanings(),
        path,
    )  # fmt: skip


def _check_use(inner: Reading, name: str, outputs: tuple[str, ...], path: Path) -> None:
    """Report config errors for a shared model that has no outputs, or inputs that its layers do not use."""
    if not outputs:
        inner.faults.add(f"the shared model '{name}' has no output", path, "key", hint="add outputs: [...]")
    used = {*outputs, *names_used_by(inner.entries)}
    for each in inner.inputs:
        if each not in used:
            inner.faults.add(f"input '{each}' is not used by '{name}'", path, "key")


def _declared_inputs(inner: Reading, name: str, declared: Any, path: Path) -> dict[str, TensorSpec | None]:
    """Return a shared model's inputs by name, each with its spec if declared, else None; by default one, `input`."""
    if declared is None:
        inner.names.define_inputs({"input": "input"})
        inner.names.previous = "input"
        return {"input": None}
    if not isinstance(declared, (dict, list)) or not declared:
        text = f"the inputs of '{name}': expected names, or a mapping of names to shapes, got {show(declared)}"
        inner.faults.add(text, path, hint="inputs: [a, b], or inputs: {a: [28, 28, 1], b: [10]}")
        inner.names.has_inputs = False
        inner.names.previous = "?"
        return {"input": None}
    inputs: dict[str, TensorSpec | None] = {}
    shapes = declared if isinstance(declared, dict) else {}
    for index, each in enumerate(declared):
        where = (*path, each if shapes else index)
        inner.check_name(each, where, "key" if shapes else "value")
        inputs[str(each)] = None
        with inner.faults.absorbing(where):
            if (shape := shapes.get(each)) is not None:
                inputs[str(each)] = read_input(str(each), shape, None)
        inner.names.give(str(each), where)
    inner.names.previous = next(iter(inputs)) if len(inputs) == 1 else None
    return inputs


def read_call(reading: Reading, written: str, arguments: Any, entry: Path) -> None:
    """Add the nodes of a call of a shared layer or model to the model.

    `written` is the name of the shared layer or model, `arguments` the value after that name in the config, `entry` the
    config path of the call.
    """
    faults, names, shared, path = reading.faults, reading.names, reading.shared[written], (*entry, written)
    before, below = faults.count, (*path, "inputs")
    if isinstance(arguments, (str, list)):
        arguments, below = {"inputs": arguments}, path
    if shared is None:
        keys = keys_of(NodeKeys, arguments if isinstance(arguments, dict) else {})
        reading.mark_broken(reading.name(keys, path, written), keys)
        return
    layer = shared.layer
    allowed = ANY_CALL if layer is None else call_arguments(type(layer))
    arguments = _checked(reading, written, arguments, allowed, path)
    keys = keys_of(NodeKeys, arguments)
    name = reading.name(keys, path, written)
    inputs = _inputs(reading, shared, keys, path, below)
    call = reading.call(allowed, arguments, path)
    is_present = reading.is_present(keys, path)
    count = len(shared.outputs) if layer is None else layer.results_of(call)
    outputs = reading.results(name, count, keys, path) if is_present else ()
    if faults.count > before:
        reading.mark_broken(name, keys)
        return
    unique = names.unique(name)
    if not is_present:
        reading.pass_on(name, inputs[0], path)
        return
    names.take(name, path, node=unique)
    tensors = tuple(unique if output == name else names.unique(output) for output in outputs)
    uses, meanings, aliases = (*faults.uses, Use(path, "model" if layer is None else "layer")), {}, {}
    if layer is None:
        nodes, meanings, aliases = _nodes(shared, unique, inputs, tensors, call, uses)
    else:
        nodes = (Node(unique, layer, inputs, tensors, call, shared.weights, shared.path, uses),)
    reading.budget.spend(len(nodes), path, faults)
    reading.give_results(outputs, [aliases.get(tensor, tensor) for tensor in tensors], path)
    for inner, tensor in meanings.items():
        names.give(f"{name}.{inner}", path, means=tensor)
    reading.entries.append(Call(unique, shared, inputs, tensors, call, nodes, path))


def _inputs(reading: Reading, shared: Shared, keys: NodeKeys, path: Path, below: Path) -> tuple[str, ...]:
    """Return the input tensors of a call of a shared layer or model; `below` is the config path of the inputs."""
    what = f"'{shared.name}'"
    if shared.layer is not None:
        return reading.layer_inputs(what, keys, path, below, merges=shared.layer.call_form == "several")
    return reading.model_inputs(what, tuple(shared.inputs), keys, path, below, use=f"a call of {what}")


def _nodes(
    shared: Shared,
    call: str,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    arguments: Mapping[str, CallValue],
    uses: tuple[Use, ...],
) -> tuple[tuple[Node, ...], dict[str, str], dict[str, str]]:
    """Return the nodes of a shared model's call, its tensors by name in the shared model, and the tensors of outputs
    without a node of their own.

    An output of a shared model has none if it is an input passed through, or the same tensor as another output.
    """
    inner = flat(shared.entries)
    passed = dict(zip(shared.inputs, inputs, strict=True))
    tensors = {output: f"{call}.{output}" for node in inner for output in node.outputs if output != "_"} | passed
    aliases: dict[str, str] = {}
    for output, tensor in zip(outputs, shared.outputs, strict=True):
        if tensor in passed or tensors[tensor] in outputs:  # an input passed through, or the same tensor twice
            aliases[output] = tensors[tensor]
        elif output != "_":
            tensors[tensor] = output
    nodes = tuple(
        replace(node, name=f"{call}.{node.name}", call={**arguments, **node.call}, uses=(*uses, *node.uses))
        for node in (each.renamed(tensors) for each in inner)
    )
    meanings = {name: tensors[tensor] for name, tensor in shared.tensors.items() if tensor not in passed}
    return nodes, meanings, aliases


def _checked(
    reading: Reading, written: str, arguments: Any, allowed: Mapping[str, CallArgument], path: Path
) -> dict[Any, Any]:
    """Return the arguments of a call of a shared layer or model after checking that it takes them; `allowed` are its
    call arguments."""
    if not isinstance(arguments, dict):
        text = f"a call of '{written}': expected the names of its inputs, or keys such as name, got {show(arguments)}"
        reading.faults.add(text, path, hint=f"write '{written}' alone to call it on the previous node")
        return {}
    words = [*key_names(NodeKeys), *allowed]
    for key in arguments:
        if key not in words:
            text = f"a call of '{written}' takes no '{key}'{suggestion(str(key), words)}"
            hint = f"arguments of the layer belong in model.shared; a call takes {one_of(words)}"
            reading.faults.add(text, (*path, key), "key", hint=hint)
    return arguments
