"""Read a `model:` section into a Model, or report every config error in it."""

from collections.abc import Collection
from contextlib import suppress
from itertools import pairwise
from typing import Any

from kerascli.foundation.errors import Path, nearest, show, suggestion
from kerascli.foundation.shapes import Specs
from kerascli.language.component import Invalid
from kerascli.language.section import keys_of, meant_keys
from kerascli.layers.base import LAYERS
from kerascli.model.ir.analysis import dead_node_faults, target_faults, targets_of, update_faults
from kerascli.model.ir.nodes import Input, Model, flat
from kerascli.model.syntax.blocks import read_blocks, read_repeat, read_use
from kerascli.model.syntax.faults import Faults
from kerascli.model.syntax.inputs import from_data, read_inputs
from kerascli.model.syntax.layers import read_layer, split_entry
from kerascli.model.syntax.reader import MODEL, Reading, References, TooManyNodes, as_list, is_list
from kerascli.model.syntax.rnn import has_custom_cell, read_rnn
from kerascli.model.syntax.schema import ModelSection, NodeKeys
from kerascli.model.syntax.shared import read_call, read_shared
from kerascli.model.syntax.views import Scope, read_views


def parse_model(
    section: Any,
    data_inputs: Specs | None,
    references: References | None = None,
    *,
    data_targets: Specs | None = None,
    called_elsewhere: bool = False,
    unread: Collection[str] = (),
) -> tuple[Model, Scope]:
    """Parse a `model:` section; return (model, names for its views (submodels) and forward passes).

    `data_inputs` are the data's inputs, used if the section declares no inputs; None if the data section could not be
    read. `references` replaces the `$` references in blocks and repeats by values; by default they are not replaced.
    `data_targets` are the targets that formulas may name. With `called_elsewhere`, shared layers and models need not be
    called in this section. `unread` names the data's inputs whose shapes are unknown until the data is read. Raises
    Invalid (config errors).
    """
    faults = Faults()
    reading = Reading(faults, references or (lambda value, *_: (value, [])), _read_entries)
    if (written := _written(section, faults)) is None:
        raise Invalid(faults.all())
    alone = not written.has("layers")
    declared = MODEL
    if alone:
        declared = (*MODEL, "shared", written.outputs)
        inputs = written.shared[written.outputs]["inputs"]  # as if its only layer was a call of the shared model
        written = written.model_copy(update={"inputs": inputs, "layers": [{written.outputs: {"inputs": [*inputs]}}]})
    with suppress(TooManyNodes):
        read_blocks(reading, written.blocks)
        inputs = read_inputs(reading, written, data_inputs, declared, unread)
        reading.inputs = tuple(inputs)
        reading.names.see_targets(None if data_inputs is None else tuple(data_targets or {}))
        read_shared(reading, written.shared, MODEL)
        outputs = reading.read_body(written, MODEL, may_be_uncalled=alone or called_elsewhere)
        # views also take inputs of the data, whose names may be unknown
        reading.names.has_inputs &= not called_elsewhere or data_inputs is not None
        scope = Scope(reading, tuple(inputs.values()), _unknown(reading, data_inputs) if called_elsewhere else ())
        views = read_views(scope, written.views)
        entries, shared = tuple(reading.entries), tuple(filter(None, reading.shared.values()))
        targets = targets_of(flat(entries), data_targets or {})
        model = Model(scope.inputs, entries, outputs, shared, views, alone, targets)
        if not faults.count and data_inputs is not None:
            faults.take(dead_node_faults(model.inputs, entries, outputs, inside=not called_elsewhere))
            faults.take([*target_faults(model), *update_faults(model.nodes)])
        if not faults.count:
            return model, scope
    raise Invalid(faults.all())


def _unknown(reading: Reading, data_inputs: Specs | None) -> tuple[Input, ...]:
    """Return the data's inputs whose names the model does not define."""
    return tuple(each for name, each in from_data(data_inputs or {}).items() if not reading.names.knows(name))


def _written(section: Any, faults: Faults) -> ModelSection | None:
    """Return a `model:` section, parsed; it must have layers, or `outputs` that name a shared model.

    Returns None after a config error.
    """
    if not isinstance(section, dict):
        hint = "put 'layers:' above the list" if isinstance(section, list) else None
        faults.add(f"model: expected a mapping with 'layers', got {show(section)}", MODEL, hint=hint)
        return None
    model = faults.read(ModelSection, section, MODEL)
    shared, output = model.shared, model.outputs
    if model.has("layers"):
        return model if is_list(model.layers, "model", (*MODEL, "layers"), faults) else None
    named = shared.get(output) if isinstance(shared, dict) and isinstance(output, str) else None
    if isinstance(named, dict) and isinstance(named.get("inputs"), dict) and not model.has("inputs"):
        return model
    if "layers" in meant_keys(ModelSection, section):  # a misspelt `layers` has been reported
        return None
    if not isinstance(shared, dict) or not isinstance(output, str):
        or_shared = ", or let outputs name one model of shared" if isinstance(shared, dict) else ""
        faults.add("model needs 'layers'", MODEL, "key", hint=f"add layers: [...]{or_shared}")
    elif output not in shared:
        text = f"model has no 'layers', and 'outputs' names no shared model: '{output}'"
        faults.add(f"{text}{suggestion(output, shared)}", (*MODEL, "outputs"))
    else:
        text = f"shared model '{output}' replaces model.layers: it needs inputs, each with its shape"
        faults.add(text, (*MODEL, "shared", output), "key", hint="inputs: {z: [8]}, or add layers to the model")
    return None


def _read_entries(reading: Reading, layers: list[Any], path: Path) -> None:
    """Add the items of a list `layers` (layers, calls, uses of blocks, repeats) to the model being read."""
    in_template = "blocks" in path or "repeat" in path
    broken: set[int] = set()
    written, layers = layers, []
    for index, entry in enumerate(written):
        before = reading.faults.count
        may_refer = in_template or _only_item(entry)[0] == "repeat"
        layers.append(_resolved(reading, entry, (*path, index)) if may_refer else entry)
        broken |= {index} if reading.faults.count > before else set()
    _announce(reading, layers, path)
    for index, entry in enumerate(layers):
        with reading.faults.absorbing((*path, index)):
            if index not in broken:
                _read_entry(reading, entry, (*path, index))
                continue
        written, arguments = (entry, None) if isinstance(entry, str) else _only_item(entry)
        name = keys_of(NodeKeys, arguments).name if isinstance(arguments, dict) else written
        reading.mark_broken(name if isinstance(name, str) else "?")


def _resolved(reading: Reading, entry: Any, path: Path) -> Any:
    """Return an item of the layers of a block or repeat with its `$` references resolved, except in a
    nested repeat or cell."""

    def waits(below: Path) -> bool:
        return any(pair in {("repeat", "layers"), ("cell", "layers")} for pair in pairwise(below[len(path) :]))

    return reading.resolved(entry, path, reading.variables, waits)


def _read_entry(reading: Reading, entry: Any, path: Path) -> None:
    """Add one item of the list `layers` to the model being read. Raises Invalid, with paths inside the item."""
    name, arguments = (entry, {}) if isinstance(entry, str) else _only_item(entry)
    if name == "repeat":
        read_repeat(reading, arguments, path)
    elif name in reading.shared:
        read_call(reading, name, arguments, path)
    elif name in reading.blocks:
        read_use(reading, name, arguments, path)
    else:
        _check_is_layer(reading, name, () if isinstance(entry, str) else (name,))
        reading.budget.spend(1, path, reading.faults)
        cls = LAYERS.find(name) if isinstance(name, str) else None
        if cls is not None and cls.takes_custom_cell and has_custom_cell(arguments):
            read_rnn(reading, name, arguments, path)
        else:
            read_layer(reading, split_entry(entry, path, reading.faults))


def _check_is_layer(reading: Reading, name: Any, at: Path) -> None:
    """Raise Invalid if `name`, at the path `at` in an item of `layers`, is that of a shared model that cannot be called
    yet, or probably a misspelt block, shared layer or shared model."""
    if name in reading.unread:
        problem = "calls itself" if name in reading.open_shared else "is called above its definition in 'shared'"
        hint = "a shared model may call only those defined above it"
        raise Invalid(f"'{name}' {problem}", at, "key" if at else "value", hint=hint)
    own = [*reading.shared, *reading.blocks]
    if isinstance(name, str) and own and LAYERS.find(name) is None and nearest(name, own) is not None:
        text = f"there is no layer, block or shared model '{name}'{suggestion(name, own)}"
        raise Invalid(text, at, "key" if at else "value")


def _announce(reading: Reading, layers: list[Any], path: Path) -> None:
    """Record the names that the nodes in a list `layers` define."""
    for index, entry in enumerate(layers):
        written, arguments = _only_item(entry)
        if isinstance(arguments, dict) and written != "repeat":
            keys = keys_of(NodeKeys, arguments)
            for name in (keys.name, *as_list(keys.outputs)):
                if isinstance(name, str) and name != "_":
                    reading.names.announce(name, (*path, index, written))


def _only_item(entry: Any) -> tuple[Any, Any]:
    """Return the key and the value of a mapping with one key; (None, None) for anything else."""
    return next(iter(entry.items())) if isinstance(entry, dict) and len(entry) == 1 else (None, None)
