"""ONNX operations after a model: they turn its outputs into class names and probabilities, or into values in a column's
units."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kerascli.data.base import Field, FittedState, Transform
from kerascli.data.transforms.cast import Cast
from kerascli.data.transforms.elementwise import Log, Log1p, Sqrt
from kerascli.data.transforms.impute import Impute
from kerascli.data.transforms.normalization import Normalization
from kerascli.data.transforms.rescaling import Rescaling
from kerascli.data.transforms.reshape import Reshape
from kerascli.foundation.errors import ConfigError
from kerascli.interop.onnx_preprocessing import numbers
from kerascli.interop.onnx_preprocessing.ops import ML, OnnxOps, Value
from kerascli.training.classes import ClassReading

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
        case Normalization():
            return numbers.normalized(ops, value, learned, invert=not transform.invert)
        case Rescaling():
            shifted = ops.binary("Sub", value, np.asarray(transform.offset, "float64"))
            return ops.binary("Div", shifted, np.asarray(transform.scale, "float64"))
        case Log():
            return replace(value, name=ops.add("Exp", value.name))
        case Log1p():
            return numbers.expm1(ops, value)
        case Sqrt():
            return replace(value, name=ops.add("Mul", value.name, value.name))
        case Reshape():
            return ops.reshape(value, _sizes(before), before.shape)
        case Impute() | Cast():
            return value
    raise ConfigError(f"--preprocessing: ONNX has no operations that undo {transform.component_name}")
