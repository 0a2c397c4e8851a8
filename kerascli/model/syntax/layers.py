"""Reading of layers in the list `layers`: their arguments, their node keys (`name`, `inputs` ...), and a Node."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kerascli.foundation.errors import Fault, Path
from kerascli.language.component import Invalid, names_first_argument, split_form
from kerascli.language.foreign_words import NEEDLESS
from kerascli.language.section import key_names, keys_of
from kerascli.language.wording import key_to_write, meant_key
from kerascli.layers.base import LAYERS, BaseLayer, call_arguments
from kerascli.layers.expressions.base import ExpressionLayer
from kerascli.model.ir.inner_models import with_shared
from kerascli.model.ir.nodes import CallValue, Node
from kerascli.model.syntax.faults import Faults
from kerascli.model.syntax.reader import MODEL, Reading
from kerascli.model.syntax.schema import FirstLayerKeys, NodeKeys


@dataclass(frozen=True, slots=True)
class SplitEntry:
    """Item of `layers`, divided into layer class, layer arguments and node keys (`name`, `inputs` ...), unchecked."""

    cls: type[BaseLayer]
    written: str
    """Name of the layer as written in the config."""
    settings: Any
    """The layer's own arguments as written in the config: a mapping, or the value of the first argument."""
    keys: NodeKeys
    call: Mapping[str, Any]
    """Call arguments of the node (`training`, `mask` ...), as written in the config."""
    entry: Path
    """Config path of the item of `layers`."""
    inputs: Path
    """Config path of the node's inputs."""

    @property
    def path(self) -> Path:
        return (*self.entry, self.written)


def split_entry(entry: Any, path: Path, faults: Faults) -> SplitEntry:
    """Divide an item of `layers` into layer class, layer arguments and node keys (`name`, `inputs` ...).

    `path` is the item's config path; `faults` collects errors in its keys. Raises Invalid (config errors), with paths
    inside the item, if it is not a layer.
    """
    written, settings = split_form(entry, "layer")
    bare = isinstance(entry, str)
    cls = LAYERS.get(written, () if bare else (written,), None if bare else settings)
    below = (*path, written)
    if cls.call_form == "several" and isinstance(settings, list):  # add: [a, b]
        return SplitEntry(cls, written, {}, keys_of(NodeKeys, {"inputs": settings}), {}, path, below)
    if cls.call_form == "several" and settings is None:  # it lacks inputs, not arguments
        settings = {}
    of_node: dict[str, Any] = {}
    if isinstance(settings, dict):
        of_node, settings = _divide(cls, settings, below, faults)
    call = {key: value for key, value in of_node.items() if key not in key_names(NodeKeys)}
    return SplitEntry(cls, written, settings, keys_of(NodeKeys, of_node), call, path, (*below, "inputs"))


def _divide(
    cls: type[BaseLayer], arguments: dict[Any, Any], path: Path, faults: Faults
) -> tuple[dict[str, Any], dict[Any, Any]]:
    """Return two mappings: the node's keys and call arguments, and the layer's own arguments.

    A misspelt node key is reported and then read as the key that was meant, so that it causes no further config errors.
    """
    node_keys = {*key_names(NodeKeys), *call_arguments(cls)}
    of_node, settings = dict[str, Any](), dict[Any, Any]()
    for key, value in arguments.items():
        if key in node_keys:
            of_node[key] = value
        elif key in key_names(FirstLayerKeys):  # the inputs have been read; see `inputs.py`
            if path[:3] != (*MODEL, "layers", 0):
                text = f"{key}: allowed on the first layer only; the shapes of other layers are inferred"
                faults.add(text, (*path, key), "key", hint="remove it")
        elif key in cls.model_fields or key in NEEDLESS or names_first_argument(cls, key) or cls.reason_against(key):
            settings[key] = value
        elif (meant := meant_key(str(key), [*cls.model_fields, *node_keys])) in node_keys:
            text = f"unknown key '{key}' in {cls.component_name}; did you mean '{meant}'?"
            faults.add(text, (*path, key), "key", hint=key_to_write(str(key), value, list(node_keys)))
            of_node.setdefault(str(meant), value)
        else:
            settings[key] = value
    return of_node, settings


def read_layer(reading: Reading, node: SplitEntry) -> None:
    """Add a node to the model for an item of `layers` that is a layer, and define the node's names."""
    before = reading.faults.count
    name = reading.name(node.keys, node.path, node.cls.component_name)
    layer = read_settings(reading, node)
    inputs = _inputs(reading, node, layer)
    call = reading.call(call_arguments(node.cls), node.call, node.path)
    add_node(reading, node, name, layer, inputs, call, before)


def add_node(
    reading: Reading,
    node: SplitEntry,
    name: str,
    layer: BaseLayer | None,
    inputs: tuple[str, ...],
    call: Mapping[str, CallValue],
    before: int,
) -> None:
    """Add a node to the model and define its names, unless reading the node found config errors.

    `name`, `layer`, `inputs` and `call` were read from the item `node` of `layers`. `before` is the number of config
    errors before the node was read: if there are more now, the node's names are recorded as unreadable, so that their
    uses cause no further errors.
    """
    faults, names = reading.faults, reading.names
    is_present = reading.is_present(node.keys, node.path)
    unique = names.unique(name)
    if layer is None or faults.count > before:
        reading.mark_broken(name, node.keys)
        return
    has_outputs = layer.result_count() != 0
    if has_outputs and not is_present:
        if inputs:
            reading.pass_on(name, inputs[0], node.path)
        return
    written = reading.results(name, layer.results_of(call), node.keys, node.path) if has_outputs else ()
    names.take(name, node.path, node=unique, has_outputs=has_outputs)
    outputs = tuple(unique if output == name else names.unique(output) for output in written)
    previous = names.previous
    reading.give_results(written, outputs, node.path)
    if layer.call_form == "none" or not has_outputs:
        names.previous = previous
    if is_present:
        weights = f"{reading.prefix}{unique}"
        reading.entries.append(Node(unique, layer, inputs, outputs, call, weights, node.path, faults.uses))
    if faults.count > before:  # names of outputs that are not allowed
        names.mark_broken(["?"])
        names.previous = names.previous or "?"


def read_settings(reading: Reading, node: SplitEntry) -> BaseLayer | None:
    """Return the layer that an item of `layers` defines, with checked arguments; None after a config error.

    `node` is the item, already divided into layer class, arguments and node keys (`name`, `inputs` ...).
    """
    with reading.faults.absorbing(node.path):
        settings = with_shared(node.cls, node.settings, reading.shared)
        with reading.faults.absorbing(node.entry):
            return LAYERS.construct(node.cls, node.written, settings)


def _inputs(reading: Reading, node: SplitEntry, layer: BaseLayer | None) -> tuple[str, ...]:
    """Return the names of the tensors that a node takes as inputs."""
    kind, form = node.cls.component_name, node.cls.call_form
    if form in ("one", "several"):
        return reading.layer_inputs(kind, node.keys, node.path, node.inputs, merges=form == "several")
    if node.keys.has("inputs"):
        text = f"{kind} takes no inputs" if form == "none" else f"{kind} names its inputs in its expression"
        reading.faults.add(text, (*node.path, "inputs"), "key", hint="remove 'inputs'")
        return ()
    return _named_inputs(reading, node, layer) if isinstance(layer, ExpressionLayer) else ()


def _named_inputs(reading: Reading, node: SplitEntry, layer: ExpressionLayer) -> tuple[str, ...]:
    """Return the names of the tensors in a layer's expression, and the model's first input if the expression uses the
    batch size."""
    before, tensors = reading.faults.count, list[str]()
    for name in sorted(layer.numbers()):
        if reading.names.knows(name):
            text = f"'{name}' is a constant in expressions; choose another name for the node"
            _add_at_name(reading, node, layer, name, [Fault(text)])
    for name in layer.names():
        try:
            tensors.append(reading.names.find(name))
        except Invalid as invalid:
            _add_at_name(reading, node, layer, name, invalid.faults)
    if layer.asks_for_batch():
        tensors.append(reading.inputs[0] if reading.inputs else "?")
    return tuple(tensors) if reading.faults.count == before else ()


def _add_at_name(
    reading: Reading, node: SplitEntry, layer: ExpressionLayer, name: str, faults: Iterable[Fault]
) -> None:
    """Report config errors at the place of a name in a layer's expression."""
    place = layer.place_of(name)
    path = (*node.path, *place.path)
    reading.faults.take([replace(each, path=path, span=place.span) for each in faults])
