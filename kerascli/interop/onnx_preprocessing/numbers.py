"""ONNX operations for transforms of numbers, in the dtypes in which kerascli computes them, and for a model's outputs.

Outputs become class names and probabilities, or values in a column's units.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kerascli.data.base import Field, FittedState, Transform
from kerascli.data.transforms.cast import Cast
from kerascli.data.transforms.elementwise import Elementwise, Log, Log1p, Sqrt
from kerascli.data.transforms.impute import Impute
from kerascli.data.transforms.reshape import Reshape
from kerascli.features.discretization import DiscretizationTransform
from kerascli.features.normalization import NormalizationTransform, deviation_of
from kerascli.features.rescaling import RescalingTransform
from kerascli.foundation.errors import ConfigError
from kerascli.interop.onnx_preprocessing.ops import ML, OnnxOps, Value
from kerascli.training.classes import ClassReading


def impute(ops: OnnxOps, value: Value, step: Impute, field: Field, learned: FittedState) -> Value:
    if value.dtype == "string":
        fill = ops.constant(_row(np.array(learned.facts["fill"], object), value))
        missing = ops.add("Equal", value.name, ops.constant(np.array([""], object)))
        return replace(value, name=ops.add("Where", missing, fill, value.name))
    if value.is_float:
        fill = ops.constant(_row(learned.arrays["fill"].astype(value.dtype), value))
        value = replace(value, name=ops.add("Where", ops.add("IsNaN", value.name), fill, value.name))
    return converted(ops, value, step.infer(field, learned, target=False).dtype)


def _row(fill: np.ndarray, value: Value) -> np.ndarray:
    """Return the values that replace missing numbers: one for each feature (last axis), or a single one if a row is one
    number."""
    return fill if value.shape else fill[:1]


def normalization(
    ops: OnnxOps, value: Value, step: NormalizationTransform, field: Field, learned: FittedState
) -> Value:
    return normalized(ops, value, learned, invert=step.invert)


def normalized(ops: OnnxOps, value: Value, learned: FittedState, *, invert: bool) -> Value:
    """Add ONNX operations that normalize numbers by the learned mean and variance, in float64; with `invert`, that undo
    it."""
    mean, deviation = learned.arrays["mean"], deviation_of(learned.arrays["variance"])
    value = ops.cast(value, "float64")
    if invert:
        return ops.binary("Add", ops.binary("Mul", value, deviation), mean)
    return ops.binary("Div", ops.binary("Sub", value, mean), deviation)


def rescaling(ops: OnnxOps, value: Value, step: RescalingTransform, field: Field, learned: FittedState) -> Value:
    scaled = ops.binary("Mul", ops.cast(value, "float64"), np.asarray(step.scale, "float64"))
    return ops.binary("Add", scaled, np.asarray(step.offset, "float64"))


def discretization(
    ops: OnnxOps, value: Value, step: DiscretizationTransform, field: Field, learned: FittedState
) -> Value:
    boundaries = learned.arrays["bin_boundaries"] if step.bin_boundaries is None else step.bin_boundaries
    bounds = np.asarray(boundaries, np.float32)
    numbers = ops.cast(ops.finite(value), "float32")
    wide = ops.add("Unsqueeze", numbers.name, ops.constant(np.array([-1], np.int64)))
    reached = ops.cast(Value(ops.add("GreaterOrEqual", wide, ops.constant(bounds)), "bool", ()), "int64")
    bins = ops.add("ReduceSum", reached.name, ops.constant(np.array([-1], np.int64)), keepdims=0)
    return ops.encoded(Value(bins, "int64", value.shape), step.output_mode, len(bounds) + 1)


def elementwise(ops: OnnxOps, value: Value, step: Elementwise, field: Field, learned: FittedState) -> Value:
    value = ops.cast(value, "float64")
    compare, least = {Log: ("LessOrEqual", 0.0), Log1p: ("LessOrEqual", -1.0), Sqrt: ("Less", 0.0)}[type(step)]
    value = ops.guarded(value, ops.binary(compare, value, np.array(least)).name)
    if isinstance(step, Log1p):
        return log1p(ops, value)
    return replace(value, name=ops.add("Log" if isinstance(step, Log) else "Sqrt", value.name))


def log1p(ops: OnnxOps, x: Value) -> Value:
    """Compute log(1 + x) in float64 without the loss of digits near 0: log(u) * x / (u - 1) with u = 1 + x (Kahan)."""
    u = ops.binary("Add", x, np.array(1.0))
    less = ops.binary("Sub", u, np.array(1.0)).name
    near = ops.add("Equal", less, ops.constant(np.array(0.0)))
    quotient = ops.add("Div", ops.add("Mul", ops.add("Log", u.name), x.name), less)
    return replace(x, name=ops.add("Where", near, x.name, quotient))


def expm1(ops: OnnxOps, x: Value) -> Value:
    """Compute exp(x) - 1 in float64 without the loss of digits near 0: (u - 1) * x / log(u) with u = exp(x) (Kahan)."""
    u = replace(x, name=ops.add("Exp", x.name))
    less = ops.binary("Sub", u, np.array(1.0)).name
    log = ops.add("Log", u.name)
    exact = ops.add("Div", ops.add("Mul", less, x.name), log)
    is_small = ops.add("Less", ops.add("Abs", x.name), ops.constant(np.array(0.5)))
    near = ops.add("Equal", log, ops.constant(np.array(0.0)))
    return replace(x, name=ops.add("Where", near, x.name, ops.add("Where", is_small, exact, less)))


def cast(ops: OnnxOps, value: Value, step: Cast, field: Field, learned: FittedState) -> Value:
    if value.dtype == "string":
        raise ValueError("numbers in text are read before the export: let the source read the column as numbers")
    return converted(ops, value, step.dtype)


def converted(ops: OnnxOps, value: Value, dtype: str) -> Value:
    """Convert numbers to a dtype as `storage.convert.converted` does; the ONNX run fails if the dtype cannot hold a
    number."""
    if value.is_float and not dtype.startswith("float"):
        value = ops.finite(value)
        whole = ops.add("Equal", value.name, ops.add("Floor", value.name))
        value = ops.guarded(value, ops.add("Not", whole))
    if dtype == "bool" or (dtype.startswith(("int", "uint")) and value.dtype != dtype and dtype != "int64"):
        least, most = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        wide = ops.cast(value, "float64")
        below, above = (ops.binary(op, wide, np.array(float(n))).name for op, n in (("Less", least), ("Greater", most)))
        value = ops.guarded(wide, ops.add("Or", below, above))
    return ops.cast(value, dtype)


def reshape(ops: OnnxOps, value: Value, step: Reshape, field: Field, learned: FittedState) -> Value:
    return ops.reshape(value, step.target_shape, step.infer(field, learned, target=False).shape)


Undone = Sequence[tuple[Transform, Field, FittedState]]
"""Type of the transforms of a target to undo, in order: (transform, facts (dtype, shape ...) about its input, what it
learned)."""


def probabilities_of(ops: OnnxOps, output: Value, reading: ClassReading) -> Value:
    """Add ONNX operations that compute each class's probability from a model output; return the probabilities (batch,
    classes)."""
    output = ops.cast(output, "float32")
    if not reading.binary:
        if not reading.from_logits:
            return output
        return replace(output, name=ops.add("Softmax", output.name, axis=-1))
    second = ops.add("Sigmoid", output.name) if reading.from_logits else output.name
    second = ops.reshape(replace(output, name=second), (1,), (1,))
    first = ops.add("Sub", ops.constant(np.ones(1, np.float32)), second.name)
    return Value(ops.add("Concat", first, second.name, axis=1), "float32", (2,))


def classes_of(ops: OnnxOps, probabilities: Value, reading: ClassReading) -> Value:
    """Add ONNX operations that find the name of each row's most probable class; return the tensor of these names
    (batch,)."""
    number = ops.add("ArgMax", probabilities.name, axis=1, keepdims=0)
    numbers_of_classes = list(range(len(reading.names)))
    name = ops.add(
        "LabelEncoder", number, domain=ML, keys_int64s=numbers_of_classes, values_strings=list(reading.names)
    )
    return Value(name, "string", ())


def in_units(ops: OnnxOps, output: Value, target: Field, undone: Undone) -> Value:
    """Add ONNX operations that undo a target's transforms on a model output; return the result, in float64. Raises
    ConfigError."""
    value = ops.reshape(ops.cast(output, "float64"), _sizes(target), target.shape)
    for transform, before, learned in undone:
        value = _undo(ops, value, transform, before, learned)
    return ops.reshape(value, _sizes(output), output.shape)


def _sizes(field: Field | Value) -> tuple[int, ...]:
    return tuple(-1 if size is None else size for size in field.shape)


def _undo(ops: OnnxOps, value: Value, transform: Transform, before: Field, learned: FittedState) -> Value:
    match transform:
        case NormalizationTransform():
            return normalized(ops, value, learned, invert=not transform.invert)
        case RescalingTransform():
            shifted = ops.binary("Sub", value, np.asarray(transform.offset, "float64"))
            return ops.binary("Div", shifted, np.asarray(transform.scale, "float64"))
        case Log():
            return replace(value, name=ops.add("Exp", value.name))
        case Log1p():
            return expm1(ops, value)
        case Sqrt():
            return replace(value, name=ops.add("Mul", value.name, value.name))
        case Reshape():
            return ops.reshape(value, _sizes(before), before.shape)
        case Impute() | Cast():
            return value
    raise ConfigError(f"--preprocessing: ONNX has no operations that undo {transform.component_name}")
