"""`repeat`, and blocks: templates whose layers are read anew at each use."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from kerascli.errors import Path, counted, nearest, one_of, show, suggestion
from kerascli.expressions import Value
from kerascli.expressions.template import names_referred_to
from kerascli.model.ir.nodes import Call, Entry
from kerascli.model.syntax.reader import Block, Reading
from kerascli.model.syntax.written import NODE_KEYS, as_list

Read = Callable[[Reading, list[Any], Path], None]
"""Reads a list of layers at a path."""

_BLOCK_KEYS = ("parameters", "inputs", "layers", "outputs")
_REPEAT_KEYS = ("times", "index", "each", "as", "layers")


def read_blocks(reading: Reading, section: Any) -> None:
    """Declare the blocks of `model.blocks`; their layers are read where they are used."""
    if section is None:
        return
    if not isinstance(section, dict):
        reading.faults.add(f"model.blocks: expected a mapping of names and blocks, got {show(section)}", ("blocks",))
        return
    for name, written in section.items():
        path: Path = ("blocks", name)
        before = len(reading.faults.found)
        reading.check_name(name, path, at="key")
        if name == "repeat":
            reading.faults.add("'repeat' is a word of the language; choose another name", path, at="key")
        if len(reading.faults.found) == before:
            reading.blocks[name] = _block(reading, name, written, path)


def _block(reading: Reading, name: str, written: Any, path: Path) -> Block | None:
    faults = reading.faults
    before = len(faults.found)
    if not isinstance(written, dict) or not isinstance(written.get("layers"), list) or not written["layers"]:
        hint = f"{name}: {{parameters: {{units: 16}}, layers: [...]}}"
        faults.add(f"block '{name}': expected a mapping with 'layers', a list of layers", path, at="key", hint=hint)
        return None
    for key in written:
        if key not in _BLOCK_KEYS:
            text = f"unknown key '{key}' in block '{name}'{suggestion(str(key), _BLOCK_KEYS)}"
            faults.add(text, (*path, key), at="key")
    parameters = written.get("parameters") or {}
    if not isinstance(parameters, dict):
        text = f"block '{name}': parameters: expected a mapping of names and defaults, got {show(parameters)}"
        faults.add(text, (*path, "parameters"))
        return None
    odd = [key for key in parameters if key in NODE_KEYS or not str(key).isidentifier()]
    for key in odd:
        faults.add(f"block '{name}': a parameter cannot be called '{key}'", (*path, "parameters", key), at="key")
    inputs = written.get("inputs", ["input"])
    names = list(inputs) if isinstance(inputs, dict) else as_list(inputs)
    if not names or not all(isinstance(each, str) for each in names) or len(set(names)) < len(names):
        faults.add(f"block '{name}': inputs: expected a list of names, got {show(inputs)}", (*path, "inputs"))
    defaults, found = reading.references(parameters, reading.place((*path, "parameters")), {}, lambda path: False)
    faults.take(found)
    _refuse_idle(
        reading, name, [key for key in parameters if key not in odd], [written["layers"], written.get("outputs")], path
    )
    if len(faults.found) > before:
        return None
    return Block(defaults, tuple(names), written["layers"], written.get("outputs"), path)


def _refuse_idle(reading: Reading, name: str, parameters: Sequence[str], body: Any, path: Path) -> None:
    """What a use gives has to count."""
    used = names_referred_to(body)
    for key in parameters:
        if key not in used and not any(nearest(each, [key]) for each in used):  # misspelt, it is told at the use
            hint = f"write ${key} where it counts, or take it out"
            text = f"block '{name}': nothing in it uses the parameter '{key}'"
            reading.faults.add(text, (*path, "parameters", key), at="key", hint=hint)


def read_use(reading: Reading, written: str, arguments: Any, entry: Path, read: Read) -> None:
    """Read the layers of a block once more, with the arguments of this use."""
    block, faults, names, path = reading.blocks[written], reading.faults, reading.names, (*entry, written)
    before = len(faults.found)
    given, beside = _arguments(reading, written, block, arguments, path)
    if written in reading.open_blocks:
        chain = " -> ".join((*reading.open_blocks, written))
        faults.add(f"block '{written}' uses itself: {chain}", path, at="key", hint="a block may use other blocks only")
    named = "name" in beside
    name = reading.name(beside, path, written) if named or "outputs" in beside else ""
    inputs = _use_inputs(reading, written, block, beside, path)
    wanted = reading.is_wanted(beside, path)
    if block is None or len(faults.found) > before:
        reading.spoil(name or "?", beside)
        return
    place = reading.place(path)
    if not wanted:
        reading.names.previous = inputs[0]
        if named:
            reading.pass_on(name, inputs[0], place)
        return
    first = len(reading.entries)
    opened = reading.open_blocks
    reading.open_blocks = (*opened, written)
    with _variables(reading, given), faults.used_at(path), names.inside(sees_outside=False):
        names.hand_in(dict(zip(block.inputs, inputs, strict=True)))
        names.previous = inputs[0] if len(inputs) == 1 else None
        read(reading, block.layers, (*block.path, "layers"))
        results = _block_results(reading, block)
    reading.open_blocks = opened
    if len(faults.found) > before or not results:
        reading.spoil(name or "?", beside)
    elif name:
        _name_results(reading, reading.results(name, len(results), beside, path), results, first, name, path)
    else:
        names.previous = results[0]


def _block_results(reading: Reading, block: Block) -> tuple[str, ...]:
    if block.outputs is None:
        return (reading.names.previous,) if reading.names.previous is not None else ()
    written, found = reading.references(
        block.outputs, reading.place((*block.path, "outputs")), reading.variables, lambda path: False
    )
    reading.faults.take(found)
    return reading.tensors(written, (*block.path, "outputs"))


def _name_results(
    reading: Reading, written: tuple[str, ...], results: tuple[str, ...], first: int, name: str, path: Path
) -> None:
    """What a use names its results is what their tensors are called, where nodes of the block made them."""
    place, renamed = reading.place(path), {}
    made = {output for entry in reading.entries[first:] for output in entry.outputs}
    for output, tensor in zip(written, results, strict=False):
        if output == "_":
            continue
        if tensor in made and tensor not in renamed:
            renamed[tensor] = reading.names.unique(output)
        reading.names.give(output, place, means=renamed.get(tensor, tensor))
    reading.names.take(name, place, node=reading.names.unique(name))
    reading.entries[first:] = [_renamed(entry, renamed) for entry in reading.entries[first:]]
    reading.names.previous = next((renamed.get(t, t) for o, t in zip(written, results, strict=False) if o != "_"), None)


def _renamed(entry: Entry, tensors: Mapping[str, str]) -> Entry:
    if not isinstance(entry, Call):
        return entry.renamed(tensors)

    def of(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(tensors.get(name, name) for name in names)

    nodes = tuple(node.renamed(tensors) for node in entry.nodes)
    return replace(entry, inputs=of(entry.inputs), outputs=of(entry.outputs), nodes=nodes)


def _arguments(
    reading: Reading, written: str, block: Block | None, arguments: Any, path: Path
) -> tuple[dict[str, Value], dict[str, Any]]:
    """Parameters with the values of this use, and node keys."""
    parameters = {} if block is None else block.parameters
    if not isinstance(arguments, dict):
        first = next(iter(parameters), None)
        if arguments is None or (first is None and block is not None):
            text = (
                f"block '{written}' has no parameters" if first is None else f"block '{written}' has no arguments here"
            )
            reading.faults.add(text, path, at="key", hint=f"write '{written}' alone")
        arguments = {first: arguments} if first is not None else {}
    beside = {key: value for key, value in arguments.items() if key in NODE_KEYS}
    given = {key: value for key, value in arguments.items() if key not in NODE_KEYS}
    if block is None:
        return {}, beside
    for key in given:
        if key not in parameters:
            text = f"block '{written}' has no parameter '{key}'{suggestion(str(key), [*parameters, *NODE_KEYS])}"
            hint = f"it has {', '.join(parameters)}" if parameters else "it has none"
            reading.faults.add(text, (*path, key), at="key", hint=hint)
    meant = {nearest(str(key), parameters) for key in given if key not in parameters}
    values = {**parameters, **{key: value for key, value in given.items() if key in parameters}}
    missing = [key for key, value in values.items() if value is None and key not in meant]
    if missing:
        words = one_of([f"'{key}'" for key in missing]).replace(" or ", " and ")
        reading.faults.add(f"block '{written}' needs {words}", path, at="key", hint=f"{written}: {{{missing[0]}: ...}}")
    return values, beside


def _use_inputs(
    reading: Reading, written: str, block: Block | None, beside: Mapping[str, Any], path: Path
) -> tuple[str, ...]:
    if "inputs" not in beside:
        if block is not None and len(block.inputs) > 1:
            text = f"block '{written}' needs 'inputs': {', '.join(block.inputs)}"
            reading.faults.add(text, path, at="key")
            return ()
        return reading.previous(path)
    below, value = (*path, "inputs"), beside["inputs"]
    if isinstance(value, dict) and block is not None and set(value) == set(block.inputs):
        found = [reading.tensor(value[name], (*below, name)) for name in block.inputs]
        return tuple(tensor for tensor in found if tensor is not None)
    names = as_list(value)
    if block is not None and len(names) != len(block.inputs):
        words = f" ({', '.join(block.inputs)})" if len(block.inputs) > 1 else ""
        text = f"block '{written}' takes {counted(len(block.inputs), 'input')}{words}, got {len(names)}"
        reading.faults.add(text, below)
    return reading.tensors(value, below) if names else ()


def read_repeat(reading: Reading, arguments: Any, entry: Path, read: Read) -> None:
    """Read the layers of a repeat as often as it says."""
    path = (*entry, "repeat")
    before = len(reading.faults.found)
    rounds = _rounds(reading, arguments, path)
    if len(reading.faults.found) > before:
        reading.names.spoil(["?"])
        reading.names.previous = "?"
        return
    for variables in rounds:
        with _variables(reading, variables), reading.names.inside(sees_outside=True):
            reading.budget.spend(1, path, reading.faults)
            read(reading, arguments["layers"], (*path, "layers"))


def _rounds(reading: Reading, arguments: Any, path: Path) -> list[dict[str, Value]]:
    """The variables of each round; after a fault, nothing."""
    add = reading.faults.add
    if not isinstance(arguments, dict) or not isinstance(arguments.get("layers"), list) or not arguments["layers"]:
        hint = "repeat: {times: 3, layers: [...]}"
        add("repeat needs 'layers', a list of layers", path, at="key", hint=hint)
        return []
    for key in arguments:
        if key not in _REPEAT_KEYS:
            hint = None if nearest(str(key), _REPEAT_KEYS) else f"repeat has {', '.join(_REPEAT_KEYS)}"
            text = f"unknown key '{key}' in repeat{suggestion(str(key), _REPEAT_KEYS)}"
            add(text, (*path, key), at="key", hint=hint)
    if ("times" in arguments) == ("each" in arguments):
        add("repeat needs either 'times' or 'each'", path, at="key", hint="repeat: {times: 3, layers: [...]}")
        return []
    counts = "times" in arguments
    variable, other = ("index", "as") if counts else ("as", "index")
    if other in arguments:
        add(f"repeat: '{other}' goes with '{'each' if counts else 'times'}'", (*path, other), at="key")
    name = arguments.get(variable)
    if name is not None and not (isinstance(name, str) and name.isidentifier()):
        add(f"repeat: {variable}: expected a name, got {show(name)}", (*path, variable))
    if not counts and name is None:
        add("repeat: 'each' needs 'as', the name of its variable", path, at="key")
    values = _values(reading, arguments, path)
    return [{name: value} if isinstance(name, str) else {} for value in values]


def _values(reading: Reading, arguments: Mapping[str, Any], path: Path) -> list[Value]:
    if "each" in arguments:
        each = arguments["each"]
        if not isinstance(each, list):
            reading.faults.add(f"repeat: each: expected a list of values, got {show(each)}", (*path, "each"))
            return []
        return each
    times = arguments["times"]
    if type(times) is not int or times < 0:
        reading.faults.add(f"repeat: times: expected a whole number from 0, got {show(times)}", (*path, "times"))
        return []
    reading.budget.check(times, (*path, "times"), reading.faults)
    return list(range(times))


@contextmanager
def _variables(reading: Reading, values: Mapping[str, Value]) -> Iterator[None]:
    """While a body is read: what `$` may mean beside flags and facts."""
    before = reading.variables
    reading.variables = {**before, **values}
    try:
        yield
    finally:
        reading.variables = before
