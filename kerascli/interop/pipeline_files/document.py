"""Fields of a pipeline file (a run's preprocessing as JSON); the JSON Schema of the format is generated from them."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kerascli.shapes import NonNegativeInt

FORMAT = "kerascli-pipeline"
VERSION = 1


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class ArrayText(_Part):
    """Array of numbers, in row-major order: as a list, or as bytes in base64."""

    dtype: Literal["float32", "float64", "int32", "int64"]
    """Type of each number."""
    shape: list[NonNegativeInt] = Field(max_length=16)
    """Size of each axis; an empty list is one number."""
    values: list[int | float] | None = None
    """The numbers; null if `base64` has them. Written so that they are read back exactly."""
    base64: str | None = None
    """The numbers as little-endian bytes in base64, which kerascli writes for more than 1,000 of them."""

    @model_validator(mode="after")
    def _has_one_form(self) -> Self:
        if (self.values is None) == (self.base64 is None):
            raise ValueError("expected 'values' or 'base64'")
        return self


class LearnedState(_Part):
    """What a transform learned from the training rows."""

    facts: dict[str, Any] = {}
    """Integers, texts and lists of them, by name: `vocabulary`, `max_length` ..."""
    arrays: dict[str, ArrayText] = {}
    """Arrays by name: `mean`, `variance`, `bin_boundaries` ..."""


class Fitted(_Part):
    """Transform with its settings and what it learned."""

    transform: str | dict[str, Any]
    """Name of the transform, or a mapping from its name to all of its settings, as in a config."""
    learned: LearnedState = LearnedState()


class StepText(_Part):
    """Step of a pipeline: a transform of its own, or the name of a shared one."""

    transform: str | dict[str, Any] | None = None
    """Name of the transform, or a mapping from its name to all of its settings; null in a shared step."""
    learned: LearnedState = LearnedState()
    shared: str | None = None
    """Name of the transform in `shared`; null for a transform of this pipeline alone."""

    @model_validator(mode="after")
    def _has_one_form(self) -> Self:
        if (self.transform is None) == (self.shared is None):
            raise ValueError("expected 'transform' or 'shared'")
        if self.shared is not None and self.learned != LearnedState():
            raise ValueError("learned: a shared transform has it under 'shared'")
        return self


class TensorText(_Part):
    """Tensor that a pipeline makes of a batch of rows."""

    dtype: str
    """Type of its numbers."""
    shape: list[NonNegativeInt | None]
    """Size of each axis but the first, the batch; null: any size."""


class PipelineText(_Part):
    """Way from columns of raw rows to one tensor: the steps are applied in their order."""

    columns: list[str] = Field(min_length=1)
    """Columns of the raw rows, by name."""
    stacked: bool
    """true: the columns become an array with a last axis, in this order; false: the one column as it is."""
    steps: list[StepText]
    tensor: TensorText


class ColumnText(_Part):
    """Column of the raw rows, as it was in training."""

    dtype: str
    """A type of numbers, "string" for text, "sequence" for lists of integers; of raw rows, before all transforms."""
    shape: list[NonNegativeInt | None]
    """Size of each axis of one row: empty for one value, [28, 28, 1] for a picture; null: any size."""
    num_classes: int | None = None
    """Number of classes, for class labels that are integers from 0 on."""
    vocabulary_size: int | None = None
    """Number of token ids, for columns of token ids."""
    max_length: int | None = None
    """Length of the longest sequence, for columns of sequences."""
    classes: list[str] | None = None
    """Names of the classes that the source knows, such as the names of folders."""
    words: list[str] | None = None
    """Token of each id, if the source knows them."""


class OutputText(_Part):
    """Way from an output of the model to an answer."""

    target: str
    """Name of the target, in `targets`, that the output predicts."""
    loss: str | dict[str, Any] | None
    """Loss of the output in kerascli's words; null: one of a plugin."""
    reads_as: Literal["values", "probability", "logit", "probabilities", "logits"]
    """values: as they are; probability, logit: one number, of the second class; probabilities, logits: one a class."""
    classes: list[str] | None
    """Names of the classes in the order of the output's numbers; null for values."""
    positive: str | None
    """Class whose probability one number is, the second one; null where there is not one number of two classes."""
    inverse: list[str | dict[str, Any]]
    """Transforms of the target to undo, in this order, to have values in units of its column; empty: none."""


class PipelineFile(_Part):
    """Preprocessing and class names of a model: from raw rows to its tensors, from its outputs to answers."""

    format: Literal["kerascli-pipeline"]
    version: Literal[1]
    """Version of the format. A file of another version is refused."""
    created_by: str = ""
    """Program that wrote the file, with its version."""
    name: str = ""
    """Name of the run."""
    source: str | dict[str, Any] | None
    """Settings by which raw rows are read (separators, missing values, image sizes, windows); null: the defaults."""
    columns: dict[str, ColumnText]
    """Columns of the raw rows that the pipelines need, by name."""
    shared: dict[str, Fitted] = {}
    """Transforms that several pipelines share, by name."""
    inputs: dict[str, PipelineText] = Field(min_length=1)
    """Pipeline of each input of the model, by the input's name."""
    targets: dict[str, PipelineText] = {}
    """Pipeline of each target, by name; rows to evaluate need their columns, rows to predict do not."""
    sample_weight: dict[str, PipelineText] = {}
    """Pipeline of the sample weights of a target, by the target's name."""
    outputs: dict[str, OutputText] = {}
    """How the outputs of the model become answers, by the output's name."""
