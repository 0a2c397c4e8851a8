"""Base classes of callbacks that save samples of a model's outputs, and types of samples (images, points, text)."""

import math
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Protocol

import numpy as np
from pydantic import Field
from torch import Tensor

from kerascli.callbacks.base import Callback, EpochFacts, Response, State, plain_name
from kerascli.foundation.errors import suggestion, there_are
from kerascli.foundation.events import WriteSample
from kerascli.foundation.shapes import AnyShape, PositiveInt, Shape, TensorSpec, ValueRange, show_shape

_FILE = r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}"


class Images(NamedTuple):
    """Sample of the model's outputs: a grid of images (rows, columns, height, width, channels), values from 0 to 1."""

    values: np.ndarray
    title: str
    row_names: Sequence[str] = ()
    across: Sequence[float] = ()
    """Coordinate of each column of the grid of images; if it is set, images are drawn without gaps."""
    down: Sequence[float] = ()
    """Coordinate of each row of the grid of images."""


class Points(NamedTuple):
    """Sample of the model's outputs: a scatter plot of points (rows, 2), optionally with classes."""

    values: np.ndarray
    title: str
    axes: tuple[str, str]
    classes: np.ndarray | None = None
    class_names: Sequence[str] = ()


class Heat(NamedTuple):
    """Sample of the model's outputs: heat maps of matrices, as an array (panels, rows, columns)."""

    values: np.ndarray
    title: str
    axes: tuple[str, str]
    names: tuple[Sequence[str], Sequence[str], Sequence[str]] = ((), (), ())
    """Labels of a heat map, as (panels, rows, columns); where they are empty, numbers are shown."""


Sample = Images | Points | Heat | str
"""Type of a sample of the model's outputs: images, points, heat maps, or a text."""


class ModelFacts(NamedTuple):
    """Inputs and outputs of a model or of a view (its submodel with shared layers), known without weights, for checks
    of callbacks."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    reads_data: bool
    """True if every input of the model is an input defined in the config's `data` section."""
    classes: Mapping[str, int]
    """Mapping from a model input to the size (`input_dim`) of the embedding layer that takes its ids."""
    texts: Collection[str]
    """Names of the inputs and targets in the `data` section that are text."""
    decodes: tuple[str, str] | None = None
    """For a decoder model, the pair (input that takes the previous tokens, target with these tokens); None for other
    models."""
    targets: Collection[str] = ()
    """Names of the targets in the config's `data` section."""


class Rows(NamedTuple):
    """Rows from a split of the data, as preprocessed inputs and targets, for callbacks that save samples."""

    split: str
    inputs: Mapping[str, Tensor]
    targets: Mapping[str, np.ndarray]
    aside: Mapping[str, tuple[np.ndarray, Sequence[str]]]
    """Mapping from a column that callbacks only display to (class label of each row, names of the classes)."""
    rows: int


Mismatch = tuple[str, str]
"""Type of what does not fit a model: the name of an argument of a callback, and an error message."""


class SampleContext(Protocol):
    """Protocol by which callbacks that save samples use the model, rows of the data, and random numbers."""

    def facts(self, view: str | None) -> ModelFacts: ...

    def noise(self, shape: Sequence[int], kind: Literal["normal", "uniform"], seed: int) -> Tensor: ...

    def run(self, view: str | None, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the model, or a view (submodel with shared layers), in inference mode; return outputs by name, on CPU."""
        ...

    def rows(self, count: int, split: str | None) -> Rows:
        """Return the first `count` rows of a split of the data; by default of a held-out split, if there is one."""
        ...

    def text(self, name: str, numbers: np.ndarray) -> str | None:
        """Return a row of a text input or target (token ids or one-hot rows) as text; None if the input is not text."""
        ...

    def decoded(self, view: str | None, inputs: Mapping[str, Tensor]) -> np.ndarray:
        """Return token ids (N, T) that a decoder model generates greedily for N rows, with -1 after the end token."""
        ...

    def words(self, name: str, numbers: np.ndarray) -> list[str]:
        """Return the tokens of a text input or target (ids or one-hot rows) as strings; padding becomes ''."""
        ...

    def class_names(self, target: str) -> Sequence[str]: ...

    def continued(self, view: str | None, prompt: str | None, length: int, temperature: float, seed: int) -> str:
        """Return a text: the prompt (None: a text of the data), and `length` tokens by which the model continues it."""
        ...


class Sampler(Callback):
    """Base class of callbacks that save a sample of the model's outputs every few epochs, in the run's samples/."""

    comes_last = True

    view: str | None = None
    """Name of the view (submodel that shares the model's layers) to run; null: the model itself."""
    every: PositiveInt = 1
    """Number of epochs between samples; there is always one after the last epoch."""
    seed: int = Field(default=0, ge=0, le=2**53)
    """Seed of the sampler's random numbers, which are the same in every epoch."""
    file: Annotated[str, plain_name("name such as digits (it goes into samples/)", _FILE)] | None = None
    """Name of the files with the samples; null: the callback's name."""

    @property
    def sample_name(self) -> str:
        return self.file or self.component_name

    def claims(self) -> tuple[str, ...]:
        return (f"the samples '{self.sample_name}'",)

    def shown(self) -> dict[str, str]:
        """Return a mapping from an argument of the callback to the data column (or target) that it names to show beside
        outputs."""
        return {}

    def epoch_end(self, facts: EpochFacts, state: State) -> Response:
        is_due = facts.epoch % self.every == 0 or facts.epoch == facts.epochs
        return [WriteSample(self.sample_name, facts.epoch)] if is_due else [], state

    def check_model(self, models: Mapping[str | None, ModelFacts]) -> Mismatch | None:
        """Return (argument of the callback that does not fit the model, error message), or None if all fit."""
        if self.view not in models:
            views = [name for name in models if name is not None]
            available = f"; {there_are(views)}" if views else ", and no other"
            return "view", f"the model has no view '{self.view}'{suggestion(str(self.view), views) or available}"
        return self.mismatch(models[self.view])

    @abstractmethod
    def mismatch(self, model: ModelFacts) -> Mismatch | None:
        """Return (argument that does not fit the model, or the view (submodel) that is run; error message), or None if
        all fit."""

    @abstractmethod
    def sample(self, context: SampleContext) -> Sample:
        """Return the sample (images, points, a text ...) that the callback computes with the current model."""


class WithOutput(Sampler):
    """Base class of sampling callbacks that display one output of the model."""

    output: str | None = None
    """Name of the output to display; required if the model has several."""

    def mismatch(self, model: ModelFacts) -> Mismatch | None:
        if self.output is not None and self.output not in model.outputs:
            near = suggestion(self.output, model.outputs) or f"; {there_are(model.outputs)}"
            return "output", f"there is no output '{self.output}'{near}"
        if self.output is None and len(model.outputs) > 1:
            return "output", f"the model has several outputs; set output to one of {', '.join(model.outputs)}"
        return None

    def chosen(self, outputs: Mapping[str, Any]) -> Any:
        return outputs[self.chosen_name(outputs)]

    def chosen_name(self, outputs: Mapping[str, Any]) -> str:
        return next(iter(outputs)) if self.output is None else self.output


class ShowsRows(WithOutput):
    """Base class of callbacks that display the model's output for rows of the data."""

    split: Literal["train", "validation", "test"] | None = None
    """Split of the data that the rows are from; null: the first existing one of validation, test and train."""

    def mismatch(self, model: ModelFacts) -> Mismatch | None:
        fault = super().mismatch(model)
        if fault is None and not model.reads_data:
            whose = "the model" if self.view is None else "the view"
            return "view", f"{whose} has its own inputs and cannot be run on rows of the data"
        return fault

    def outputs_for(self, context: SampleContext, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the outputs of the model by name; of `inputs`, by name, it takes its own."""
        return context.run(self.view, {name: inputs[name] for name in context.facts(self.view).inputs})


class ShowsImages(WithOutput):
    """Base class of callbacks that display an output of the model as images."""

    value_range: ValueRange = (0.0, 1.0)
    """Two values, drawn as black and as white, such as [0, 1], [-1, 1] or [0, 255]; values outside are clipped."""
    image_shape: AnyShape | None = None
    """Shape [height, width, channels] of the images in a flat output; null: square images."""

    def mismatch(self, model: ModelFacts) -> Mismatch | None:
        if fault := super().mismatch(model):
            return fault
        shape = self.chosen(model.outputs).shape
        if image_shape(shape, self.image_shape) is None:
            return "image_shape", f"{show_shape(shape)} is not an image of {_words(self.image_shape)}"
        return None

    def pixels(self, values: Tensor) -> np.ndarray:
        """Return the model's output (N, *) as images (N, height, width, channels) with values from 0 to 1."""
        shape = image_shape(tuple(values.shape[1:]), self.image_shape)
        assert shape is not None
        low, high = self.value_range
        scaled = ((values.float().cpu().numpy() - low) / (high - low)).clip(0, 1)
        return np.nan_to_num(scaled).reshape(len(values), *shape)


def image_shape(shape: Shape, expected: Shape | None) -> tuple[int, int, int] | None:
    """Return (height, width, channels) of the images in an output of the given shape; None if it holds no images.

    `expected` is their shape; None: that of the output, or square.
    """
    if None in shape:
        return None
    total = math.prod(size or 0 for size in shape)
    if expected is None and len(shape) == 1:
        for channels in (1, 3):
            side = int((total / channels) ** 0.5 + 0.5)
            if side * side * channels == total:
                return side, side, channels
    full = shape if expected is None else expected
    full = (*full, 1) if len(full) == 2 else full
    sizes = [size for size in full if size is not None]
    if len(sizes) != 3 or sizes[2] not in (1, 3, 4) or math.prod(sizes) != total:
        return None
    return sizes[0], sizes[1], sizes[2]


def _words(shape: Shape | None) -> str:
    return "height, width and 1, 3 or 4 channels" if shape is None else f"shape {show_shape(shape)}"
