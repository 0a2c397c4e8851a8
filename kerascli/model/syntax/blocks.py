"""Read the blocks of a model (`model.blocks`, templates of layers) and their uses; each use reads the layers anew."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from kerascli.foundation.errors import Path, counted, nearest, one_of, show, suggestion
from kerascli.language.expressions import Value
from kerascli.language.expressions.template import names_referred_to
from kerascli.language.section import key_names, keys_of
from kerascli.model.ir.nodes import Call, Entry
from kerascli.model.syntax.reader import Block, Reading
from kerascli.model.syntax.repeat import Read, variables
from kerascli.model.syntax.schema import BlockSection, NodeKeys
from kerascli.model.syntax.written import as_list


def read_blocks(reading: Reading, section: Any) -> None:
    """Record the blocks of `model.blocks` (templates of layers); their layers are read where the blocks are used."""
    if section is None:
        return
    if not isinstance(section, dict):
        reading.faults.add(f"model.blocks: expected a mapping of names to blocks, got {show(section)}", ("blocks",))
        return
    for name, written in section.items():
        path: Path = ("blocks", name)
        before = len(reading.faults.found)
        reading.check_name(name, path, at="key")
        if name == "repeat":
            reading.faults.add("'repeat' is a keyword; choose another name", path, at="key")
        if len(reading.faults.found) == before:
            reading.blocks[name] = _block(reading, name, written, path)


def _block(reading: Reading, name: str, written: Any, path: Path) -> Block | None:
    faults = reading.faults
    before = len(faults.found)
    if not isinstance(written, dict) or not isinstance(written.get("layers"), list) or not written["layers"]:
        hint = f"{name}: {{parameters: {{units: 16}}, layers: [...]}}"
        faults.add(f"block '{name}': expected a mapping with 'layers', a list of layers", path, at="key", hint=hint)
        return None
    block = faults.read(BlockSection, written, path, f"block '{name}'")
    parameters = block.parameters or {}
    if not isinstance(parameters, dict):
        text = f"block '{name}': parameters: expected a mapping of names to defaults, got {show(parameters)}"
        faults.add(text, (*path, "parameters"))
        return None
    odd = [key for key in parameters if key in key_names(NodeKeys) or not str(key).isidentifier()]
    for key in odd:
        faults.add(f"block '{name}': a parameter cannot be called '{key}'", (*path, "parameters", key), at="key")
    inputs = block.inputs if block.has("inputs") else ["input"]
    names = list(inputs) if isinstance(inputs, dict) else as_list(inputs)
    if not names or not all(isinstance(each, str) for each in names) or len(set(names)) < len(names):
        faults.add(f"block '{name}': inputs: expected a list of names, got {show(inputs)}", (*path, "inputs"))
    defaults, found = reading.references(parameters, reading.place((*path, "parameters")), {}, lambda path: False)
    faults.take(found)
    usable = [key for key in parameters if key not in odd]
    _refuse_unused_parameters(reading, name, usable, [block.layers, block.outputs], path)
    if len(faults.found) > before:
        return None
    return Block(defaults, tuple(names), block.layers, block.outputs, path)


def _refuse_unused_parameters(reading: Reading, name: str, parameters: Sequence[str], body: Any, path: Path) -> None:
    """Report a config error for each parameter of a block to which neither its layers nor its outputs refer."""
    used = names_referred_to(body)
    for key in parameters:
        if key not in used and not any(
            nearest(each, [key]) for each in used
        ):  # a misspelt reference is reported by the use
            hint = f"write ${key} in the block, or remove the parameter"
            text = f"block '{name}': parameter '{key}' is never used"
            reading.faults.add(text, (*path, "parameters", key), at="key", hint=hint)


def read_use(reading: Reading, written: str, arguments: Any, entry: Path, read: Read) -> None:
    """Add the layers of a block to the model for one use of the block in `layers`, with the arguments of that use."""
    block, faults, names, path = reading.blocks[written], reading.faults, reading.names, (*entry, written)
    before = len(faults.found)
    given, keys = _arguments(reading, written, block, arguments, path)
    if written in reading.open_blocks:
        chain = " -> ".join((*reading.open_blocks, written))
        faults.add(
            f"block '{written}' uses itself: {chain}", path, at="key", hint="a block may use other blocks, not itself"
        )
    named = keys.has("name")
    name = reading.name(keys, path, written) if named or keys.has("outputs") else ""
    inputs = _use_inputs(reading, written, block, keys, path)
    wanted = reading.is_wanted(keys, path)
    if block is None or len(faults.found) > before:
        reading.mark_broken(name or "?", keys)
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
    with variables(reading, given), faults.used_at(path), names.inside(sees_outside=False):
        names.define_inputs(dict(zip(block.inputs, inputs, strict=True)))
        names.previous = inputs[0] if len(inputs) == 1 else None
        read(reading, block.layers, (*block.path, "layers"))
        results = _block_results(reading, block)
    reading.open_blocks = opened
    if len(faults.found) > before or not results:
        reading.mark_broken(name or "?", keys)
    elif name:
        _name_results(reading, reading.results(name, len(results), keys, path), results, first, name, path)
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
    """Name the outputs of one use of a block (template of layers) as the use's key `outputs` says; tensors of nodes in
    the block are renamed."""
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
) -> tuple[dict[str, Value], NodeKeys]:
    """Return the values of the parameters of a block (template of layers) in one use, and the use's node keys (`name`,
    `inputs` ...)."""
    parameters = {} if block is None else block.parameters
    if not isinstance(arguments, dict):
        first = next(iter(parameters), None)
        if arguments is None or (first is None and block is not None):
            text = (
                f"block '{written}' has no parameters"
                if first is None
                else f"block '{written}' is used without arguments"
            )
            reading.faults.add(text, path, at="key", hint=f"write '{written}' alone")
        arguments = {first: arguments} if first is not None else {}
    keys, node_keys = keys_of(NodeKeys, arguments), key_names(NodeKeys)
    given = {key: value for key, value in arguments.items() if key not in node_keys}
    if block is None:
        return {}, keys
    for key in given:
        if key not in parameters:
            text = f"block '{written}' has no parameter '{key}'{suggestion(str(key), [*parameters, *node_keys])}"
            hint = f"it has {', '.join(parameters)}" if parameters else "it has none"
            reading.faults.add(text, (*path, key), at="key", hint=hint)
    meant = {nearest(str(key), parameters) for key in given if key not in parameters}
    values = {**parameters, **{key: value for key, value in given.items() if key in parameters}}
    missing = [key for key, value in values.items() if value is None and key not in meant]
    if missing:
        words = one_of([f"'{key}'" for key in missing]).replace(" or ", " and ")
        reading.faults.add(f"block '{written}' needs {words}", path, at="key", hint=f"{written}: {{{missing[0]}: ...}}")
    return values, keys


def _use_inputs(reading: Reading, written: str, block: Block | None, keys: NodeKeys, path: Path) -> tuple[str, ...]:
    if not keys.has("inputs"):
        if block is not None and len(block.inputs) > 1:
            text = f"block '{written}' needs 'inputs': {', '.join(block.inputs)}"
            reading.faults.add(text, path, at="key")
            return ()
        return reading.previous(path)
    below, value = (*path, "inputs"), keys.inputs
    if isinstance(value, dict) and block is not None and set(value) == set(block.inputs):
        found = [reading.tensor(value[name], (*below, name)) for name in block.inputs]
        return tuple(tensor for tensor in found if tensor is not None)
    names = as_list(value)
    if block is not None and len(names) != len(block.inputs):
        words = f" ({', '.join(block.inputs)})" if len(block.inputs) > 1 else ""
        text = f"block '{written}' takes {counted(len(block.inputs), 'input')}{words}, got {len(names)}"
        reading.faults.add(text, below)
    return reading.tensors(value, below) if names else ()
