"""The `fit:` section: how long, in what batches, validated on what, watched by whom."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from kerascli.callbacks.base import CALLBACKS, Callback
from kerascli.component import Invalid, plain
from kerascli.errors import Fault, Path, show
from kerascli.section import BaseSection, parse_section
from kerascli.shapes import NonNegativeFloat, NonNegativeInt, OpenFraction, PositiveInt


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _by_text(value: Any) -> Any:
    """Classes by name or number: `{0: 1.0, owl: 2.0}`."""
    return {str(key): weight for key, weight in value.items()} if isinstance(value, dict) else value


CallbackField = Annotated[Callback, CALLBACKS.field()]
ValidationFrequency = PositiveInt | Annotated[tuple[PositiveInt, ...], BeforeValidator(_listed)]


@dataclass(frozen=True, slots=True)
class OfAllPhases:
    """Marks a field that is one for all phases of a fit, and says why."""

    reason: str


class FitSpec(BaseSection):
    """Arguments of Keras's `fit`, with R's default of ten epochs."""

    title: ClassVar[str] = "fit"

    epochs: PositiveInt = 10
    """The number of the last epoch (with initial_epoch: not how many there are), as in Keras."""
    batch_size: PositiveInt = 32
    """Rows that an update is made from."""
    validation_split: OpenFraction = 0.0
    """The LAST fraction of the training rows, before any shuffling."""
    validation_data: str | None = None
    """A split by name; wins over validation_split."""
    validation_steps: PositiveInt | None = None
    """Batches of a validation; null: all."""
    validation_batch_size: PositiveInt | None = None
    """Rows judged at once; null: as many as change no figure."""
    validation_freq: ValidationFrequency = 1
    """Every how many epochs to validate, or a list of epochs."""
    steps_per_epoch: PositiveInt | None = None
    """Batches of an epoch; null: all."""
    initial_epoch: Annotated[NonNegativeInt, OfAllPhases("epochs count on from phase to phase")] = 0
    """Epochs that count as done already."""
    shuffle: bool = True
    """A new order of the training rows in every epoch."""
    class_weight: Annotated[Literal["balanced"] | dict[str, NonNegativeFloat], BeforeValidator(_by_text)] | None = None
    """Weights by class number or class name; `balanced`: rows / (classes * rows of the class), of the training rows."""
    reset_states: Literal["epoch", "never"] = "epoch"
    """When stateful layers forget: before each epoch, or never in training. Evaluations always begin anew."""
    deterministic: Annotated[bool, OfAllPhases("it is one for all phases")] = False
    """Bit-identical on CUDA too, at some cost."""
    trainable: dict[str, bool] = Field(default={})
    """By names, globs and ranges of layers; later entries win."""
    callbacks: Annotated[tuple[CallbackField, ...], BeforeValidator(_listed)] = Field(default=())
    """Who watches the epochs, and stops, saves or sets the rate."""

    @field_validator("validation_data", mode="before")
    @classmethod
    def _is_a_split(cls, value: Any) -> Any:
        if isinstance(value, (int, float)):
            text = f"expected the name of a split, got {show(value)}; a share of the rows is validation_split"
            raise ValueError(text)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "FitSpec":
        if self.initial_epoch >= self.epochs:
            text = f"initial_epoch: {self.initial_epoch} leaves nothing to do, epochs is {self.epochs}"
            hint = "epochs is the number of the last epoch, not how many there are"
            raise Invalid([Fault(text, ("initial_epoch",), hint=hint)])
        return self

    def validates(self) -> bool:
        return self.validation_data is not None or self.validation_split > 0

    def dump(self) -> dict[str, Any]:
        """As YAML-ready data, defaults included."""
        return {name: plain(getattr(self, name)) for name in FitSpec.model_fields}


def _list_of(section: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "array", "items": {"x-section": section}, "minItems": 1})


class FitSection(FitSpec):
    """How long, in what batches, validated on what, watched by whom."""

    train_step: Annotated[Any, _list_of("fit.train_step")] = None
    """The updates of a step, each with an optimizer of its own; none: one, by the compile section."""
    phases: Annotated[Any, _list_of("fit.phases")] = None
    """Fits of the same weights one after the other, each with settings of its own."""


def has_steps(sections: Mapping[Any, Any]) -> bool:
    """Whether a config has updates of its own, in `fit.train_step`."""
    return isinstance(sections.get("fit"), dict) and "train_step" in sections["fit"]


def parse_fit(section: Any) -> FitSpec:
    """The section as written, but for what is read apart -> FitSpec. Raises Invalid."""
    if section is None:
        section = {}
    if not isinstance(section, dict):
        raise Invalid([Fault(f"fit: expected a mapping, got {show(section)}", ("fit",))])
    apart = FitSection.model_fields.keys() - FitSpec.model_fields
    section = {key: value for key, value in section.items() if key not in apart}
    try:
        return parse_section(FitSection, section, ("fit",))
    except Invalid as invalid:
        raise Invalid(replace(f, path=path_as_written(f.path, section)) for f in invalid.faults) from None


def set_trainable(section: Any) -> dict[str, bool]:
    """What a section that is wrong elsewhere says of what is trained."""
    found = section.get("trainable") if isinstance(section, dict) else None
    found = found if isinstance(found, dict) else {}
    return {key: value for key, value in found.items() if isinstance(key, str) and isinstance(value, bool)}


def path_as_written(path: Path, section: dict[Any, Any]) -> Path:
    """A path into class_weight, whose keys are texts here and may be numbers in the config."""
    if path[:2] != ("fit", "class_weight") or len(path) < 3:
        return path
    keys = {str(key): key for key in section["class_weight"]}
    return (*path[:2], keys.get(str(path[2]), path[2]), *path[3:])
