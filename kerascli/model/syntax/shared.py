"""Read `model.shared`: layers and models that are defined once and called by name."""

from dataclasses import replace
from typing import Any

from kerascli.foundation.errors import Path, show
from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import Invalid
from kerascli.model.ir.nodes import Shared, flat
from kerascli.model.syntax.inputs import read_input
from kerascli.model.syntax.layers import read_settings
from kerascli.model.syntax.names import Names
from kerascli.model.syntax.reader import ReadBody, Reading
from kerascli.model.syntax.schema import SharedSection
from kerascli.model.syntax.written import take_apart


def read_shared(reading: Reading, section: Any, base: Path, read: ReadBody) -> tuple[Shared, ...]:
    """Return the layers and models of a `shared` section; each may be called by those defined after it and by the
    model's layers."""
    if section is None:
        return ()
    path = (*base, "shared")
    if not isinstance(section, dict):
        text = f"model.shared: expected a mapping of names to layers or models, got {show(section)}"
        reading.faults.add(text, path)
        return ()
    found: list[Shared] = []
    unread = reading.unread
    for number, (name, written) in enumerate(section.items()):
        reading.unread = (*unread, *map(str, [*section][number:]))
        below = (*path, name)
        before = len(reading.faults.found)
        reading.check_name(name, below, at="key")
        if name == "repeat":
            reading.faults.add("'repeat' is a keyword; choose another name", below, at="key")
        if len(reading.faults.found) > before:
            continue
        is_model = isinstance(written, dict) and "layers" in written
        shared = (_model if is_model else _layer)(reading, str(name), written, below, read)
        if shared is None or len(reading.faults.found) > before:
            reading.shared[str(name)] = None
        else:
            reading.shared[str(name)] = shared
            found.append(shared)
    reading.unread = unread
    return tuple(found)


def _layer(reading: Reading, name: str, written: Any, path: Path, read: ReadBody) -> Shared | None:
    try:
        node = take_apart(written, path, reading.faults)
    except Invalid as invalid:
        reading.faults.absorb(invalid, path)
        return None
    if beside := {*node.keys.model_fields_set, *node.call}:
        settings = written[node.written] if isinstance(written[node.written], dict) else {}
        key = next((key for key in settings if key in beside), min(beside))
        text = f"'{name}' is shared: '{key}' belongs to its calls"
        reading.faults.add(text, (*node.path, key) if key in settings else node.path, at="key")
    if node.cls.call_form == "names":
        text = f"{node.cls.component_name} names its inputs itself; share a model that contains it"
        reading.faults.add(text, node.path, at="key", hint=f"{name}: {{layers: [{node.written}: ...]}}")
    layer = read_settings(reading, node)
    weights = f"{reading.prefix}{name}"
    return layer and Shared(name, weights, {}, layer=layer, path=reading.place(node.path))


def _model(reading: Reading, name: str, written: dict[str, Any], path: Path, read: ReadBody) -> Shared | None:
    model = reading.faults.read(SharedSection, written, path, f"the shared model '{name}'")
    weights = f"{reading.prefix}{name}"
    inner = replace(
        reading,
        prefix=f"{weights}/",
        names=Names(),
        entries=[],
        inputs=(),
        shared=reading.shared.new_child(),
        open_shared=(*reading.open_shared, name),
    )
    inputs = _inputs(inner, name, model.inputs, (*path, "inputs"))
    inner.inputs = tuple(inputs)
    before = len(reading.faults.found)
    read_shared(inner, model.shared, path, read)
    outputs = read(inner, model, path)
    if len(reading.faults.found) == before and not inner.names.has_broken():
        _check_use(inner, name, outputs, path)
    reading.faults.is_flag(model.trainable, (*path, "trainable"))
    entries = inner.entries if model.trainable else [entry.frozen() for entry in inner.entries]
    own = tuple(shared for shared in inner.shared.maps[0].values() if shared is not None)
    meanings = inner.names.meanings()
    return Shared(
        name, weights, inputs, tuple(entries), outputs, own, None, model.trainable, meanings, reading.place(path)
    )


def _check_use(inner: Reading, name: str, outputs: tuple[str, ...], path: Path) -> None:
    """Report config errors for a shared model that has no outputs, or inputs that its layers do not use."""
    if not outputs:
        inner.faults.add(f"the shared model '{name}' has no output", path, at="key", hint="add outputs: [...]")
    used = {*outputs, *(tensor for node in flat(inner.entries) for tensor in node.used_names())}
    for given in inner.inputs:
        if given not in used:
            inner.faults.add(f"input '{given}' is not used by '{name}'", path, at="key")


def _inputs(inner: Reading, name: str, declared: Any, path: Path) -> dict[str, TensorSpec | None]:
    """Return a shared model's inputs by name, each with its spec if declared, else None; by default one, `input`."""
    if declared is None:
        inner.names.define_inputs({"input": "input"})
        inner.names.previous = "input"
        return {"input": None}
    if not isinstance(declared, (dict, list)) or not declared:
        text = f"the inputs of '{name}': expected names, or a mapping of names to shapes, got {show(declared)}"
        inner.faults.add(text, path, hint="inputs: [a, b], or inputs: {a: [28, 28, 1], b: [10]}")
        inner.names.inputs_known = False
        inner.names.previous = "?"
        return {"input": None}
    inputs: dict[str, TensorSpec | None] = {}
    for index, each in enumerate(declared):
        where = (*path, each if isinstance(declared, dict) else index)
        inner.check_name(each, where, at="key" if isinstance(declared, dict) else "value")
        value = declared[each] if isinstance(declared, dict) else None
        inputs[str(each)] = None
        try:
            inputs[str(each)] = None if value is None else read_input(str(each), value, None)
        except Invalid as invalid:
            inner.faults.absorb(invalid, where)
        inner.names.give(str(each), inner.place(where))
    inner.names.previous = next(iter(inputs)) if len(inputs) == 1 else None
    return inputs
