"""Fields of a pipeline file (a run's preprocessing as JSON), its arrays, and checks of the components in it.

The JSON Schema of the format is generated from the fields.
"""

import base64
import binascii
import math
from collections.abc import Iterator
from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from kerascli.data.base import InFolder, file_name
from kerascli.data.sources.python import Python
from kerascli.foundation.shapes import NonNegativeInt
from kerascli.language.component import Component

FORMAT = "kerascli-pipeline"
VERSION = 1


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class ArrayText(_Part):
    """Array of numbers in row-major order, stored as a list or as bytes in base64."""

    dtype: Literal["float32", "float64", "int32", "int64"]
    """Data type of the numbers."""
    shape: list[NonNegativeInt] = Field(max_length=16)
    """Size of each axis of the array; an empty list is one number."""
    values: list[int | float] | None = None
    """Numbers of the array; null if `base64` has them. Written so that they are read back exactly."""
    base64: str | None = None
    """Numbers of the array as little-endian bytes in base64, which kerascli writes for more than 1,000 numbers."""

    @model_validator(mode="after")
    def _has_one_form(self) -> Self:
        if (self.values is None) == (self.base64 is None):
            raise ValueError("expected 'values' or 'base64'")
        return self


class LearnedState(_Part):
    """State of a transform learned from the training rows: integers and texts, and arrays."""

    facts: dict[str, Any] = {}
    """Learned integers, texts and lists of these, by name: `vocabulary`, `max_length` ..."""
    arrays: dict[str, ArrayText] = {}
    """Learned arrays, by name: `mean`, `variance`, `bin_boundaries` ..."""


class Fitted(_Part):
    """Transform with all its settings and its learned state."""

    transform: str | dict[str, Any]
    """Name of the transform, or a mapping from its name to all of its settings, as in a config."""
    learned: LearnedState = LearnedState()


class StepText(_Part):
    """Step of a pipeline: a transform of this pipeline alone, or the name of a transform that several pipelines
    share."""

    transform: str | dict[str, Any] | None = None
    """Name of the transform, or a mapping from its name to all of its settings; null if the step names a shared one."""
    learned: LearnedState = LearnedState()
    shared: str | None = None
    """Name, in the file's key `shared`, of a transform that several pipelines share; null: the step has a transform of
    its own."""

    @model_validator(mode="after")
    def _has_one_form(self) -> Self:
        if (self.transform is None) == (self.shared is None):
            raise ValueError("expected 'transform' or 'shared'")
        if self.shared is not None and self.learned != LearnedState():
            raise ValueError("learned: a shared transform has it under 'shared'")
        return self


class TensorText(_Part):
    """Tensor that a pipeline yields for a batch of rows."""

    dtype: str
    """Data type of the tensor."""
    shape: list[NonNegativeInt | None]
    """Size of each axis of the tensor after the batch axis; null: any size."""


class PipelineText(_Part):
    """Sequence of preprocessing steps, applied in order, that turns columns of raw rows into one tensor."""

    columns: list[str] = Field(min_length=1)
    """Names of the columns of raw rows that the pipeline reads."""
    stacked: bool
    """true: the columns, in this order, become the last axis of one array; false: the pipeline takes its only column as
    it is."""
    steps: list[StepText]
    tensor: TensorText


class ColumnText(_Part):
    """Facts about a column of the raw rows (data type, shape, classes), as in training."""

    dtype: str
    """Data type of the raw rows, before all transforms: a number type, "string" for text, "sequence" for lists of
    integers."""
    shape: list[NonNegativeInt | None]
    """Size of each axis of one row: [] for one value, [28, 28, 1] for an image; null: any size."""
    num_classes: int | None = None
    """Number of classes, for class labels that are integers from 0 on."""
    vocabulary_size: int | None = None
    """Number of token ids, for columns of token ids."""
    max_length: int | None = None
    """Length of the longest training sequence, for columns of sequences."""
    classes: list[str] | None = None
    """Class names in the order of the class labels, such as names of folders; null if the data source has none."""
    words: list[str] | None = None
    """Tokens in the order of their ids; null if the data source has no list of its tokens."""


class OutputText(_Part):
    """Conversion of an output of the model to a prediction: a value, or a class with its probability."""

    target: str
    """Name of the target, in `targets`, that the output predicts."""
    loss: str | dict[str, Any] | None
    """Loss of the output, written as in a config of kerascli; null: no loss, or a custom one of a plugin."""
    reads_as: Literal["values", "probability", "logit", "probabilities", "logits"]
    """Meaning of the output's numbers: values; the probability or logit of the second class (one number); or
    probabilities or logits (one number per class)."""
    classes: list[str] | None
    """Class names in the order of the output's numbers; null for values."""
    positive: str | None
    """Class whose probability or logit the output's one number is: the second of two classes; null for all other
    outputs."""
    inverse: list[str | dict[str, Any]]
    """Transforms of the target to undo, in this order, to get values in the units of the target's column; empty:
    none."""


class PipelineFile(_Part):
    """Preprocessing and class names of a model: how raw rows become its input tensors, and its outputs become
    predictions."""

    format: Literal["kerascli-pipeline"]
    version: Literal[1]
    """Version of the format. A file of another version is refused."""
    created_by: str = ""
    """Program that wrote the file, with its version."""
    name: str = ""
    """Name of the kerascli run whose preprocessing this is."""
    source: str | dict[str, Any] | None
    """Data source with the settings for reading raw rows (separators, missing values, image sizes, windows); null: the
    defaults."""
    columns: dict[str, ColumnText]
    """Columns of the raw rows that the pipelines read, by name."""
    shared: dict[str, Fitted] = {}
    """Transforms that several pipelines share, by name."""
    inputs: dict[str, PipelineText] = Field(min_length=1)
    """Pipeline of each input of the model, by the input's name."""
    targets: dict[str, PipelineText] = {}
    """Pipeline of each target, by the target's name; evaluation needs the columns of targets, prediction does not."""
    sample_weight: dict[str, PipelineText] = {}
    """Pipeline of the sample weights of a target, by the target's name."""
    outputs: dict[str, OutputText] = {}
    """Conversion of each output of the model to a prediction, by the output's name."""


_LISTED = 1000
"""Largest number of values of an array that is written as a readable list of numbers; larger arrays are written in
base64."""


def array_text(array: np.ndarray) -> ArrayText:
    """Return a NumPy array of numbers as a pipeline file stores it (as a list or in base64), without loss."""
    wide = array.astype({"f": "float64", "i": "int64", "u": "int64", "b": "int64"}[array.dtype.kind])
    array = array if array.dtype.name in {"float32", "float64", "int32", "int64"} else wide
    shape = list(array.shape)
    if array.size <= _LISTED and (array.dtype.kind == "i" or np.isfinite(array).all()):
        return ArrayText.model_validate({
            "dtype": array.dtype.name, "shape": shape, "values": array.reshape(-1).tolist()
        })  # fmt: skip
    data = array.astype(array.dtype.newbyteorder("<")).tobytes()
    text = base64.b64encode(data).decode("ascii")
    return ArrayText.model_validate({"dtype": array.dtype.name, "shape": shape, "base64": text})


def array_of(text: ArrayText) -> np.ndarray:
    """Return the NumPy array that a pipeline file stores as a list or in base64. Raises ValueError unless numbers,
    shape and dtype fit."""
    dtype, count = np.dtype(text.dtype), math.prod(text.shape)
    numbers = _numbers(text, dtype)
    if len(numbers) != count:
        raise ValueError(f"expected {count:,} numbers for the shape {text.shape}, got {len(numbers):,}")
    return numbers.reshape(text.shape)


def _numbers(text: ArrayText, dtype: np.dtype) -> np.ndarray:
    if text.values is not None:
        if dtype.kind == "i" and not all(type(value) is int for value in text.values):
            raise ValueError(f"expected integers for {dtype}")
        try:
            return np.array(text.values, dtype)
        except OverflowError:
            raise ValueError(f"a number is too large for {dtype}") from None
    assert text.base64 is not None
    try:
        data = base64.b64decode(text.base64, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None
    if len(data) % dtype.itemsize:
        raise ValueError(f"{len(data):,} bytes are no numbers of {dtype.itemsize} bytes")
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype)


def components_of(value: Any) -> Iterator[Component]:
    """Yield a component (data source, transform ...) and all components in its settings, at any depth."""
    if isinstance(value, Component):
        yield value
        for name in type(value).model_fields:
            yield from components_of(getattr(value, name))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from components_of(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from components_of(item)


def foreign_part(component: Component) -> str | None:
    """Return the name of the first component (data source, transform ...), among `component` and those in its settings,
    that is the user's Python code; else None."""
    for part in components_of(component):
        if not type(part).__module__.startswith("kerascli.") or isinstance(part, Python):
            return part.component_name
    return None


def leads_elsewhere(component: Component) -> bool:
    """Return True if a component's setting is a path with folders; a pipeline file may use only names of files without
    a folder."""
    return any(isinstance(part, InFolder) and part.with_paths(file_name) != part for part in components_of(component))
