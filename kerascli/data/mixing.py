"""Augmentations of the config section `data.augment`: mix the samples of a training batch, inputs and targets alike."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

from pydantic import BeforeValidator
from torch import Tensor, nn

from kerascli.data.base import Field, Fields
from kerascli.foundation import draws
from kerascli.foundation.errors import DataError, Fault, suggestion
from kerascli.foundation.shapes import listed, show_shape, to_tuple
from kerascli.language.component import Component, Registry

Batch = dict[str, Tensor]


Names = Annotated[tuple[str, ...], BeforeValidator(listed, json_schema_input_type=str | list[str])]
_NO_LAYER = "it augments training batches and is not a layer of the model"


class Augmentation(Component):
    """Base class of augmentations that mix the samples of a batch, its images and targets with the same weights."""

    refused: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("name", "trainable", "dtype", "autocast", "activity_regularizer"), _NO_LAYER),
        "bounding_box_format": "batches hold images and labels, no boxes",
    }

    if TYPE_CHECKING:  # declared by each subclass, after Keras's own arguments
        seed: int | None
        inputs: Names | None
        targets: Names | None

    @abstractmethod
    def draw(self, images: Tensor) -> Any:
        """Draw the augmentation's random numbers for a batch, whose images are passed in single precision."""

    @abstractmethod
    def mix_images(self, images: Tensor, drawn: Any) -> Tensor:
        """Return the images (N, H, W, C), in floating point, mixed by the random numbers `drawn`."""

    @abstractmethod
    def mix_targets(self, targets: Tensor, images: Tensor, drawn: Any) -> Tensor:
        """Return the targets (N, *), mixed by the random numbers `drawn` like their images (N, H, W, C)."""

    def refuse_image(self, image: Field, first: Field) -> str | None:
        """Return text ("is ...") that says why an image input cannot be mixed like the first image input; None if it
        can."""
        return None

    def refuse_target(self, target: Field, image: Field) -> tuple[str, str] | None:
        """Return two texts, why a target cannot be mixed ("has ...") and a hint; None if it can be mixed."""
        if not target.is_integer or target.dtype == "unknown":
            return None
        hint = "add to_categorical for class labels, cast: float32 for quantities"
        return f"has integers ({target.dtype}), which cannot be blended", hint


AUGMENTATIONS = Registry[Augmentation]("augmentation", Augmentation, ("kerascli.data.augmentations",), ("layer_",))


augmentation = AUGMENTATIONS.named
"""Class decorator that registers an augmentation, under the class's name in configs."""


AugmentField = Annotated[tuple[Annotated[Augmentation, AUGMENTATIONS.field()], ...], BeforeValidator(to_tuple)]


def name_faults(augment: Sequence[Augmentation], inputs: Mapping[str, Any], targets: Mapping[str, Any]) -> list[Fault]:
    """Return an error for each input or target that an augmentation names but the data section does not define."""
    faults: list[Fault] = []
    for index, step in enumerate(augment):
        for section, names in (("inputs", inputs), ("targets", targets)):
            for name in (each for each in getattr(step, section) or () if each not in names):
                text = f"there is no {section[:-1]} '{name}'{suggestion(name, names)}"
                path = (index, step.component_name, section)
                faults.append(Fault(f"augment: {step.component_name}: {text}", path))
    return faults


class Mix(NamedTuple):
    """Augmentation with the names of the inputs and targets that it applies to."""

    augmentation: Augmentation
    inputs: tuple[str, ...]
    targets: tuple[str, ...]


def mixes(augment: Sequence[Augmentation], inputs: Fields, targets: Fields) -> list[Mix]:
    """Return a `Mix` for each augmentation: it, and the inputs and targets that it applies to (by default all images
    and targets).

    Raises DataError for inputs or targets that cannot be mixed.
    """
    images = tuple(name for name, field in inputs.items() if len(field.shape) == 3)
    all_mixes = []
    for index, step in enumerate(augment):
        mixed = tuple(targets) if step.targets is None else step.targets
        all_mixes.append(Mix(step, images if step.inputs is None else step.inputs, mixed))
        if (problem := _problem(all_mixes[-1], inputs, targets)) is not None:
            text, hint = problem
            raise DataError(f"augment: {step.component_name}: {text}", path=("data", "augment", index), hint=hint)
    return all_mixes


def _problem(mix: Mix, inputs: Fields, targets: Fields) -> tuple[str, str | None] | None:
    if not mix.inputs:
        return "needs an input of images (height, width, channels), got none", None
    first = inputs[mix.inputs[0]]
    for name in mix.inputs:
        field = inputs[name]
        if len(field.shape) != 3 or field.is_text:
            shape = show_shape((None, *field.shape))
            return f"input '{name}' is not images (height, width, channels) but {shape}", None
        if (why := mix.augmentation.refuse_image(field, first)) is not None:
            return f"input '{name}' {why}", None
    for name in mix.targets:
        if (refused := mix.augmentation.refuse_target(targets[name], first)) is not None:
            return f"target '{name}' {refused[0]}", refused[1]
    return None


def mixed_inputs(augment: Sequence[Augmentation], inputs: Fields, targets: Fields) -> dict[str, Field]:
    """Return a mapping from input to field (shape, dtype ...): augmented images are float32, also at inference."""
    images = {name for mix in mixes(augment, inputs, targets) for name in mix.inputs}
    return {name: replace(field, dtype="float32") if name in images else field for name, field in inputs.items()}


class Mixing(nn.Module):
    """Module that applies the augmentations of `data.augment` to training batches; at inference the identity."""

    def __init__(self, steps: Sequence[Mix]) -> None:
        super().__init__()
        self.steps = tuple(steps)

    def forward(self, inputs: Batch, targets: Batch) -> tuple[Batch, Batch]:  # each (N, *) -> (N, *)
        if not self.training:
            return inputs, targets
        inputs, targets = dict(inputs), dict(targets)
        nodes = draws.node_stack()
        for step in self.steps:
            nodes.append(f"data.augment.{step.augmentation.component_name}")
            with draws.seeded(step.augmentation.seed):
                mixer, first = step.augmentation, inputs[step.inputs[0]]
                drawn = mixer.draw(first.float())
                for name in step.inputs:
                    images = inputs[name]
                    inputs[name] = mixer.mix_images(images if images.is_floating_point() else images.float(), drawn)
                for name in step.targets:
                    targets[name] = mixer.mix_targets(targets[name], first, drawn)
            nodes.pop()
        return inputs, targets
