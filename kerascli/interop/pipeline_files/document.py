"""Fields of a pipeline file (a run's preprocessing as JSON); the JSON Schema of the format is generated from them."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kerascli.foundation.shapes import NonNegativeInt

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
