"""Convert data pipelines to ONNX operations, which compute the model's inputs from raw columns."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from kerascli.data.base import Field, FittedState, Transform
from kerascli.data.pipeline.named_pipeline import NamedPipeline
from kerascli.data.pipeline.pipeline import NARROW, FittedPipeline
from kerascli.data.transforms.cast import Cast
from kerascli.data.transforms.datetime import DateTime
from kerascli.data.transforms.elementwise import Log, Log1p, Sqrt
from kerascli.data.transforms.impute import Impute
from kerascli.data.transforms.lookup import Lookup
from kerascli.data.transforms.reshape import Reshape
from kerascli.data.transforms.string_lookup import StringLookup
from kerascli.data.transforms.text_vectorization import TextVectorization
from kerascli.data.transforms.to_categorical import ToCategorical
from kerascli.features.category_encoding import CategoryEncodingTransform
from kerascli.features.discretization import DiscretizationTransform
from kerascli.features.feature_space import FeatureSpace
from kerascli.features.hashing import HashedCrossingTransform, HashingTransform
from kerascli.features.integer_lookup import IntegerLookupTransform
from kerascli.features.normalization import NormalizationTransform
from kerascli.features.rescaling import RescalingTransform
from kerascli.foundation.errors import ConfigError, Fault
from kerascli.interop.onnx_preprocessing import numbers
from kerascli.interop.onnx_preprocessing.ops import ML, OnnxOps, RawInput, Value

_REASONS: dict[type[Transform], str] = {
    TextVectorization: "replace characters: StringNormalizer's lower case is not ASCII's, and it keeps punctuation",
    DateTime: "read dates in texts: give their parts as columns of numbers, and leave datetime out",
    HashingTransform: "hash by FarmHash or SipHash: a string_lookup or integer_lookup keeps its table in the file",
    HashedCrossingTransform: "hash by FarmHash: a string_lookup of a column with both values keeps a table in it",
}
"""Mapping from transform to what ONNX has no operations to do, which it needs, and another way if there is one."""
_HINT = "apply it before the model, and export without --preprocessing"


def raw_inputs(pipelines: Mapping[str, FittedPipeline], fields: Mapping[str, Field]) -> list[RawInput]:
    """Return the columns that `pipelines` need, in order, as inputs of an ONNX graph.

    Integers that `impute` fills are floats there, since integers cannot be missing. Raises ConfigError.
    """
    filled: dict[str, bool] = {}
    for each in pipelines.values():
        steps = each.named.pipeline.steps
        for column in each.columns:
            is_filled = bool(steps) and steps[0].transform.fills_missing
            filled[column] = filled.get(column, False) or is_filled
    inputs: list[RawInput] = []
    for column, is_filled in filled.items():
        field = fields[column]
        if field.dtype in {"sequence", "unknown"}:
            raise ConfigError(
                f"--preprocessing: the column '{column}' holds sequences of different lengths", hint=_HINT
            )
        dtype = "float64" if is_filled and field.dtype.startswith(("int", "uint")) else field.dtype
        inputs.append(RawInput(column, dtype, field.shape))
    return inputs


def tensor_of(ops: OnnxOps, pipeline: FittedPipeline, raw: Mapping[str, Value]) -> Value:
    """Add ONNX operations for `predict`'s checks and a pipeline's steps that run once over all rows (not per batch);
    return their tensor.

    Raises ConfigError for a transform that ONNX has no operations for.
    """
    named, fields = pipeline.named, pipeline.fields
    values = {column: raw[column] for column in named.pipeline.columns}
    value = None if named.pipeline.takes_columns else _read(ops, values, named, fields[0])
    until = pipeline.until
    for index, each in enumerate(pipeline.steps[:until]):
        step, state = each.transform, each.state
        try:
            if value is None and isinstance(step, FeatureSpace):
                value = feature_space(ops, values, step, fields[index], state, converted)
            else:
                value = converted(ops, value, step, fields[index], state)
        except ValueError as error:
            text = f"--preprocessing: {named.section}.{named.name} ({step.component_name}): {error}"
            raise ConfigError(Fault(text, hint=_HINT)) from None
    assert value is not None, "a pipeline of columns has a step that takes them"
    value = ops.finite(value)
    if until < len(named.pipeline.steps):
        value = _in_range(ops, value, named.pipeline.steps[until].transform, fields[until])
    return ops.cast(value, NARROW.get(value.dtype, value.dtype))


def converted(ops: OnnxOps, value: Value | None, step: Transform, field: Field, learned: FittedState) -> Value:
    """Add the ONNX operations of one transform; return their result. Raises ValueError if ONNX has none for it."""
    convert = CONVERTERS.get(type(step))
    if convert is None or value is None:
        reason = _REASONS.get(type(step))
        raise ValueError(f"ONNX has no operations {f'to {reason}' if reason else f'for {step.component_name}'}")
    return convert(ops, value, step, field, learned)


def _read(ops: OnnxOps, values: Mapping[str, Value], named: NamedPipeline, field: Field) -> Value:
    """Return a pipeline's raw columns as one tensor (stacked if several), in the dtype that they have in training."""
    is_filled = bool(named.pipeline.steps) and named.pipeline.steps[0].transform.fills_missing
    parts: list[Value] = []
    for value in values.values():
        alike = value if field.is_text or (is_filled and value.is_float) else numbers.converted(ops, value, field.dtype)
        parts.append(alike)
    if not named.pipeline.stacked:
        return parts[0]
    last = ops.constant(np.array([-1], np.int64))
    wide = next((part.dtype for part in parts if part.is_float), field.dtype)
    names: list[str] = []
    for part in parts:
        part = part if field.is_text else ops.cast(part, wide)
        names.append(part.name if part.shape else ops.add("Unsqueeze", part.name, last))
    return Value(ops.add("Concat", *names, axis=-1), wide, field.shape)


def _in_range(ops: OnnxOps, value: Value, step: Transform, field: Field) -> Value:
    """Return category ids unchanged, but let the ONNX run fail for ids that `step` (run per batch) cannot encode."""
    if isinstance(step, CategoryEncodingTransform):
        count = step.num_tokens
    elif isinstance(step, ToCategorical):
        count = step.num_classes or field.num_classes or field.vocabulary_size
    else:
        return value
    wide = ops.cast(value, "int64")
    if count is None:
        return value
    below, above = (ops.binary(op, wide, np.array(n)).name for op, n in (("Less", 0), ("GreaterOrEqual", count)))
    return ops.cast(ops.guarded(wide, ops.add("Or", below, above)), value.dtype)


_DROPPED, _UNKNOWN, _MISSING = -1, -2, -3

Convert = Callable[[OnnxOps, Value, Transform, Field, FittedState], Value]


def lookup(ops: OnnxOps, value: Value, step: Lookup, field: Field, learned: FittedState) -> Value:
    if step.invert:
        raise ValueError("indices are mapped back to a vocabulary")
    places = step.places()
    is_remainder = isinstance(step, IntegerLookupTransform) and step.oov_method == "floormod"
    if places > 1 and not is_remainder:
        raise ValueError("several OOV indices are chosen by a hash: use num_oov_indices: 1")
    indices = _looked_up(ops, value, _table(step, learned, value.dtype == "string"), value.dtype == "string")
    unknown = ops.add("Equal", indices.name, ops.constant(np.array(_UNKNOWN)))
    missing = ops.add("Equal", indices.name, ops.constant(np.array(_MISSING)))
    indices = ops.guarded(indices, missing if places else ops.add("Or", unknown, missing))
    if places:
        first = ops.constant(np.array(step.masks()))
        if places > 1:
            remainder = ops.binary("Mod", ops.cast(value, "int64"), np.array(places))
            first = ops.binary("Add", remainder, np.array(step.masks())).name
        indices = replace(indices, name=ops.add("Where", unknown, first, indices.name))
    width = step.width(learned, target=False)
    if step.output_mode != "tf_idf":
        return ops.encoded(indices, step.output_mode, width)
    weights = learned.arrays["idf_weights"].astype(np.float32)
    return ops.binary("Mul", ops.encoded(indices, "count", width), np.pad(weights, (0, width - len(weights))))


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
    widths = step.parts(field, learned)
    for name, links in step.chains(field, learned).items():
        value, (encoding, width) = columns[name], widths[name]
        for link in links:
            value = convert(ops, value, link.transform, link.field, link.state)
        value = ops.reshape(value, (-1,), (None,))
        if encoding == "one_hot":
            value = ops.encoded(ops.cast(value, "int64"), "multi_hot", width or 0)
        parts.append(ops.cast(value, "float32"))
    name = ops.add("Concat", *(part.name for part in parts), axis=1)
    return Value(name, "float32", step.infer(field, learned, target=False).shape)


CONVERTERS: dict[type[Transform], Callable[[OnnxOps, Value, Any, Field, FittedState], Value]] = {
    Impute: numbers.impute, NormalizationTransform: numbers.normalization, RescalingTransform: numbers.rescaling,
    DiscretizationTransform: numbers.discretization, Log: numbers.elementwise, Log1p: numbers.elementwise,
    Sqrt: numbers.elementwise, Cast: numbers.cast, Reshape: numbers.reshape,
    StringLookup: lookup, IntegerLookupTransform: lookup,
}  # fmt: skip
"""Mapping from each transform that runs once over all rows (not per batch), except FeatureSpace, to the function that
adds its ONNX operations."""
