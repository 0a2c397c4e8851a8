"""Read a `model:` section into a Model, or report every config error in it."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Any

from kerascli.foundation.errors import Fault, Path, in_yaml, nearest, show, suggestion
from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import Invalid
from kerascli.language.section import keys_of, meant_keys
from kerascli.layers.base import LAYERS
from kerascli.model.ir.dead_nodes import dead_node_faults, uncalled_faults
from kerascli.model.ir.nodes import Model, flat
from kerascli.model.ir.targets import target_faults, targets_of
from kerascli.model.ir.updates import update_faults
from kerascli.model.syntax.blocks import read_blocks, read_use
from kerascli.model.syntax.calls import read_call
from kerascli.model.syntax.custom_cell import has_custom_cell, read_rnn
from kerascli.model.syntax.faults import Faults
from kerascli.model.syntax.inputs import from_data, read_inputs
from kerascli.model.syntax.layers import read_layer
from kerascli.model.syntax.reader import MAX_NODES, Body, Reading, References, TooManyNodes
from kerascli.model.syntax.repeat import read_repeat
from kerascli.model.syntax.schema import ModelSection, NodeKeys
from kerascli.model.syntax.shared import read_shared
from kerascli.model.syntax.views import Scope, read_views
from kerascli.model.syntax.written import as_list, take_apart


def _as_written(value: Any, *_: Any) -> tuple[Any, list[Fault]]:
    return value, []


def parse_scope(
    section: Any,
    data_inputs: Mapping[str, TensorSpec] | None,
    references: References | None = None,
    *,
    data_targets: Mapping[str, TensorSpec] | None = None,
    called_elsewhere: bool = False,
    unread: Collection[str] = (),
) -> tuple[Model, Scope]:
    """Read a `model:` section. Return the model, and the names (Scope) with which its views and forward passes are
    read. Raises Invalid.

    `data_inputs` are the data's inputs, used if the section declares none; None if the data section could not be read.
    `references` resolves the `$` of blocks and repeats; by default they stay as written. `data_targets` are the targets
    that formulas may name. With `called_elsewhere`, shared layers and models need not be called in this section.
    `unread` names the data's inputs whose shapes are unknown until the data is read.
    """
    faults = Faults(("model",))
    reading = Reading(faults, references or _as_written)
    written = _written(section, faults)
    if written is None:
        raise Invalid(faults.found)
    alone = not written.has("layers")
    declared: Path = ("shared", written.outputs) if alone else ()
    if alone:
        written = _with_call(written)
    with suppress(TooManyNodes):
        read_blocks(reading, written.blocks)
        inputs = read_inputs(written, data_inputs, reading.names, faults, declared, unread)
        reading.inputs = tuple(inputs)
        reading.names.see_targets(None if data_inputs is None else tuple(data_targets or {}))
        read_shared(reading, written.shared, (), _read_body)
        outputs = _read_body(reading, written, ())
        own = {name: each for name, each in reading.shared.items() if each is not None}
        if not faults.found and not alone and not called_elsewhere:
            faults.found += uncalled_faults(own, reading.entries)
        beside = from_data(data_inputs or {}) if called_elsewhere else {}
        unknown = tuple(each for name, each in beside.items() if not reading.names.knows(name))
        scope = Scope(reading, tuple(inputs.values()), _read_body, unknown)
        views = read_views(scope, written.views)
        entries = tuple(reading.entries)
        named = targets_of(flat(entries), data_targets or {})
        model = Model(scope.inputs, entries, outputs, tuple(own.values()), views, alone, named)
        if not faults.found and data_inputs is not None:
            faults.found += dead_node_faults(model.inputs, model.entries, model.outputs, inside=not called_elsewhere)
            faults.found += [*target_faults(model), *update_faults(model.nodes)]
        if not faults.all():
            return model, scope
    raise Invalid(faults.all())


def _with_call(model: ModelSection) -> ModelSection:
    """Return a copy of a `model:` section without layers, with one layer added: a call of the shared model that
    `outputs` names."""
    inputs = model.shared[model.outputs]["inputs"]
    return model.model_copy(update={"inputs": inputs, "layers": [{model.outputs: {"inputs": list(inputs)}}]})


def _is_alone(model: ModelSection) -> bool:
    shared, output = model.shared, model.outputs
    named = shared.get(output) if isinstance(shared, dict) and isinstance(output, str) else None
    return isinstance(named, dict) and isinstance(named.get("inputs"), dict) and not model.has("inputs")


def _written(section: Any, faults: Faults) -> ModelSection | None:
    """Return a `model:` section, parsed; it must have layers, or `outputs` that name a shared model.

    Returns None after a config error.
    """
    if not isinstance(section, dict):
        hint = "put 'layers:' above the list" if isinstance(section, list) else None
        faults.add(f"model: expected a mapping with 'layers', got {show(section)}", (), hint=hint)
        return None
    model = faults.read(ModelSection, section, ())
    if model.has("layers"):
        return model if is_list(model.layers, "model", ("layers",), faults) else None
    if _is_alone(model):
        return model
    if "layers" not in meant_keys(ModelSection, section):  # a misspelt `layers` has been reported
        _add_no_layers(model.shared, model.outputs, faults)
    return None


def _add_no_layers(shared: Any, output: Any, faults: Faults) -> None:
    """Report a config error for a `model:` section that has no layers, and whose `outputs` name no shared model that
    could replace them."""
    if not isinstance(shared, dict) or not isinstance(output, str):
        or_shared = ", or let outputs name one model of shared" if isinstance(shared, dict) else ""
        faults.add("model needs 'layers'", (), at="key", hint=f"add layers: [...]{or_shared}")
    elif output not in shared:
        text = f"model has no 'layers', and 'outputs' names no shared model: '{output}'"
        faults.add(f"{text}{suggestion(output, shared)}", ("outputs",))
    else:
        text = f"shared model '{output}' replaces model.layers: it needs inputs, each with its shape"
        faults.add(text, ("shared", output), at="key", hint="inputs: {z: [8]}, or add layers to the model")


def is_list(layers: Any, whose: str, path: Path, faults: Faults) -> bool:
    """Return True if `layers` is a list of 1 to MAX_NODES entries; otherwise report a config error."""
    if not isinstance(layers, list):
        first = next(iter(layers.items()), None) if isinstance(layers, dict) else None
        line = "" if first is None else in_yaml(dict([first]))[1:-1].removeprefix("-")
        hint = None if first is None else f"put '- ' before each layer: - {line}"
        faults.add(f"{whose}.layers: expected a list of layers, got {show(layers)}", path, hint=hint)
    elif not layers:
        faults.add(f"{whose}.layers is empty: expected one layer or more", path)
    elif len(layers) > MAX_NODES:
        faults.add(f"{whose}.layers: expected at most {MAX_NODES} layers, got {len(layers)}", path)
    else:
        return True
    return False


def _read_body(reading: Reading, written: Body, base: Path) -> tuple[str, ...]:
    """Read the layers of a model and return the names of its outputs; the model's inputs and shared layers have been
    read before."""
    whose = str(base[-1]) if base else "model"
    if base and written.has("layers") and not is_list(written.layers, whose, (*base, "layers"), reading.faults):
        return ()
    read_entries(reading, written.layers or [], (*base, "layers"))
    outputs = _outputs(reading, written.outputs, whose, (*base, "outputs"))
    if base and not reading.faults.found:
        reading.faults.found += uncalled_faults(reading.shared.maps[0], reading.entries)
    return outputs


def _outputs(reading: Reading, written: Any, whose: str, path: Path) -> tuple[str, ...]:
    if written is None:
        return (reading.names.previous,) if reading.names.previous is not None else ()
    if written == []:
        reading.faults.add(f"{whose}.outputs is empty: expected one node or more", path)
    found = reading.tensors(written, path)
    if len(set(found)) < len(found):
        reading.faults.add(f"{whose}.outputs names a node twice", path)
    return found


def read_entries(reading: Reading, layers: list[Any], path: Path) -> None:
    """Add the items of a list `layers` (layers, calls, uses of blocks, repeats) to the model being read."""
    in_template = "blocks" in path or "repeat" in path
    broken: set[int] = set()
    if in_template:
        written, layers = layers, []
        for index, entry in enumerate(written):
            before = len(reading.faults.found)
            layers.append(_resolved(reading, entry, (*path, index)))
            if len(reading.faults.found) > before:
                broken.add(index)
    _announce(reading, layers, path)
    for index, entry in enumerate(layers):
        try:
            if index not in broken:
                _read_entry(reading, entry, (*path, index), resolve=not in_template)
                continue
        except Invalid as invalid:
            reading.faults.absorb(invalid, (*path, index))
        written, arguments = (entry, None) if isinstance(entry, str) else _only_item(entry)
        name = keys_of(NodeKeys, arguments).name if isinstance(arguments, dict) else written
        reading.mark_broken(name if isinstance(name, str) else "?")


def _resolved(reading: Reading, entry: Any, path: Path) -> Any:
    """Return an item of the layers of a block or repeat with its `$` references resolved, except in a
    nested repeat or cell."""
    whole = reading.place(path)

    def waits(path: Path) -> bool:
        below = path[len(whole) :]
        return any(pair in {("repeat", "layers"), ("cell", "layers")} for pair in pairwise(below))

    value, faults = reading.references(entry, whole, reading.variables, waits)
    reading.faults.take(faults)
    return value


def _read_entry(reading: Reading, entry: Any, path: Path, *, resolve: bool) -> None:
    """Add one item of the list `layers` to the model being read. Raises Invalid, with paths inside the item."""
    name, arguments = (entry, {}) if isinstance(entry, str) else _only_item(entry)
    if name == "repeat":
        if resolve and isinstance(entry, dict):
            before = len(reading.faults.found)
            arguments = _resolved(reading, entry, path)[name]
            if len(reading.faults.found) > before:  # report no consequences of an unresolved reference
                reading.mark_broken("?")
                return
        read_repeat(reading, arguments, path, read_entries)
    elif has_custom_cell(name, arguments):
        reading.budget.spend(1, path, reading.faults)
        read_rnn(reading, name, arguments, path, _read_body)
    elif name in reading.shared:
        read_call(reading, name, arguments, path)
    elif name in reading.blocks:
        read_use(reading, name, arguments, path, read_entries)
    elif name in reading.unread:
        itself = name in reading.open_shared
        text = f"'{name}' calls itself" if itself else f"'{name}' is called above its definition in 'shared'"
        at = () if isinstance(entry, str) else (name,)
        raise Invalid(
            [Fault(text, at, "key" if at else "value", hint="a shared model may call only those defined above it")]
        )
    else:
        own = [*reading.shared, *reading.blocks]
        if isinstance(name, str) and own and LAYERS.find(name) is None and nearest(name, own) is not None:
            at = () if isinstance(entry, str) else (name,)
            text = f"there is no layer, block or shared model '{name}'{suggestion(name, own)}"
            raise Invalid([Fault(text, at, "key" if at else "value")])
        reading.budget.spend(1, path, reading.faults)
        read_layer(reading, take_apart(entry, path, reading.faults))


def _announce(reading: Reading, layers: list[Any], path: Path) -> None:
    for index, entry in enumerate(layers):
        written, arguments = _only_item(entry)
        if isinstance(arguments, dict) and written != "repeat":
            keys = keys_of(NodeKeys, arguments)
            for name in (keys.name, *as_list(keys.outputs)):
                if isinstance(name, str) and name != "_":
                    reading.names.announce(name, reading.place((*path, index, written)))


def _only_item(entry: Any) -> tuple[Any, Any]:
    """Return the key and the value of a mapping with one key; (None, None) for anything else."""
    return next(iter(entry.items())) if isinstance(entry, dict) and len(entry) == 1 else (None, None)
