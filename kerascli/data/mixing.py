"""Augmentations of the config section `data.augment`: mix the samples of a training batch, inputs and targets alike."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator
from torch import Tensor, nn

from kerascli.data.base import Field, Fields
from kerascli.foundation import draws
from kerascli.foundation.errors import DataError
from kerascli.foundation.shapes import to_tuple
from kerascli.language.component import Component, Registry

Batch = dict[str, Tensor]


_NO_LAYER = "it augments training batches and is not a layer of the model"


class Augmentation(Component):
    """Base class of augmentations that mix the samples of a batch, its images and targets with the same weights."""

    refused: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("name", "trainable", "dtype", "autocast", "activity_regularizer"), _NO_LAYER),
        "bounding_box_format": "batches hold images and labels, no boxes",
    }

    if TYPE_CHECKING:  # declared by each subclass, after Keras's own arguments
        seed: int | None

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


def mixed_images(augment: Sequence[Augmentation], inputs: Fields, targets: Fields) -> tuple[str, ...]:
    """Return the names of the image inputs, if augmentations mix them and all targets.

    Raises DataError for inputs or targets that cannot be mixed.
    """
    images = {name: field for name, field in inputs.items() if len(field.shape) == 3}
    for index, step in enumerate(augment):
        if (problem := _problem(step, images, targets)) is not None:
            text, hint = problem
            raise DataError(f"augment: {step.component_name}: {text}", path=("data", "augment", index), hint=hint)
    return tuple(images) if augment else ()


def _problem(step: Augmentation, images: Fields, targets: Fields) -> tuple[str, str | None] | None:
    if not images:
        return "needs an input of images (height, width, channels), got none", None
    first = next(iter(images.values()))
    for name, field in images.items():
        if (why := step.refuse_image(field, first)) is not None:
            return f"input '{name}' {why}", None
    for name, field in targets.items():
        if (refused := step.refuse_target(field, first)) is not None:
            return f"target '{name}' {refused[0]}", refused[1]
    return None


def mixed_inputs(augment: Sequence[Augmentation], inputs: Fields, targets: Fields) -> dict[str, Field]:
    """Return a mapping from input to field (shape, dtype ...): augmented images are float32, also at inference."""
    images = mixed_images(augment, inputs, targets)
    return {name: replace(field, dtype="float32") if name in images else field for name, field in inputs.items()}


class Mixing(nn.Module):
    """Module that applies the augmentations of `data.augment` to training batches; at inference the identity."""

    def __init__(self, steps: Sequence[Augmentation], images: Sequence[str]) -> None:
        super().__init__()
        self.steps = tuple(steps)
        self.images = tuple(images)

    def forward(self, inputs: Batch, targets: Batch) -> tuple[Batch, Batch]:  # each (N, *) -> (N, *)
        if not self.training:
            return inputs, targets
        inputs, targets = dict(inputs), dict(targets)
        nodes = draws.node_stack()
        for step in self.steps:
            nodes.append(f"data.augment.{step.component_name}")
            with draws.seeded(step.seed):
                first = inputs[self.images[0]]
                drawn = step.draw(first.float())
                for name in self.images:
                    images = inputs[name]
                    inputs[name] = step.mix_images(images if images.is_floating_point() else images.float(), drawn)
                for name, values in targets.items():
                    targets[name] = step.mix_targets(values, first, drawn)
            nodes.pop()
        return inputs, targets
