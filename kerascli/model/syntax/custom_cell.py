"""An `rnn` entry whose cell is described in the config: its node, and the small model of one step."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from kerascli.component import Invalid
from kerascli.errors import Path, counted, nearest, show, suggestion
from kerascli.layers.base import LAYERS, CallArgument
from kerascli.layers.expressions.update import Update
from kerascli.model.ir.cells import Cell, CellState
from kerascli.model.ir.dead_nodes import idle_faults
from kerascli.model.ir.nodes import flat
from kerascli.model.ir.rnn import DescribedRNN
from kerascli.model.syntax.layers import add_node
from kerascli.model.syntax.names import Names
from kerascli.model.syntax.reader import Reading
from kerascli.model.syntax.written import ANY_CALL, NODE_KEYS, WrittenNode, as_list
from kerascli.parts.base import INITIALIZERS
from kerascli.parts.initializers import Zeros

ReadModel = Callable[[Reading, dict[str, Any], Path], tuple[str, ...]]
"""Reads the layers and the outputs of a model at a path; returns its outputs."""

CELL_KEYS = ("inputs", "states", "layers", "next", "outputs")
STATE_KEYS = ("shape", "initializer", "trainable")
_CALL: Mapping[str, CallArgument] = {**ANY_CALL, "mask": CallArgument("tensors", "", or_false=True)}
_TENSORS = ("initial_state", "constants")
_SETTINGS = tuple(name for name in DescribedRNN.model_fields if name not in {"cell", "layers", "given"})


def describes_cell(name: Any, arguments: Any) -> bool:
    """Whether an entry is an rnn whose cell is no layer, but described; or that has constants, as only such have."""
    cls = LAYERS.find(name) if isinstance(name, str) else None
    if cls is None or not cls.takes_described_cell or not isinstance(arguments, dict):
        return False
    return "constants" in arguments or _is_described(arguments.get("cell"))


def _is_described(cell: Any) -> bool:
    return isinstance(cell, dict) and any(key in cell for key in CELL_KEYS)


def read_rnn(reading: Reading, written: str, arguments: dict[Any, Any], entry: Path, read: ReadModel) -> None:
    """Add the node of an rnn with a described cell; `read` reads the layers of the cell."""
    faults, path = reading.faults, (*entry, written)
    if not _is_described(arguments.get("cell")):
        text, hint = (
            "constants are for a cell that is described",
            "cell: {states: {h: 8}, layers: [...], next: {h: ...}}",
        )
        faults.add(text, (*path, "constants"), at="key", hint=hint)
        reading.spoil(reading.name(arguments, path, "rnn"), arguments)
        return
    before = len(faults.found)
    known = (*NODE_KEYS, *_CALL, *_TENSORS, *_SETTINGS, "cell")
    for key in arguments:
        if key not in known:
            text = f"unknown key '{key}' in rnn{suggestion(str(key), known)}"
            faults.add(text, (*path, key), at="key", hint=None if suggestion(str(key), known) else _known_words(known))
    name = reading.name(arguments, path, "rnn")
    constants = _constants(reading, arguments.get("constants"), (*path, "constants"))
    prefix = f"{reading.prefix}{reading.names.unique(name)}/"
    cell = _cell(reading, prefix, arguments["cell"], tuple(constants), (*path, "cell"), read)
    sequences = _sequences(reading, arguments, cell, path)
    given = _given(reading, cell, arguments.get("initial_state"), (*path, "initial_state"))
    call = reading.call(_CALL, arguments, path)
    layer = None
    if len(faults.found) == before:
        settings = {key: arguments[key] for key in _SETTINGS if key in arguments}
        try:
            settings |= {"cell": cell, "layers": tuple(node.layer for node in cell.nodes), "given": tuple(given)}
            layer = LAYERS.construct(DescribedRNN, written, settings)
        except Invalid as invalid:
            faults.absorb(invalid, entry)
    node = WrittenNode(DescribedRNN, written, {}, arguments, entry, (*path, "inputs"))
    add_node(reading, node, name, layer, (*sequences, *constants.values(), *given.values()), call, before)


def _known_words(known: Iterable[str]) -> str:
    return f"it has {', '.join(known)}"


def _sequences(reading: Reading, arguments: Mapping[Any, Any], cell: Cell, path: Path) -> tuple[str, ...]:
    wanted = len(cell.inputs)
    if "inputs" not in arguments:
        if wanted > 1:
            text = f"rnn needs 'inputs': a sequence for each of {', '.join(cell.inputs)}"
            reading.faults.add(text, path, at="key")
            return ()
        return reading.previous(path)
    names = as_list(arguments["inputs"])
    if len(names) != wanted:
        text = f"rnn has {counted(len(names), 'input')}, its cell takes {wanted} ({', '.join(cell.inputs)})"
        reading.faults.add(text, (*path, "inputs"))
    return reading.tensors(arguments["inputs"], (*path, "inputs")) if names else ()


def _constants(reading: Reading, written: Any, path: Path) -> dict[str, str]:
    """Tensors that every step sees, by the names that the cell has for them."""
    if written is None:
        return {}
    if not isinstance(written, dict):
        text = f"constants: expected names of the cell's and nodes, got {show(written)}"
        reading.faults.add(text, path, hint="constants: {memory: NODE}")
        return {"?": "?"}
    return {str(name): reading.tensor(node, (*path, name)) or "?" for name, node in written.items()}


def _given(reading: Reading, cell: Cell, written: Any, path: Path) -> dict[str, str]:
    """The states that start from a node, by name; a list has one for each."""
    states = [state.name for state in cell.states]
    if written is None or not states:
        return {}
    if isinstance(written, dict):
        for name in written:
            if name not in states:
                text = f"the cell has no state '{name}'{suggestion(str(name), states)}"
                reading.faults.add(text, (*path, name), at="key", hint=f"it has {', '.join(states)}")
        named = {name: (written[name], (*path, name)) for name in states if name in written}
    else:
        nodes = as_list(written)
        if len(nodes) != len(states):
            words = f"{counted(len(states), 'state')} ({', '.join(states)})"
            text = f"the cell has {words}, 'initial_state' names {len(nodes)}"
            reading.faults.add(text, path, hint="initial_state: {STATE: NODE} gives some of them")
        places = [(*path, i) if isinstance(written, list) else path for i in range(len(nodes))]
        named = dict(zip(states, zip(nodes, places, strict=True), strict=False))
    return {name: reading.tensor(node, where) or "?" for name, (node, where) in named.items()}


def _cell(
    reading: Reading, prefix: str, written: dict[Any, Any], constants: tuple[str, ...], path: Path, read: ReadModel
) -> Cell:
    faults, before = reading.faults, len(reading.faults.found)
    for key in written:
        if key not in CELL_KEYS:
            text = f"unknown key '{key}' in cell{suggestion(str(key), CELL_KEYS)}"
            faults.add(
                text, (*path, key), at="key", hint=None if suggestion(str(key), CELL_KEYS) else _known_words(CELL_KEYS)
            )
    names = Names(outside=reading.names)
    names.inputs_known = all(key in CELL_KEYS for key in written) and "?" not in constants
    inner = replace(reading, prefix=prefix, names=names, entries=[], shared=reading.shared.new_child())
    inputs = _inputs(inner, written.get("inputs"), (*path, "inputs"))
    states = _states(inner, written.get("states"), path)
    for name in (name for name in constants if name != "?"):
        where = (*path[:-1], "constants", name)
        inner.check_name(name, where, at="key")
        names.give(name, inner.place(where))
    inner.inputs = (*inputs, *(state.name for state in states), *constants)
    names.previous = inputs[0] if len(inputs) == 1 else None
    outputs = ()
    if "layers" in written:
        outputs = read(inner, written, path)
    else:
        faults.add("a cell needs 'layers': what is done at each step", path, at="key")
        names.previous, names.inputs_known = "?", False
    following = _next(inner, states, written.get("next"), path)
    cell = Cell(inputs, states, constants, tuple(inner.entries), following, outputs, inner.place(path))
    if len(faults.found) == before and "?" not in constants:
        _check_use(inner, cell, path)
    return cell


def _inputs(inner: Reading, written: Any, path: Path) -> tuple[str, ...]:
    if written is None:
        inner.names.hand_in({"input": "input"})
        return ("input",)
    names = as_list(written)
    for index, name in enumerate(names):
        where = (*path, index) if isinstance(written, list) else path
        inner.check_name(name, where)
        inner.names.give(str(name), inner.place(where))
    return tuple(map(str, names))


def _states(inner: Reading, written: Any, path: Path) -> tuple[CellState, ...]:
    if not isinstance(written, dict) or not written:
        got = "" if written is None else f", got {show(written)}"
        where, at = (path, "key") if written is None else ((*path, "states"), "value")
        inner.faults.add(f"a cell needs 'states', names and sizes{got}", where, at=at, hint="states: {h: 128}")
        inner.names.inputs_known = False
        return ()
    states = []
    for name, value in written.items():
        where, before = (*path, "states", name), len(inner.faults.found)
        inner.check_name(name, where, at="key")
        if len(inner.faults.found) > before:
            continue
        inner.names.give(str(name), inner.place(where))
        states.append(_state(inner, str(name), value, where))
    return tuple(states)


def _state(inner: Reading, name: str, value: Any, path: Path) -> CellState:
    """`128`, `[128, 20]`, or a mapping with the shape and what it starts from."""
    add, place = inner.faults.add, inner.place(path)
    more = value if isinstance(value, dict) else {"shape": value}
    below = path if more is not value else (*path, "shape")
    for key in more:
        if key not in STATE_KEYS:
            hint = None if suggestion(str(key), STATE_KEYS) else _known_words(STATE_KEYS)
            add(
                f"unknown key '{key}' in state '{name}'{suggestion(str(key), STATE_KEYS)}",
                (*path, key),
                at="key",
                hint=hint,
            )
    sizes = more.get("shape")
    sizes = [sizes] if type(sizes) is int else sizes
    if not isinstance(sizes, list) or not all(type(size) is int and size > 0 for size in sizes):
        where = below if "shape" in more else path
        add(f"state '{name}': expected a size or a shape such as [128, 20], got {show(more.get('shape'))}", where)
        sizes = []
    trainable = more.get("trainable", False)
    if not isinstance(trainable, bool):
        add(f"trainable: expected true or false, got {show(trainable)}", (*path, "trainable"))
    initializer = Zeros()
    if "initializer" in more:
        try:
            initializer = INITIALIZERS.parse(more["initializer"])
        except Invalid as invalid:
            inner.faults.absorb(invalid, (*path, "initializer"))
    return CellState(name, tuple(sizes), initializer, trainable is True, place)


def _next(inner: Reading, states: tuple[CellState, ...], written: Any, path: Path) -> tuple[str, ...]:
    names, add = [state.name for state in states], inner.faults.add
    if not names:  # they cannot be read
        return ()
    below = (*path, "next")
    if not isinstance(written, dict):
        hint = f"next: {{{names[0]}: NODE}}"
        text = "a cell needs 'next', the new value of each state"
        if written is None:
            add(text, path, at="key", hint=hint)
        else:
            add(f"{text}, got {show(written)}", below, hint=hint)
        return ()
    for name in written:
        if name not in names:
            text = f"the cell has no state '{name}'{suggestion(str(name), names)}"
            add(text, (*below, name), at="key", hint=f"it has {', '.join(names)}")
    misspelt = {nearest(str(name), names) for name in written if name not in names}
    for name in names:
        if name not in written and name not in misspelt:
            text = f"state '{name}' is never updated: 'next' has no '{name}'"
            add(text, below, at="key", hint=f"{name}: {name} keeps it as it is")
    return tuple(inner.tensor(written[name], (*below, name)) or "?" for name in names if name in written)


def _check_use(inner: Reading, cell: Cell, path: Path) -> None:
    """What a cell has in it must come to something; masks and losses are no matter of a step."""
    found = inner.faults.found
    for node in cell.nodes:
        kind, problem, hint = node.layer.component_name, None, ""
        if isinstance(node.layer, Update):
            problem = "update cannot stand in a cell: a weight is the same at every step"
            hint = "keep what changes from step to step as a state of the cell"
        elif not node.outputs:
            problem = f"{kind} cannot stand in a cell: a step has no figures of its own"
            hint = "make what it needs an output of the rnn, and use it there"
        elif node.layer.keeps_states():
            problem = f"'{node.name}' cannot be stateful in a cell: a step is no batch"
            hint = "stateful: true on the rnn"
        elif node.layer.makes_mask():
            problem = f"'{node.name}' makes a mask, which a step cannot have"
            hint = f"put {kind} before the rnn: steps that its mask leaves out change nothing"
        if problem is not None:
            found.append(inner.fault(problem, node.path, hint))
    ends = (*cell.outputs, *cell.next)
    found += idle_faults((), inner.entries, ends, at="the cell's outputs or next")
    used = {*ends, *(name for node in flat(inner.entries) for name in node.used_names())}
    for name in (*cell.inputs, *cell.constants):
        if name not in used:
            where = (*path, "inputs") if name in cell.inputs else (*path[:-1], "constants", name)
            inner.faults.add(f"'{name}' is not used by the cell", where, at="value" if name in cell.inputs else "key")
