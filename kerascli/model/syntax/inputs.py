"""Inputs of a model: from `model.inputs`, else from the data, else from the first layer's `input_shape`."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from kerascli.foundation.errors import Path, one_of, show
from kerascli.foundation.shapes import Shape, Specs, TensorSpec, is_compatible
from kerascli.language.component import Invalid
from kerascli.language.section import keys_of
from kerascli.model.ir.nodes import Input
from kerascli.model.syntax.faults import Faults
from kerascli.model.syntax.names import Names
from kerascli.model.syntax.reader import MODEL, Reading
from kerascli.model.syntax.schema import INPUT_DTYPES, FirstLayerKeys, InputSection, ModelSection


def read_inputs(
    reading: Reading, section: ModelSection, data_inputs: Specs | None, base: Path = MODEL, unread: Collection[str] = ()
) -> dict[str, Input]:
    """Return the inputs of a model by name, and define these names for the layers that follow.

    `data_inputs` is None if the data section could not be read; then a missing input is no config error. `base` is the
    config path of the section that declares inputs; `unread` names the data's inputs whose shapes are unknown until the
    data is read.
    """
    names, faults = reading.names, reading.faults
    declared, (first, first_path) = section.inputs, _first_shape(section.layers)
    names.has_inputs = data_inputs is not None or declared is not None
    if declared is not None:
        if first is not None:
            hint = "remove it, or remove model.inputs"
            faults.add("input_shape: model.inputs already declares the inputs", first_path, hint=hint)
        return read_declared(reading, declared, data_inputs or {}, base)
    if data_inputs == {} and is_of_weights(section.layers):
        return {}
    inputs = from_data(data_inputs or {})
    if first is not None:
        inputs = _with_first_shape(inputs, first, first_path, faults)
    elif unread:
        for name in unread:
            text = f"the shape of input '{name}' is unknown before the data is read"
            hint = f"declare it in model: inputs: {{{name}: [28, 28]}}"
            faults.add(text, ("data", "inputs", name), "key", hint=hint)
        names.mark_broken([*inputs, *unread])
        inputs = {}
    elif not inputs and data_inputs is not None:
        hint = "add inputs to the model, for four numbers a row inputs: {x: [4]}; or input_shape to the first layer"
        faults.add("the shape of the model's input is unknown", (*MODEL, "layers", 0), "key", hint=hint)
    _define(inputs, names, faults)
    if len(inputs) == 1:
        names.previous = next(iter(inputs))
    elif not inputs:
        reading.mark_broken()
    return inputs


def is_of_weights(layers: Any) -> bool:
    """Return True if a model begins with a layer `weight`, also in a `repeat`: it is of weights alone."""
    first = layers[0] if isinstance(layers, list) and layers else None
    if not isinstance(first, dict):
        return False
    repeat = first.get("repeat")
    return "weight" in first or (isinstance(repeat, dict) and is_of_weights(repeat.get("layers")))


def _define(inputs: Mapping[str, Input], names: Names, faults: Faults) -> None:
    """Define the names of inputs for the layers that follow; those that no input can have are config errors."""
    for name, each in inputs.items():
        if (problem := names.refuse(name)) is not None:
            hint = f"rename the input, and keep its column: {name}_input: [{{columns: {name}}}, ...]"
            hint = hint if problem.text.endswith("choose another name") else problem.hint
            faults.take([replace(problem, path=each.path, at="key", hint=hint)])
        names.give(name, each.path)


def from_data(data_inputs: Specs) -> dict[str, Input]:
    """Return the inputs that the config's data section defines, as inputs of a model, by name."""
    return {name: Input(name, spec, ("data", "inputs", name)) for name, spec in data_inputs.items()}


def _with_first_shape(inputs: dict[str, Input], written: Any, path: Path, faults: Faults) -> dict[str, Input]:
    """Return the model's input by name: made from the first layer's `input_shape`, or the data's input, checked against
    that shape."""
    if (shape := _shape(written)) is None:
        faults.add(f"input_shape: expected a list of sizes such as [784], got {show(written)}", path)
        return inputs
    if not inputs:
        return {"x": Input("x", TensorSpec(shape), path)}
    if len(inputs) > 1:
        hint = "declare them under model.inputs"
        faults.add(f"input_shape: the data has several inputs: {', '.join(inputs)}", path, hint=hint)
        return inputs
    ((name, of_data),) = inputs.items()
    if not is_compatible(shape, of_data.spec.shape):
        text = f"input_shape is {_bare(shape)}, but input '{name}' of the data has shape {_bare(of_data.spec.shape)}"
        faults.add(text, path)
    return inputs


def read_declared(reading: Reading, declared: Any, data: Specs, base: Path) -> dict[str, Input]:
    """Return the inputs that a config section declares, by name, and define these names for the layers that follow.

    `declared` is the value of the section's key `inputs`, a mapping from name to shape (or to shape and dtype); `base`
    is the section's config path. `data` maps the names of the data's inputs to their shapes and dtypes:
    an input of the same name must agree with it, and has its dtype by default.
    """
    names, faults = reading.names, reading.faults
    if not isinstance(declared, dict) or not declared:
        hint = "inputs: {x: [28, 28, 1]}"
        if data and base == MODEL:
            hint = f"leave 'inputs' out: the model takes those of data.inputs, {', '.join(data)}"
        elif isinstance(declared, list) and declared:
            hint = f"a shape follows each name, for four numbers a row inputs: {{{declared[0]}: [4]}}"
        text = f"{base[-1]}.inputs: expected a mapping of names to shapes, got {show(declared)}"
        faults.add(text, (*base, "inputs"), hint=hint)
        reading.mark_broken()
        names.mark_broken(map(str, declared) if isinstance(declared, list) else ())
        names.has_inputs = isinstance(declared, list)
        return {}
    inputs: dict[str, Input] = {}
    for key, value in declared.items():
        path, name = (*base, "inputs", key), str(key)
        if (problem := names.refuse(name)) is not None:
            faults.add(problem.text, path, "key")
        with faults.absorbing(path):
            inputs[name] = Input(name, read_input(name, value, data.get(name)), path)
            names.give(name, path)
        if name not in inputs:
            names.mark_broken([name])
    if len(declared) == 1:
        names.previous = str(next(iter(declared)))
    return inputs


def read_input(name: str, value: Any, data: TensorSpec | None) -> TensorSpec:
    """Return the shape and dtype of an input declared as `[28, 28, 1]` or `{shape: [68], dtype: int64}`.

    `data` has the shape and dtype of the data's input named `name`, which must agree. Raises Invalid (config errors).
    """
    faults = Faults()
    keys = value if isinstance(value, dict) else {"shape": value}
    declared = faults.read(InputSection, keys, (), f"input '{name}'")
    if faults.count and not declared.has("shape"):
        raise Invalid(faults.all())  # a misspelt `shape` has been reported
    shape, path = _shape(declared.shape), ("shape",) if keys is value and declared.has("shape") else ()
    dtype = declared.dtype if declared.has("dtype") else data.dtype if data is not None else "float32"
    if shape is None:
        faults.add(f"input '{name}': expected a shape such as [28, 28, 1], got {show(declared.shape)}", path)
    elif data is not None and not is_compatible(shape, data.shape):
        faults.add(f"input '{name}': declared shape {_bare(shape)}, but the data has {_bare(data.shape)}", path)
    _check_dtype(name, dtype, data, faults)
    if faults.count:
        raise Invalid(faults.all())
    assert shape is not None
    return TensorSpec(shape, dtype)


def _check_dtype(name: str, dtype: Any, data: TensorSpec | None, faults: Faults) -> None:
    """Report a config error if an input cannot have the dtype, or the data's values would be truncated to it."""
    if dtype not in INPUT_DTYPES:
        faults.add(f"input '{name}': dtype: expected {one_of(INPUT_DTYPES)}, got {show(dtype)}", ("dtype",))
    elif data is not None and not data.is_integer and TensorSpec((), dtype).is_integer:
        faults.add(f"input '{name}': dtype {dtype} would truncate the data, which is {data.dtype}", ("dtype",))


def _first_shape(layers: list[Any]) -> tuple[Any, Path]:
    """Return the `input_shape` of a model's first layer and its config path; (None, ()) if the layer has none."""
    first = layers[0]
    if isinstance(first, dict) and len(first) == 1:
        ((name, arguments),) = first.items()
        if isinstance(arguments, dict):
            return keys_of(FirstLayerKeys, arguments).input_shape, (*MODEL, "layers", 0, name, "input_shape")
    return None, ()


def _shape(value: Any) -> Shape | None:
    if not isinstance(value, list):
        return None
    sizes = [size for size in value if size is None or (type(size) is int and size > 0)]
    return tuple(sizes) if len(sizes) == len(value) else None


def _bare(shape: Shape) -> str:
    return "[" + ", ".join("null" if size is None else str(size) for size in shape) + "]"
