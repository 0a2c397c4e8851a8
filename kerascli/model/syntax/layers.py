"""Read an item of the list `layers` that is a layer: make a Node of it."""

from collections.abc import Mapping
from dataclasses import replace

from kerascli.foundation.errors import Fault
from kerascli.language.component import Invalid
from kerascli.layers.base import LAYERS, BaseLayer, ShapeMismatch
from kerascli.layers.expressions.base import ExpressionLayer
from kerascli.model.ir.nodes import CallValue, Node
from kerascli.model.ir.shared_layer import with_shared
from kerascli.model.syntax.reader import Reading
from kerascli.model.syntax.written import WrittenNode, as_list, call_arguments


def read_layer(reading: Reading, node: WrittenNode) -> None:
    """Add a node to the model for an item of the list `layers` that is a layer, and define the node's names."""
    before = len(reading.faults.found)
    name = reading.name(node.keys, node.path, node.cls.component_name)
    layer = read_settings(reading, node)
    inputs = _tensors(reading, node, layer)
    call = reading.call(call_arguments(node.cls), node.call, node.path)
    add_node(reading, node, name, layer, inputs, call, before)


def add_node(
    reading: Reading,
    node: WrittenNode,
    name: str,
    layer: BaseLayer | None,
    inputs: tuple[str, ...],
    call: Mapping[str, CallValue],
    before: int,
) -> None:
    """Add a node to the model and define its names, unless reading it found config errors.

    It has some if there are now more than `before`, the number of config errors before it was read.
    """
    faults, names = reading.faults, reading.names
    wanted = reading.is_wanted(node.keys, node.path)
    place, unique = reading.place(node.path), names.unique(name)
    if layer is None or len(faults.found) > before:
        reading.mark_broken(name, node.keys)
        return
    owner = f"{reading.prefix}{unique}"
    if layer.result_count() == 0:
        names.take_without_result(name, place, node=unique)
        if wanted:
            reading.entries.append(Node(unique, layer, inputs, (), call, owner, place, faults.uses))
        return
    if not wanted:
        if inputs:
            reading.pass_on(name, inputs[0], place)
        return
    written = reading.results(name, layer.results_of(call), node.keys, node.path)
    names.take(name, place, node=unique)
    outputs = give_results(reading, written, name, unique, node)
    reading.entries.append(Node(unique, layer, inputs, outputs, call, owner, place, faults.uses))
    if layer.call_form != "none":
        names.previous = next((output for output in outputs if output != "_"), None)
    if len(faults.found) > before:  # names of outputs that are not allowed
        names.mark_broken(["?"])
        names.previous = names.previous or "?"


def give_results(
    reading: Reading, written: tuple[str, ...], name: str, unique: str, node: WrittenNode
) -> tuple[str, ...]:
    """Define the names that the config has for a node's outputs; return the names of the output tensors in
    the model."""
    outputs = tuple(unique if output == name else reading.names.unique(output) for output in written)
    for output, tensor in zip(written, outputs, strict=True):
        if output != "_":
            reading.names.give(output, reading.place(node.path), means=tensor)
    return outputs


def read_settings(reading: Reading, node: WrittenNode) -> BaseLayer | None:
    try:
        settings = with_shared(node.cls, node.settings, reading.shared)
        return LAYERS.construct(node.cls, node.written, settings)
    except Invalid as invalid:
        reading.faults.absorb(invalid, node.entry)
        return None
    except ShapeMismatch as mismatch:
        path = node.path if isinstance(node.settings, str) else (*node.path, *mismatch.fault.path)
        reading.faults.absorb(Invalid([replace(mismatch.fault, path=())]), path)
        return None


def _tensors(reading: Reading, node: WrittenNode, layer: BaseLayer | None) -> tuple[str, ...]:
    """Return the names of the tensors that a node takes as inputs."""
    match node.cls.call_form:
        case "names":
            return _named_inputs(reading, node, layer)
        case "none":
            if node.keys.has("inputs"):
                text = f"{node.cls.component_name} takes no inputs"
                reading.faults.add(text, (*node.path, "inputs"), at="key", hint="remove 'inputs'")
            return ()
        case _:
            return _inputs(reading, node)


def _inputs(reading: Reading, node: WrittenNode) -> tuple[str, ...]:
    merges, kind = node.cls.call_form == "several", node.cls.component_name
    if not node.keys.has("inputs"):
        if not merges:
            return reading.previous(node.path)
        hint = f"{kind}: [a, b] with the names of nodes above"
        reading.faults.add(f"{kind} needs 'inputs', two or more", node.path, at="key", hint=hint)
        return ()
    names = as_list(node.keys.inputs)
    if merges and len(names) < 2:
        reading.faults.add(f"{kind} needs two or more inputs, got {len(names)}", node.inputs)
    elif not merges and len(names) != 1:
        hint = "join them first: concatenate, add ..." if names else None
        reading.faults.add(f"{kind} takes one input, got {len(names)}", node.inputs, hint=hint)
    return reading.tensors(node.keys.inputs, node.inputs) if names else ()


def _named_inputs(reading: Reading, node: WrittenNode, layer: BaseLayer | None) -> tuple[str, ...]:
    """Return the names of the tensors in a layer's expression, and the model's first input if the expression uses the
    batch size."""
    if not isinstance(layer, ExpressionLayer):  # it could not be read
        return ()
    if node.keys.has("inputs"):
        text = f"{node.cls.component_name} names its inputs in its expression"
        reading.faults.add(text, (*node.path, "inputs"), at="key", hint="remove 'inputs'")
        return ()
    before = len(reading.faults.found)
    for name in sorted(layer.numbers()):
        if reading.names.knows(name):
            place = layer.place_of(name)
            fault = Fault(f"'{name}' is a constant in expressions; choose another name for the node", span=place.span)
            reading.faults.absorb(Invalid([fault]), (*node.path, *place.path))
    found = [_named(reading, node, layer, name) for name in layer.names()]
    if layer.asks_for_batch():
        found.append(reading.inputs[0] if reading.inputs else "?")
    return tuple(found) if len(reading.faults.found) == before else ()


def _named(reading: Reading, node: WrittenNode, layer: ExpressionLayer, name: str) -> str:
    try:
        return reading.names.find(name)
    except Invalid as invalid:
        place = layer.place_of(name)
        faults = [replace(f, path=place.path, span=place.span) for f in invalid.faults]
        reading.faults.absorb(Invalid(faults), node.path)
        return name
