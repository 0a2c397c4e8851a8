"""ONNX operations for the transforms that look up categories, and for Keras's FeatureSpace."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from kerascli.data.base import Field, FittedState, Transform
from kerascli.data.transforms.feature_space import FeatureSpace
from kerascli.data.transforms.integer_lookup import IntegerLookup
from kerascli.data.transforms.lookup import Lookup
from kerascli.interop.onnx_preprocessing.ops import ML, OnnxOps, Value

_DROPPED, _UNKNOWN, _MISSING = -1, -2, -3

Convert = Callable[[OnnxOps, Value, Transform, Field, FittedState], Value]


def lookup(ops: OnnxOps, value: Value, step: Lookup, field: Field, learned: FittedState) -> Value:
    if step.invert:
        raise ValueError("indices are mapped back to a vocabulary")
    places = step.places()
    is_remainder = isinstance(step, IntegerLookup) and step.oov_method == "floormod"
    if places > 1 and not is_remainder:
        raise ValueError("several OOV indices are chosen by a hash: use num_oov_indices: 1")
    found = _looked_up(ops, value, _table(step, learned, value.dtype == "string"), value.dtype == "string")
    unknown = ops.add("Equal", found.name, ops.constant(np.array(_UNKNOWN)))
    missing = ops.add("Equal", found.name, ops.constant(np.array(_MISSING)))
    found = ops.guarded(found, missing if places else ops.add("Or", unknown, missing))
    if places:
        first = ops.constant(np.array(step.masks()))
        if places > 1:
            remainder = ops.binary("Mod", ops.cast(value, "int64"), np.array(places))
            first = ops.binary("Add", remainder, np.array(step.masks())).name
        found = replace(found, name=ops.add("Where", unknown, first, found.name))
    width = step.width(learned, target=False)
    if step.output_mode != "tf_idf":
        return ops.encoded(found, step.output_mode, width)
    weights = learned.arrays["idf_weights"].astype(np.float32)
    return ops.binary("Mul", ops.encoded(found, "count", width), np.pad(weights, (0, width - len(weights))))


def _table(step: Lookup, learned: FittedState, is_text: bool) -> dict[object, int]:
    """Return a mapping from each value that a lookup transform knows to its index, as in `Lookup.apply`."""
    table: dict[object, int] = {entry: n for n, entry in enumerate(learned.facts["vocabulary"], step.first())}
    if step.mask_token is not None:
        table[step.mask_token] = 0 if step.masks() else _DROPPED
    if is_text and step.mask_token != "":
        table[""] = _MISSING
    return table


def _looked_up(ops: OnnxOps, value: Value, table: Mapping[object, int], is_text: bool) -> Value:
    value = value if is_text else ops.cast(value, "int64")
    keys = {"keys_strings" if is_text else "keys_int64s": list(table)}
    numbers = list(table.values())
    name = ops.add("LabelEncoder", value.name, domain=ML, values_int64s=numbers, default_int64=_UNKNOWN, **keys)
    return Value(name, "int64", value.shape)


def feature_space(
    ops: OnnxOps, columns: Mapping[str, Value], step: FeatureSpace, field: Field, learned: FittedState, convert: Convert
) -> Value:
    """Convert the transforms of each feature in a FeatureSpace by `convert`; return the joined features. Raises
    ValueError for crosses."""
    if step.crosses:
        raise ValueError("crosses are hashes, which ONNX has no operation for")
    parts: list[Value] = []
    for part in step.fitted(field, learned):
        value = columns[part.name]
        for transform, before, found in zip(part.steps, part.fields, part.learned, strict=False):
            value = convert(ops, value, transform, before, found)
        value = ops.reshape(value, (-1,), (None,))
        if part.encoding == "one_hot":
            assert part.width is not None
            value = ops.encoded(ops.cast(value, "int64"), "multi_hot", part.width)
        parts.append(ops.cast(value, "float32"))
    name = ops.add("Concat", *(part.name for part in parts), axis=1)
    return Value(name, "float32", step.infer(field, learned, target=False).shape)
