"""Read blocks (`model.blocks`, templates of layers), their uses in `layers`, and `repeat` items of `layers`."""

from collections.abc import Sequence
from typing import Any

from kerascli.foundation.errors import Path, nearest, one_of, show, suggestion
from kerascli.foundation.replaced import replaced
from kerascli.language.expressions import Value
from kerascli.language.expressions.template import names_referred_to
from kerascli.language.section import Written, key_names, keys_of, unknown_keys
from kerascli.model.ir.nodes import Use
from kerascli.model.syntax.reader import MODEL, Block, Reading, as_list
from kerascli.model.syntax.schema import BlockSection, NodeKeys, RepeatEach, RepeatTimes

_KEYS = (*key_names(RepeatTimes)[:-1], *key_names(RepeatEach))
"""Keys of a `repeat` (with `times` or with `each`) for error messages; `layers`, which both forms have, comes last."""


def read_repeat(reading: Reading, arguments: Any, entry: Path) -> None:
    """Add the layers in a `repeat` item of `layers` to the model, once for each repetition.

    `arguments` is the item's value, `entry` its config path.
    """
    path = (*entry, "repeat")
    before = reading.faults.count
    repetitions = _variables(reading, arguments, path)
    if reading.faults.count > before:
        reading.mark_broken()
        return
    for values in repetitions:
        variables = replaced(reading, "variables", reading.variables | values)
        with variables, reading.names.inside(sees_outside=True):
            reading.budget.spend(1, path, reading.faults)
            reading.read_entries(arguments["layers"], (*path, "layers"))


def _variables(reading: Reading, arguments: Any, path: Path) -> list[dict[str, Value]]:
    """Return a list of the variables (name -> value) in each repetition of a `repeat`; it is empty after a config
    error."""
    add, example = reading.faults.add, "repeat: {times: 3, layers: [...]}"
    if not _has_layers(arguments):
        add("repeat needs 'layers', a list of layers", path, "key", hint=example)
        return []
    reading.faults.take(unknown_keys(arguments, _KEYS, "repeat", path, listed="repeat has"))
    if ("times" in arguments) == ("each" in arguments):
        add("repeat needs either 'times' or 'each'", path, "key", hint=example)
        return []
    forms = (("times", "index"), ("each", "as"))
    (key, variable), (of, other) = forms if "times" in arguments else forms[::-1]
    given, name = arguments[key], arguments.get(variable)
    values: Sequence[Value] = given if isinstance(given, list) else []
    if key == "times":
        values = _counted(reading, given, (*path, key))
    elif not isinstance(given, list):
        add(f"repeat: each: expected a list of values, got {show(given)}", (*path, key))
    if key == "each" and name is None:
        add("repeat: 'each' needs 'as', the name of its variable", path, "key")
    if other in arguments:
        add(f"repeat: '{other}' goes with '{of}'", (*path, other), "key")
    if name is not None and not (isinstance(name, str) and name.isidentifier()):
        add(f"repeat: {variable}: expected a name, got {show(name)}", (*path, variable))
    return [{name: value} if isinstance(name, str) else {} for value in values]


def _has_layers(written: Any) -> bool:
    return isinstance(written, dict) and isinstance(written.get("layers"), list) and bool(written["layers"])


def _counted(reading: Reading, times: Any, path: Path) -> Sequence[Value]:
    if type(times) is not int or times < 0:
        reading.faults.add(f"repeat: times: expected an integer of at least 0, got {show(times)}", path)
        return ()
    reading.budget.check(times, path, reading.faults)
    return range(times)


def read_blocks(reading: Reading, section: Any) -> None:
    """Record the blocks of `model.blocks` (templates of layers); their layers are read where the blocks are used."""
    what = "model.blocks: expected a mapping of names to blocks"
    for name, written in reading.items(section, what, (*MODEL, "blocks")).items():
        path = (*MODEL, "blocks", name)
        if reading.is_name_of_part(name, path):
            reading.blocks[name] = _block(reading, name, written, path)


def _block(reading: Reading, name: str, written: Any, path: Path) -> Block | None:
    faults = reading.faults
    before = faults.count
    if not _has_layers(written):
        hint = f"{name}: {{parameters: {{units: 16}}, layers: [...]}}"
        faults.add(f"block '{name}': expected a mapping with 'layers', a list of layers", path, "key", hint=hint)
        return None
    block = faults.read(BlockSection, written, path, f"block '{name}'")
    parameters = block.parameters or {}
    if not isinstance(parameters, dict):
        text = f"block '{name}': parameters: expected a mapping of names to defaults, got {show(parameters)}"
        faults.add(text, (*path, "parameters"))
        return None
    _check_parameters(reading, name, parameters, [block.layers, block.outputs], (*path, "parameters"))
    inputs = block.inputs if block.has("inputs") else ["input"]
    names = list(inputs) if isinstance(inputs, dict) else as_list(inputs)
    if not names or not all(isinstance(each, str) for each in names) or len(set(names)) < len(names):
        faults.add(f"block '{name}': inputs: expected a list of names, got {show(inputs)}", (*path, "inputs"))
    defaults = reading.resolved(parameters, (*path, "parameters"), {})
    return None if faults.count > before else Block(defaults, tuple(names), block.layers, block.outputs, path)


def _check_parameters(reading: Reading, name: str, parameters: Written, body: Any, path: Path) -> None:
    """Report a config error for each parameter of a block that has no valid name, or to which neither the block's
    layers nor its outputs refer."""
    used = names_referred_to(body)
    for key in parameters:
        if key in key_names(NodeKeys) or not str(key).isidentifier():
            reading.faults.add(f"block '{name}': a parameter cannot be called '{key}'", (*path, key), "key")
        elif key not in used and not any(nearest(each, [key]) for each in used):  # else a use reports the misspelling
            hint = f"write ${key} in the block, or remove the parameter"
            reading.faults.add(f"block '{name}': parameter '{key}' is never used", (*path, key), "key", hint=hint)


def read_use(reading: Reading, written: str, arguments: Any, entry: Path) -> None:
    """Add the layers of the block (template of layers) named `written` to the model, for one use of the block.

    `arguments` are those of the use, `entry` is its config path.
    """
    block, faults, names, path = reading.blocks[written], reading.faults, reading.names, (*entry, written)
    before = faults.count
    arguments = _as_mapping(reading, written, block, arguments, path)
    keys, what, below = keys_of(NodeKeys, arguments), f"block '{written}'", (*path, "inputs")
    if written in reading.open_blocks:
        text = f"{what} uses itself: {' -> '.join((*reading.open_blocks, written))}"
        faults.add(text, path, "key", hint="a block may use other blocks, not itself")
    name = reading.name(keys, path, written) if keys.has("name") or keys.has("outputs") else ""
    if block is None:
        reading.tensors(as_list(keys.inputs), below)
        reading.mark_broken(name or "?", keys)
        return
    values = _values(reading, written, block, arguments, path)
    inputs = reading.model_inputs(what, block.inputs, keys, path, below, use=what)
    is_present = reading.is_present(keys, path)
    if faults.count > before:
        reading.mark_broken(name or "?", keys)
        return
    if not is_present:
        names.previous = inputs[0]
        if keys.has("name"):
            reading.pass_on(name, inputs[0], path)
        return
    first = len(reading.entries)
    with (
        replaced(reading, "variables", reading.variables | values),
        replaced(reading, "open_blocks", (*reading.open_blocks, written)),
        replaced(faults, "uses", (*faults.uses, Use(path, "block", first))),
        names.inside(sees_outside=False),
    ):
        names.define_inputs(dict(zip(block.inputs, inputs, strict=True)))
        names.previous = inputs[0] if len(inputs) == 1 else None
        reading.read_entries(block.layers, (*block.path, "layers"))
        results = _results(reading, block)
    if faults.count > before or not results:
        reading.mark_broken(name or "?", keys)
    elif name:
        _name_results(reading, reading.results(name, len(results), keys, path), results, first, name, path)
    else:
        names.previous = results[0]


def _results(reading: Reading, block: Block) -> tuple[str, ...]:
    """Return the names of the output tensors of a block whose layers have been read: by default the last node's."""
    if block.outputs is None:
        return reading.names.previous_tensor()
    path = (*block.path, "outputs")
    return reading.tensors(reading.resolved(block.outputs, path, reading.variables), path)


def _name_results(
    reading: Reading, written: tuple[str, ...], results: tuple[str, ...], first: int, name: str, path: Path
) -> None:
    """Name the outputs of one use of a block (template of layers) as the use's key `outputs` says; tensors of nodes in
    the block are renamed."""
    renamed, names = dict[str, str](), reading.names
    made = {output for entry in reading.entries[first:] for output in entry.outputs}
    names.previous = None
    for output, tensor in zip(written, results, strict=False):
        if output == "_":
            continue
        if tensor in made and tensor not in renamed:
            renamed[tensor] = names.unique(output)
        means = renamed.get(tensor, tensor)
        names.give(output, path, means=means)
        names.previous = names.previous or means
    names.take(name, path, node=names.unique(name))
    reading.entries[first:] = [entry.renamed(renamed) for entry in reading.entries[first:]]


def _as_mapping(reading: Reading, written: str, block: Block | None, arguments: Any, path: Path) -> dict[Any, Any]:
    """Return the arguments of one use of a block as a mapping; a single value is that of the first parameter."""
    if isinstance(arguments, dict):
        return arguments
    first = None if block is None else next(iter(block.parameters), None)
    if block is not None and (arguments is None or first is None):
        problem = "has no parameters" if first is None else "is used without arguments"
        reading.faults.add(f"block '{written}' {problem}", path, "key", hint=f"write '{written}' alone")
    return {} if first is None else {first: arguments}


def _values(reading: Reading, written: str, block: Block, arguments: Written, path: Path) -> dict[str, Value]:
    """Return the values of the parameters of a block (template of layers) in one use of it."""
    parameters, node_keys = block.parameters, key_names(NodeKeys)
    unknown = [key for key in arguments if key not in parameters and key not in node_keys]
    for key in unknown:
        text = f"block '{written}' has no parameter '{key}'{suggestion(str(key), [*parameters, *node_keys])}"
        hint = f"it has {', '.join(parameters)}" if parameters else "it has none"
        reading.faults.add(text, (*path, key), "key", hint=hint)
    meant = {nearest(str(key), parameters) for key in unknown}
    values = {**parameters, **{key: value for key, value in arguments.items() if key in parameters}}
    if missing := [key for key, value in values.items() if value is None and key not in meant]:
        words = one_of([f"'{key}'" for key in missing]).replace(" or ", " and ")
        reading.faults.add(f"block '{written}' needs {words}", path, "key", hint=f"{written}: {{{missing[0]}: ...}}")
    return values
