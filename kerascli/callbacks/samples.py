"""What callbacks that show what a model makes have in common: what they may look at, and what comes of it."""

import re
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from pydantic import BeforeValidator, Field, field_validator
from torch import Tensor

from kerascli.callbacks.base import Callback, Decision, EpochFacts, State
from kerascli.errors import show, suggestion, there_are
from kerascli.events import WriteSample
from kerascli.shapes import AnyShape, PositiveInt, Shape, TensorSpec, show_shape

Range = Annotated[tuple[float, float], BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)]


@dataclass(frozen=True, slots=True)
class Images:
    """Pictures in rows: (rows, columns, height, width, channels), from 0 to 1."""

    values: np.ndarray
    title: str
    row_names: Sequence[str] = ()
    across: Sequence[float] = ()
    """What each column stands for; the images then touch."""
    down: Sequence[float] = ()
    """What each row stands for."""


@dataclass(frozen=True, slots=True)
class Points:
    """Points (rows, 2), each of a class, or of none."""

    values: np.ndarray
    title: str
    axes: tuple[str, str]
    classes: np.ndarray | None = None
    class_names: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Heat:
    """Matrices (panels, rows, columns) as colours."""

    values: np.ndarray
    title: str
    axes: tuple[str, str]
    names: tuple[Sequence[str], Sequence[str], Sequence[str]] = ((), (), ())
    """What panels, rows and columns are called, where that is more than their numbers."""


@dataclass(frozen=True, slots=True)
class Text:
    text: str


Sample = Images | Points | Heat | Text


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of the model, or of a view, before there are weights."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    reads_data: bool
    """Its inputs are the data's."""
    classes: Mapping[str, int]
    """Of inputs that an embedding looks up: how many numbers it knows."""
    texts: Collection[str]
    """Inputs and targets of the data that are text."""
    decodes: tuple[str, str] | None = None
    """Of a decoder: its input for what is written so far, and the target that this is."""
    targets: Collection[str] = ()
    """Those of the data."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a split, as the model gets them; the targets as the pipelines left them."""

    split: str
    inputs: Mapping[str, Tensor]
    targets: Mapping[str, np.ndarray]
    aside: Mapping[str, tuple[np.ndarray, Sequence[str]]]
    """Columns that callbacks show: class numbers, and the classes' names."""
    rows: int


class Studio(Protocol):
    """The model as it is at the moment, and rows of the data. What is drawn here is drawn nowhere else."""

    def facts(self, view: str | None) -> ModelFacts: ...

    def noise(self, shape: Sequence[int], kind: Literal["normal", "uniform"], seed: int) -> Tensor: ...

    def run(self, view: str | None, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Outputs on the CPU, in inference."""
        ...

    def rows(self, count: int, split: str | None) -> Rows:
        """The first rows of a split; None: of one that is held out, if there is any."""
        ...

    def text(self, name: str, numbers: np.ndarray) -> str | None:
        """What the numbers (or one-hot rows) of a row of an input or a target say; None where it is no text."""
        ...

    def decoded(self, view: str | None, inputs: Mapping[str, Tensor]) -> np.ndarray:
        """What a decoder writes, always the most probable: numbers of the target's words (N, T), -1 behind the end."""
        ...

    def words(self, name: str, numbers: np.ndarray) -> list[str]:
        """What each number (or one-hot row) of an input or a target that is text stands for; '' is padding."""
        ...

    def class_names(self, target: str) -> Sequence[str]: ...

    def continued(self, view: str | None, prompt: str | None, length: int, temperature: float, seed: int) -> str:
        """The prompt (none: a text of the data) and what the model writes after it."""
        ...


class Sampler(Callback):
    """Makes something with the model every few epochs; the run keeps it under samples/. It changes no training."""

    view: str | None = None
    """A view of the model in its place; null: the model itself."""
    every: PositiveInt = 1
    """Every how many epochs, and after the last."""
    seed: int = Field(default=0, ge=0, le=2**53)
    """What is drawn follows from it; it is the same in every epoch."""
    file: str | None = None
    """What the samples are called; null: as the callback is."""

    @field_validator("file")
    @classmethod
    def _is_a_plain_name(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}", value):
            raise ValueError(f"expected a plain name such as digits (it goes into samples/), got '{value}'")
        return value

    @property
    def sample_name(self) -> str:
        return self.file or self.component_name

    def claims(self) -> tuple[str, ...]:
        return (f"the samples '{self.sample_name}'",)

    def shown(self) -> dict[str, str]:
        """By setting the column of the data that it shows beside what the model makes, or the target."""
        return {}

    def epoch_end(self, facts: EpochFacts, state: State) -> tuple[list[Decision], State]:
        is_due = facts.epoch % self.every == 0 or facts.epoch == facts.epochs
        return [WriteSample(self.sample_name, facts.epoch)] if is_due else [], state

    def check_model(self, models: Mapping[str | None, ModelFacts]) -> tuple[str, str] | None:
        """The setting that does not go with the model, and why."""
        if self.view not in models:
            views = [name for name in models if name is not None]
            known = f"; {there_are(views)}" if views else ", and no other"
            return "view", f"the model has no view '{self.view}'{suggestion(str(self.view), views) or known}"
        return self.misfit(models[self.view])

    @abstractmethod
    def misfit(self, model: ModelFacts) -> tuple[str, str] | None:
        """The setting that does not go with what is run, and why."""

    @abstractmethod
    def sample(self, studio: Studio) -> Sample:
        """Make it."""


class WithOutput(Sampler):
    """Shows one output."""

    output: str | None = None
    """Which output, where there are several."""

    def misfit(self, model: ModelFacts) -> tuple[str, str] | None:
        if self.output is not None and self.output not in model.outputs:
            near = suggestion(self.output, model.outputs) or f"; {there_are(model.outputs)}"
            return "output", f"there is no output '{self.output}'{near}"
        if self.output is None and len(model.outputs) > 1:
            return "output", f"which output? there are {', '.join(model.outputs)}"
        return None

    def chosen(self, outputs: Mapping[str, Any]) -> Any:
        return outputs[self.output] if self.output is not None else next(iter(outputs.values()))


class ShowsRows(WithOutput):
    """Shows what becomes of rows of the data."""

    split: Literal["train", "validation", "test"] | None = None
    """Of which split; null: of the first that there is of validation, test and train."""

    def misfit(self, model: ModelFacts) -> tuple[str, str] | None:
        found = super().misfit(model)
        if found is None and not model.reads_data:
            whose = "the model has inputs of its own, and" if self.view is None else "a view with inputs of its own"
            return "view", f"{whose} is given no rows of the data"
        return found


class ShowsImages(WithOutput):
    """Shows an output as images."""

    value_range: Range = (0.0, 1.0)
    """What is black and what is white: [0, 1], [-1, 1], [0, 255]."""
    image_shape: AnyShape | None = None
    """[height, width, channels] of an output that is flat; null: it is square."""

    def misfit(self, model: ModelFacts) -> tuple[str, str] | None:
        if found := super().misfit(model):
            return found
        low, high = self.value_range
        if low >= high:
            return "value_range", f"expected [black, white], black being less, got {show(list(self.value_range))}"
        shape = self.chosen(model.outputs).shape
        if image_shape(shape, self.image_shape) is None:
            return "image_shape", f"{show_shape(shape)} is no image of {_words(self.image_shape)}"
        return None

    def pixels(self, values: Tensor) -> np.ndarray:
        """(N, *) -> (N, height, width, channels), from 0 to 1."""
        shape = image_shape(tuple(values.shape[1:]), self.image_shape)
        assert shape is not None
        low, high = self.value_range
        scaled = ((values.float().cpu().numpy() - low) / (high - low)).clip(0, 1)
        return np.nan_to_num(scaled).reshape(len(values), *shape)


def image_shape(shape: Shape, wanted: Shape | None) -> tuple[int, int, int] | None:
    """Height, width and channels of what has a shape; None where it is no image."""
    if wanted is None and len(shape) == 1 and shape[0] is not None:
        for channels in (1, 3):
            side = int((shape[0] / channels) ** 0.5 + 0.5)
            if side * side * channels == shape[0]:
                return side, side, channels
    full = wanted if wanted is not None else shape
    full = (*full, 1) if len(full) == 2 else full
    sizes = [size for size in full if size is not None]
    given = [size for size in shape if size is not None]
    if len(sizes) != 3 or sizes[2] not in (1, 3, 4) or len(given) != len(shape):
        return None
    return (sizes[0], sizes[1], sizes[2]) if int(np.prod(sizes)) == int(np.prod(given)) else None


def _words(shape: Shape | None) -> str:
    return "height, width and 1, 3 or 4 channels" if shape is None else f"shape {show_shape(shape)}"
