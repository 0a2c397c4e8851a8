"""Read an `rnn` item of `layers` that has a custom cell, defined in the config."""

from collections.abc import Mapping
from typing import Any

from kerascli.foundation.errors import Path, counted, show
from kerascli.language.section import key_names, keys_of, unknown_keys
from kerascli.layers.base import ANY_CALL, LAYERS, CallArgument
from kerascli.model.ir.inner_models import Cell, CustomCellRNN
from kerascli.model.syntax.custom_cell import by_state, read_cell
from kerascli.model.syntax.layers import SplitEntry, add_node
from kerascli.model.syntax.reader import Reading, as_list
from kerascli.model.syntax.schema import CellSection, NodeKeys, RNNKeys

_CALL: Mapping[str, CallArgument] = {**ANY_CALL, "mask": CallArgument("tensors", "", or_false=True)}


def has_custom_cell(arguments: Any) -> bool:
    """Return True if the arguments of an `rnn` have a cell defined in YAML, or constants, which need such a cell."""
    return isinstance(arguments, dict) and ("constants" in arguments or _is_custom_cell(arguments.get("cell")))


def _is_custom_cell(cell: Any) -> bool:
    return isinstance(cell, dict) and any(key in cell for key in key_names(CellSection))


def read_rnn(reading: Reading, written: str, arguments: dict[Any, Any], entry: Path) -> None:
    """Add the node of an `rnn` with a custom cell to the model.

    `written` is the layer's name as in the item of `layers`, `arguments` are its arguments, `entry` is the config path
    of the item.
    """
    faults, path, keys = reading.faults, (*entry, written), keys_of(RNNKeys, arguments)
    before = faults.count
    if not _is_custom_cell(arguments.get("cell")):
        hint = "cell: {states: {h: 8}, layers: [...], next: {h: ...}}"
        faults.add("'constants' needs a cell that is defined in the config", (*path, "constants"), "key", hint=hint)
        reading.mark_broken(reading.name(keys, path, "rnn"), keys)
        return
    allowed = dict.fromkeys((*key_names(NodeKeys), *_CALL, *key_names(RNNKeys), *CustomCellRNN.settings(), "cell"))
    faults.take(unknown_keys(arguments, tuple(allowed), "rnn", path, listed="it has"))
    name = reading.name(keys, path, "rnn")
    constants = _constants(reading, keys.constants, (*path, "constants"))
    prefix = f"{reading.prefix}{reading.names.unique(name)}/"
    cell = read_cell(reading, prefix, arguments["cell"], tuple(constants), (*path, "cell"))
    sequences = _sequences(reading, keys, cell, path)
    states = _initial_states(reading, cell, keys.initial_state, (*path, "initial_state"))
    call = reading.call(_CALL, arguments, path)
    layer = None
    if faults.count == before:
        settings = {key: arguments[key] for key in CustomCellRNN.settings() if key in arguments}
        layers = tuple(node.layer for node in cell.nodes)
        settings |= {"cell": cell, "layers": layers, "initial_states": tuple(states)}
        with faults.absorbing(entry):
            layer = LAYERS.construct(CustomCellRNN, written, settings)
    node = SplitEntry(CustomCellRNN, written, {}, keys, {}, entry, (*path, "inputs"))
    add_node(reading, node, name, layer, (*sequences, *constants.values(), *states.values()), call, before)


def _sequences(reading: Reading, keys: RNNKeys, cell: Cell, path: Path) -> tuple[str, ...]:
    if not keys.has("inputs"):
        if len(cell.inputs) < 2:
            return reading.previous(path)
        reading.faults.add(f"rnn needs 'inputs': a sequence for each of {', '.join(cell.inputs)}", path, "key")
        return ()
    count, below = len(as_list(keys.inputs)), (*path, "inputs")
    if count != len(cell.inputs):
        words = f"{len(cell.inputs)} ({', '.join(cell.inputs)})"
        reading.faults.add(f"rnn has {counted(count, 'input')}, but its cell takes {words}", below)
    return reading.tensors(keys.inputs, below) if count else ()


def _constants(reading: Reading, written: Any, path: Path) -> dict[str, str]:
    """Return the tensors that a custom cell gets as constants, by their names within the cell."""
    if written is None:
        return {}
    if not isinstance(written, dict):
        text = f"constants: expected a mapping of names within the cell to nodes, got {show(written)}"
        reading.faults.add(text, path, hint="constants: {memory: NODE}")
        return {"?": "?"}
    return {str(name): reading.tensor(node, (*path, name)) or "?" for name, node in written.items()}


def _initial_states(reading: Reading, cell: Cell, written: Any, path: Path) -> dict[str, str]:
    """Return the tensors of `initial_state` by state name."""
    states = [state.name for state in cell.states]
    if written is None or not states:
        return {}
    if not isinstance(written, dict):
        text = f"initial_state: expected a mapping of states of the cell to nodes, got {show(written)}"
        reading.faults.add(text, path, hint=f"initial_state: {{{states[0]}: NODE}}")
        return {}
    named = by_state(reading, written, states, path)
    return {name: reading.tensor(node, where) or "?" for name, (node, where) in named.items()}
