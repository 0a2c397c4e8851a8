"""Image operations (kerascli/preprocessing/images) as transforms that run per batch, and as layers."""

from dataclasses import replace

import torch
from torch import nn

from kerascli.data.base import Field, FittedState, Transform, transform
from kerascli.data.transforms.input_checks import computed
from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.preprocessing.images import operations
from kerascli.preprocessing.images.base import ImageModule, ImageOperation


class ImageTransform(Transform):
    """Base class of image operations as transforms; random operations change training batches only."""

    per_batch = "always"

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        assert isinstance(self, ImageOperation)
        made = computed(field)
        if target and not self.always:
            raise ValueError("would change a target differently from its input; only inputs can be changed at random")
        dtype = field.dtype if self.keeps_integers and field.is_integer else made.dtype
        return replace(made, shape=self.shape(field.shape), dtype=dtype)

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        assert isinstance(self, ImageOperation)
        if dtype == torch.float64 and not self.always:
            raise ValueError("runs batch by batch: put it after the steps that run once, before training")
        return ImageModule(self)


class ImageLayer(Layer):
    """Base class of layers that apply an image operation; random operations return their input at inference."""

    def build(self, x: TensorSpec) -> nn.Module:
        assert isinstance(self, ImageOperation)
        try:
            self.shape(x.shape)
        except ValueError as error:
            raise ShapeMismatch(str(error)) from None
        return ImageModule(self)


def _register(operation: type[ImageOperation]) -> None:
    """Register an image operation as a transform and as a layer."""
    settings = {"__doc__": operation.__doc__, "__module__": operation.__module__}
    transform()(type(operation.__name__, (operation, ImageTransform), settings))
    made = type(operation.__name__, (operation, ImageLayer), {**settings, "takes_integers": operation.keeps_integers})
    layer(*(_example(operation, number) for number in range(len(operation.uses))))(made)


def _example(operation: type[ImageOperation], number: int) -> Example:
    config = operation.uses[number]
    first = config.get("data_format") == "channels_first"
    shape, dtype = (3, 8, 6) if first else (8, 6, 3), "int64" if number in operation.integers else "float32"
    return Example(shape, operation.model_validate(config).shape(shape), config, dtype)


for _operation in operations():
    _register(_operation)
