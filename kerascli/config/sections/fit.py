"""The `fit:` section of a config: epochs, batches, validation, class weights and callbacks."""

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from kerascli.callbacks.base import CALLBACKS, Callback
from kerascli.foundation.errors import Fault, Path, Related, show
from kerascli.foundation.shapes import NonNegativeFloat, NonNegativeInt, OpenFraction, PositiveInt, to_tuple
from kerascli.language.component import Invalid, plain
from kerascli.language.section import BaseSection, parse_section
from kerascli.language.trainable import Trainable
from kerascli.parts.distributions import DISTRIBUTIONS, Distribution


def _class_weights(value: Any) -> Any:
    """Return the mapping `class_weight` with its keys (names or indices of classes: `{0: 1.0, owl: 2.0}`) as
    strings."""
    if value is not None and value != "balanced" and not isinstance(value, dict):
        raise ValueError(f"expected balanced or a mapping, got {show(value)}")
    return {str(key): weight for key, weight in value.items()} if isinstance(value, dict) else value


CallbackField = Annotated[Callback, CALLBACKS.field()]
ClassWeight = Annotated[Literal["balanced"] | dict[str, NonNegativeFloat], BeforeValidator(_class_weights)]
DistributionField = Annotated[Distribution, DISTRIBUTIONS.field()]
ValidationFrequency = PositiveInt | Annotated[tuple[PositiveInt, ...], BeforeValidator(to_tuple)]


@dataclass(frozen=True, slots=True)
class NotPerPhase:
    """Annotation of a field of `fit` or `compile` that no item of `fit.phases` can set, with the reason why."""

    reason: str


class FitSpec(BaseSection):
    """Parsed `fit` section of a config: arguments of Keras's `fit`, and further keys of kerascli.

    The default of ten epochs is that of R's keras.
    """

    title: ClassVar[str] = "fit"

    epochs: PositiveInt = 10
    """Number of the last epoch, counted from 1; with `initial_epoch` fewer epochs are trained, as in Keras."""
    batch_size: PositiveInt = 32
    """Number of samples per gradient update."""
    validation_split: OpenFraction = 0.0
    """Fraction of the training rows to validate on: the LAST ones, before any shuffling."""
    validation_data: str | None = None
    """Name of the split to validate on, instead of a `validation_split`."""
    validation_steps: PositiveInt | None = None
    """Number of batches per validation; null: all batches."""
    validation_batch_size: PositiveInt | None = None
    """Number of samples per validation batch; null: chosen so that no loss or metric depends on it."""
    validation_freq: ValidationFrequency = 1
    """Number of epochs from one validation to the next, or a list of the epochs to validate after."""
    steps_per_epoch: PositiveInt | None = None
    """Number of batches per epoch; null: all rows. The next epoch continues with the rows that follow."""
    initial_epoch: Annotated[NonNegativeInt, NotPerPhase("epochs count on from phase to phase")] = 0
    """Number of epochs that count as trained already; training starts with the epoch after them."""
    shuffle: bool = True
    """Shuffle the training rows before each epoch, in an order that the seed determines."""
    class_weight: ClassWeight | None = None
    """Weight of each class in the loss, by index or name; `balanced`: training rows / (classes * rows of the class)."""
    reset_states: Literal["epoch", "never"] = "epoch"
    """Reset of stateful layers: before each epoch, or never in training. Evaluation starts from zero states."""
    deterministic: Annotated[bool, NotPerPhase("it applies to all phases")] = False
    """Use deterministic algorithms on CUDA, which are slower; the CPU is deterministic anyway."""
    distribute: Annotated[DistributionField | None, NotPerPhase("it applies to all phases")] = None
    """Distribution over several processes: `ddp`, where each holds the whole model, or `fsdp`; null: ddp."""
    shards: Annotated[PositiveInt | None, NotPerPhase("it applies to all phases")] = None
    """Number of parts of a batch (a power of two), each run on its own: the same bits on 1, 2, 4 ... processes.
    Null: one part per process, and results that differ from those of one process by rounding.
    """
    trainable: dict[str, Trainable] = Field(default={})
    """Layers to train or freeze: mapping from a name, glob or range `first..last` to a bool; later entries win.
    `{lora: {rank: 8}}` freezes them but for low-rank updates of their kernels.
    """
    cache_frozen: bool = True
    """Run the frozen part before the first trained or random layer once, and train on its outputs, which are kept."""
    callbacks: Annotated[tuple[CallbackField, ...], BeforeValidator(to_tuple)] = Field(default=())
    """Callbacks to apply during training."""

    @field_validator("validation_data", mode="before")
    @classmethod
    def _is_a_split(cls, value: Any) -> Any:
        if isinstance(value, (int, float)):
            fraction = "a fraction of the rows is given as validation_split"
            raise ValueError(f"expected the name of a split, got {show(value)}; {fraction}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "FitSpec":
        if self.initial_epoch >= self.epochs:
            text = f"initial_epoch: must be less than epochs ({self.epochs}), got {self.initial_epoch}"
            hint = "epochs is the number of the last epoch, not the number of epochs to train"
            raise Invalid(text, ("initial_epoch",), hint=hint)
        if self.shards is not None and self.batch_size % self.shards:
            text = f"shards: must divide batch_size ({self.batch_size}), got {self.shards}"
            raise Invalid(text, ("shards",))
        return self

    @field_validator("shards")
    @classmethod
    def _is_a_power_of_two(cls, value: int | None) -> int | None:
        if value is not None and value & (value - 1):
            raise ValueError(f"expected a power of two, got {value}")
        return value

    def validates(self) -> bool:
        return self.validation_data is not None or self.validation_split > 0

    def dump(self) -> dict[str, Any]:
        """Return the `fit` section as data to write as YAML, with every default included."""
        return {name: plain(getattr(self, name)) for name in FitSpec.model_fields}


def _list_of(section: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "array", "items": {"x-section": section}, "minItems": 1})


class FitSection(FitSpec):
    """Configuration of the training loop: epochs, batches, validation, class weights and callbacks."""

    train_step: Annotated[Any, _list_of("fit.train_step")] = None
    """Updates of a training step, each with its own optimizer; default: one update, as `compile` configures it."""
    phases: Annotated[Any, _list_of("fit.phases")] = None
    """Consecutive fits of the same weights, each with its own settings."""


def has_train_step(section: Any) -> bool:
    """Return True if `section`, the `fit` section of a config, has the key `train_step`."""
    return isinstance(section, dict) and "train_step" in section


def parse_fit(section: Any) -> FitSpec:
    """Parse the `fit` section of a config, without its keys `train_step` and `phases`.

    Raises Invalid (config errors).
    """
    section = {} if section is None else section
    if not isinstance(section, dict):
        raise Invalid(f"fit: expected a mapping, got {show(section)}", ("fit",))
    apart = FitSection.model_fields.keys() - FitSpec.model_fields
    section = {key: value for key, value in section.items() if key not in apart}
    try:
        return parse_section(FitSection, section, ("fit",))
    except Invalid as invalid:
        raise Invalid(replace(f, path=path_as_written(f.path, section)) for f in invalid.faults) from None


def two_validations(section: Any, *, folds: bool) -> list[Fault]:
    """Return a config error if `fit` has a `validation_split` beside `validation_data` or folds; else []."""
    if not isinstance(section, dict) or not section.get("validation_split"):
        return []
    if folds:
        text, hint = "validation_split cannot be combined with data.split.folds", "write validation_data: validation"
        other = Related("each fold is validated on in turn, as the split 'validation'", ("data", "split", "folds"))
        return [Fault(text, ("fit", "validation_split"), "key", hint=f"{hint} in its place", related=(other,))]
    if section.get("validation_data") is None:
        return []
    other = Related("the rows to validate on are those of validation_data", ("fit", "validation_data"))
    text = "validation_split cannot be combined with validation_data; give one of them"
    hint = f"remove validation_split, or validation_data: {section['validation_data']}"
    return [Fault(text, ("fit", "validation_split"), "key", hint=hint, related=(other,))]


def valid_trainable(section: Any) -> dict[str, bool]:
    """Return the valid items of the mapping `fit.trainable` from layer name pattern to bool (True: train the layers).

    The rest of the `fit` section may have errors.
    """
    patterns = section.get("trainable") if isinstance(section, dict) else None
    patterns = patterns if isinstance(patterns, dict) else {}
    return {key: value for key, value in patterns.items() if isinstance(key, str) and isinstance(value, bool)}


def path_as_written(path: Path, section: dict[Any, Any]) -> Path:
    """Return a config path into `class_weight` with its last key as in `section`, the `fit` section: 0, not '0'."""
    if path[:2] != ("fit", "class_weight") or len(path) < 3:
        return path
    keys = {str(key): key for key in section["class_weight"]}
    return (*path[:2], keys.get(str(path[2]), path[2]), *path[3:])
