"""Read the custom cell of an `rnn`, a small model of one time step, from its config section."""

from typing import Any

from kerascli.foundation.errors import Path, nearest, show, suggestion
from kerascli.model.ir.analysis import dead_node_faults
from kerascli.model.ir.gradients import differentiated
from kerascli.model.ir.inner_models import Cell, CellState
from kerascli.model.ir.nodes import names_used_by
from kerascli.model.syntax.names import Names
from kerascli.model.syntax.reader import Reading, as_list, each_at
from kerascli.model.syntax.schema import CellSection, StateSection
from kerascli.model.syntax.shared import read_shared
from kerascli.parts.base import INITIALIZERS
from kerascli.parts.initializers import Zeros


def by_state(reading: Reading, written: dict[Any, Any], states: list[str], path: Path) -> dict[str, tuple[Any, Path]]:
    """Return a mapping from state name to (value, config path of the value), for the states of a custom `rnn` cell.

    `written` maps state names to values in the config, such as the key `next` of a cell, whose values name the nodes
    that compute the next states. The result is in the order of `states`, the names of all states; a config error is
    reported for each key of `written` that is no state. `path` is the config path of `written`.
    """
    for name in written:
        if name not in states:
            text = f"the cell has no state '{name}'{suggestion(str(name), states)}"
            reading.faults.add(text, (*path, name), "key", hint=f"it has {', '.join(states)}")
    return {name: (written[name], (*path, name)) for name in states if name in written}


def read_cell(reading: Reading, prefix: str, written: dict[Any, Any], constants: tuple[str, ...], path: Path) -> Cell:
    faults, before = reading.faults, reading.faults.count
    keys = faults.read(CellSection, written, path)
    names = Names(outside=reading.names)
    names.has_inputs = faults.count == before and "?" not in constants
    inner = reading.inner(prefix=prefix, names=names)
    inputs = _inputs(inner, keys.inputs, (*path, "inputs"))
    states = _states(inner, keys.states, path)
    for name in (name for name in constants if name != "?"):
        where = (*path[:-1], "constants", name)
        inner.check_name(name, where, "key")
        names.give(name, where)
    inner.inputs = (*inputs, *(state.name for state in states), *constants)
    names.previous = inputs[0] if len(inputs) == 1 else None
    outputs = ()
    if keys.has("layers"):
        # `shared` is reported as an unknown key; it is read so that calls of what it defines cause no further errors
        read_shared(inner, written.get("shared"), path)
        outputs = inner.read_body(keys, path)
    else:
        faults.add("a cell needs 'layers', the nodes computed at each time step", path, "key")
        names.previous, names.has_inputs = "?", False
    following = _next(inner, states, keys.next, path)
    cell = Cell(inputs, states, constants, tuple(inner.entries), following, outputs, path)
    if faults.count == before and "?" not in constants:
        _check_use(inner, cell, path)
    return cell


def _inputs(inner: Reading, written: Any, path: Path) -> tuple[str, ...]:
    if written is None:
        inner.names.define_inputs({"input": "input"})
        return ("input",)
    for name, where in each_at(written, path):
        inner.check_name(name, where)
        inner.names.give(str(name), where)
    return tuple(map(str, as_list(written)))


def _states(inner: Reading, written: Any, path: Path) -> tuple[CellState, ...]:
    if not isinstance(written, dict) or not written:
        text = "a cell needs 'states', a mapping of names to sizes"
        _add_missing(inner, text, written, path, "states", "states: {h: 128}")
        inner.names.has_inputs = False
        return ()
    states = []
    for name, value in written.items():
        where, before = (*path, "states", name), inner.faults.count
        inner.check_name(name, where, "key")
        if inner.faults.count == before:
            inner.names.give(str(name), where)
            states.append(_state(inner, str(name), value, where))
    return tuple(states)


def _add_missing(inner: Reading, text: str, written: Any, path: Path, key: str, hint: str) -> None:
    """Report a key of a cell that is missing, or has another value than a mapping."""
    if written is None:
        inner.faults.add(text, path, "key", hint=hint)
    else:
        inner.faults.add(f"{text}, got {show(written)}", (*path, key), hint=hint)


def _state(inner: Reading, name: str, value: Any, path: Path) -> CellState:
    """Read a state of a custom cell: a size `128`, a shape `[128, 20]`, or a mapping with the keys shape, initializer
    and trainable."""
    keys = value if isinstance(value, dict) else {"shape": value}
    state = inner.faults.read(StateSection, keys, path, f"state '{name}'")
    sizes = [state.shape] if type(state.shape) is int else state.shape
    if not isinstance(sizes, list) or not all(type(size) is int and size > 0 for size in sizes):
        where = (*path, "shape") if keys is value and state.has("shape") else path
        text = f"state '{name}': expected a size or a shape such as [128, 20], got {show(state.shape)}"
        inner.faults.add(text, where)
        sizes = []
    inner.faults.is_flag(state.trainable, (*path, "trainable"))
    initializer = Zeros()
    if state.has("initializer"):
        with inner.faults.absorbing((*path, "initializer")):
            initializer = INITIALIZERS.parse(state.initializer)
    return CellState(name, tuple(sizes), initializer, state.trainable is True, path)


def _next(inner: Reading, states: tuple[CellState, ...], written: Any, path: Path) -> tuple[str, ...]:
    names, add = [state.name for state in states], inner.faults.add
    if not names:  # the states could not be read
        return ()
    below = (*path, "next")
    if not isinstance(written, dict):
        text = "a cell needs 'next', the node that gives the next value of each state"
        _add_missing(inner, text, written, path, "next", f"next: {{{names[0]}: NODE}}")
        return ()
    named = by_state(inner, written, names, below)
    misspelt = {nearest(str(name), names) for name in written if name not in names}
    for name in names:
        if name not in written and name not in misspelt:
            text = f"state '{name}' is never updated: 'next' has no '{name}'"
            add(text, below, "key", hint=f"{name}: {name} keeps it as it is")
    return tuple(inner.tensor(node, where) or "?" for node, where in named.values())


def _check_use(inner: Reading, cell: Cell, path: Path) -> None:
    """Report config errors for nodes and inputs that a custom cell does not use, and for layers that no cell can
    contain."""
    for node in cell.nodes:
        layer = node.layer
        if not node.outputs or layer.keeps_states() or layer.makes_mask() or differentiated([node]):
            what = "losses, metrics, masks, gradients, updates or kept states"
            inner.faults.add(f"'{node.name}' cannot be used in a cell: a time step has no {what}", node.path, "key")
    ends = (*cell.outputs, *cell.next)
    inner.faults.take(dead_node_faults((), inner.entries, ends, at="the cell's outputs or next"))
    used = {*ends, *names_used_by(inner.entries)}
    for name in (name for name in (*cell.inputs, *cell.constants) if name not in used):
        where = (*path, "inputs") if name in cell.inputs else (*path[:-1], "constants", name)
        inner.faults.add(f"'{name}' is not used by the cell", where, "value" if name in cell.inputs else "key")
